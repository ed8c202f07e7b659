"""What changed between two releases: entries, what they draw for each task, and, when asked, samples."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from admlops.data_release.cache import sha256_of
from admlops.data_release.repository.open_at import open_at
from admlops.data_release.repository.output_file import output_file
from admlops.data_release.repository.release_diff import (
    CHANGES,
    EntryChange,
    EntrySize,
    FieldChange,
    ReleaseDiff,
    SampleChanges,
    Side,
)
from admlops.data_release.sample_counts import NOTHING, EntryCount, add_up, count_samples, is_fixed_by_release, totals_by_task
from admlops.data_release.sample_diff import SampleDiff, compare_samples
from admlops.data_release.schema import Kind, ReleaseEntry, ReleaseMeta
from admlops.data_release.training_release import TrainingRelease
from admlops.errors import AdmlopsError, DataReleaseError

_SHOWN_IDS = 20


def diff(
    repo: str | Path,
    before: str,
    after: str,
    *,
    kind: Kind = "regular",
    samples: bool = False,
    samples_file: Path | None = None,
) -> ReleaseDiff:
    """Compare two releases of a repository.

    Args:
        repo: The repository.
        before: Tag, commit, branch, or ``WORKTREE``.
        after: The same.
        kind: Which of the two files to compare; the other is not opened.
        samples: Compare the index files of changed entries record by record; they are fetched where they are remote.
        samples_file: Where to write every sample that differs, one JSON object a line; asks for ``samples``.

    Returns:
        The differences.

    Raises:
        DataReleaseError: No such repository, ref (E207) or file (E201), or a file is invalid.
        MachineError: ``samples_file`` or the cache cannot be written (E404).
    """
    sides = [(Side(ref, release.commit, release.meta.version), release) for ref, release in _open(repo, (before, after), kind)]
    found = diff_releases(*sides, kind=kind)
    if not samples and samples_file is None:
        return found
    with ExitStack() as stack:
        out = stack.enter_context(output_file(samples_file)) if samples_file is not None else None
        old, new = (release for _, release in sides)
        return replace(found, changed=tuple(_with_samples(change, old, new, out) for change in found.changed))


def diff_releases(
    before: tuple[Side, TrainingRelease], after: tuple[Side, TrainingRelease], *, kind: Kind = "regular"
) -> ReleaseDiff:
    """Compare two opened releases without reading samples.

    Args:
        before: The older one, and what to call it.
        after: The newer one.
        kind: Which of the two files they are.

    Returns:
        The differences.
    """
    old, new = before[1], after[1]
    counts = count_samples(old), count_samples(new)
    contents = _contents(old), _contents(new)
    pairs = list(_join_renamed(list(_pair(old, new)), contents))
    both = [(a, b) for a, b in pairs if a is not None and b is not None]
    changed = []
    for a, b in both:
        content = contents[0][a.name], contents[1][b.name]
        if fields := _entry_fields(a, b, content):
            same = None not in content and content[0] == content[1]
            changed.append(EntryChange(b.name, a.name, fields, counts[0][a.name], counts[1][b.name], same))
    tasks_before, tasks_after = totals_by_task(old, counts[0]), totals_by_task(new, counts[1])
    tasks = {
        task: (tasks_before.get(task, NOTHING), tasks_after.get(task, NOTHING))
        for task in sorted({*tasks_before, *tasks_after})
    }
    return ReleaseDiff(
        kind=kind,
        before=before[0],
        after=after[0],
        meta=_differing(old.meta, new.meta),
        added=tuple(_size(new, b, counts[1]) for a, b in pairs if a is None and b is not None),
        removed=tuple(_size(old, a, counts[0]) for a, b in pairs if b is None and a is not None),
        changed=tuple(changed),
        unchanged=len(both) - len(changed),
        tasks=tasks,
        total=(add_up(counts[0]), add_up(counts[1])),
    )


def _open(repo: str | Path, refs: tuple[str, str], kind: Kind) -> Iterator[tuple[str, TrainingRelease]]:
    for ref in refs:
        yield ref, open_at(repo, ref, kind)


Pair = tuple[ReleaseEntry | None, ReleaseEntry | None]
Contents = dict[str, str | None]


def _pair(old: TrainingRelease, new: TrainingRelease) -> Iterator[Pair]:
    before = {entry.name: entry for entry in old.entries}
    names = {entry.name for entry in new.entries}
    for entry in old.entries:
        if entry.name not in names:
            yield entry, None
    for entry in new.entries:
        yield before.get(entry.name), entry


def _join_renamed(pairs: list[Pair], contents: tuple[Contents, Contents]) -> Iterator[Pair]:
    """An entry that went and one that came with the same content are one that was renamed."""
    gone = [a for a, b in pairs if b is None and a is not None and contents[0][a.name] is not None]
    joined: dict[str, ReleaseEntry] = {}
    for a, b in pairs:
        if a is None and b is not None:
            same = next((entry for entry in gone if contents[0][entry.name] == contents[1][b.name]), None)
            if same is not None:
                gone.remove(same)
                joined[b.name] = same
    taken = {entry.name for entry in joined.values()}
    for a, b in pairs:
        if b is not None:
            yield joined.get(b.name, a), b
        elif a is not None and a.name not in taken:
            yield a, b


def _contents(release: TrainingRelease) -> Contents:
    return {entry.name: _content_of(release, entry) for entry in release.entries}


def _content_of(release: TrainingRelease, entry: ReleaseEntry) -> str | None:
    if entry.integrity is not None:
        return entry.integrity.sha256
    if not entry.obs_path or not is_fixed_by_release(entry):
        return None
    try:
        return sha256_of(release.locate(entry).path)
    except DataReleaseError:
        return None


def _entry_fields(a: ReleaseEntry, b: ReleaseEntry, content: tuple[str | None, str | None]) -> tuple[FieldChange, ...]:
    fields = _differing(a, b)
    # Where both are pinned, `integrity` says it already.
    if None not in content and content[0] != content[1] and (a.integrity is None or b.integrity is None):
        fields = (*fields, FieldChange("content", *content))
    return fields


def _differing(a: ReleaseEntry | ReleaseMeta, b: ReleaseEntry | ReleaseMeta) -> tuple[FieldChange, ...]:
    before, after = a.model_dump(mode="json"), b.model_dump(mode="json")
    return tuple(FieldChange(key, before[key], after[key]) for key in before if _in_order(before[key]) != _in_order(after[key]))


def _in_order(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value


def _size(release: TrainingRelease, entry: ReleaseEntry, counts: dict[str, EntryCount]) -> EntrySize:
    tasks = release.tasks_of(entry)
    return EntrySize(entry.name, counts[entry.name], None if tasks is None else tuple(sorted(tasks)))


def _with_samples(change: EntryChange, old: TrainingRelease, new: TrainingRelease, out: BinaryIO | None) -> EntryChange:
    if change.same_content:
        return change
    a = next(entry for entry in old.entries if entry.name == change.old_name)
    b = next(entry for entry in new.entries if entry.name == change.name)
    if a.obs_path == b.obs_path and not (is_fixed_by_release(a) or is_fixed_by_release(b)):
        return replace(change, samples=SampleChanges(why_unknown="neither release pins what its path held then"))
    try:
        found = compare_samples(old.locate(a).path, new.locate(b).path)
    except AdmlopsError as error:
        reason = f"[{error.code}] {error.what}" if error.code else error.what
        return replace(change, samples=SampleChanges(why_unknown=f"{reason} ({error.where})" if error.where else reason))
    if out is not None:
        _write(change.name, found, out)
    counts = {kind: found.count(kind) for kind in CHANGES}
    shown = {kind: tuple(_first(found.sample_ids(kind), _SHOWN_IDS)) for kind in CHANGES}
    return replace(change, samples=SampleChanges(counts, shown))


def _first(ids: Iterator[str], count: int) -> Iterator[str]:
    for _, sample_id in zip(range(count), ids, strict=False):
        yield sample_id


def _write(entry: str, found: SampleDiff, out: BinaryIO) -> None:
    for kind in CHANGES:
        for sample_id in found.sample_ids(kind):
            row = {"entry": entry, "change": kind, "sample_id": sample_id}
            out.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
