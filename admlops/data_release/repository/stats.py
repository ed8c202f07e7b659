"""What a release is made of: samples, repetitions and shares by entry, task and bundle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from admlops.data_release.repository.open_at import open_at
from admlops.data_release.sample_counts import (
    ANY_TASK,
    EntryCount,
    Total,
    add_up,
    count_samples,
    totals_by_bundle,
    totals_by_task,
)
from admlops.data_release.schema import Kind
from admlops.data_release.text_table import text_table
from admlops.data_release.training_release import TrainingRelease

_MOST_ENTRIES = 40


@dataclass(frozen=True)
class EntryStatistics:
    """An entry.

    Attributes:
        name: Of the entry.
        count: Its samples.
        tasks: Tasks that it serves, sorted; None where it serves any.
        bundles: Bundles that it comes from.
        share: Of the samples of an epoch whose number is known; None where its own is unknown.
    """

    name: str
    count: EntryCount
    tasks: tuple[str, ...] | None
    bundles: tuple[str, ...]
    share: float | None


@dataclass(frozen=True)
class ReleaseStatistics:
    """What a release is made of.

    Attributes:
        ref: As it was given.
        commit: Full sha; None for the working tree.
        kind: Which of the two files.
        release_name: ``meta.release_name``.
        version: ``meta.version``.
        file_sha256: Hash of the dataset file.
        entries: In the order of the file.
        tasks: Samples by task; an entry that serves two counts for both.
        bundles: Samples by bundle; an entry that names two counts for both.
        total: Samples of all entries.
    """

    ref: str
    commit: str | None
    kind: Kind
    release_name: str
    version: str
    file_sha256: str
    entries: tuple[EntryStatistics, ...]
    tasks: dict[str, Total]
    bundles: dict[str, Total]
    total: Total

    @property
    def duplicates(self) -> dict[int, int]:
        """Number of entries by how often they are repeated."""
        return dict(sorted(Counter(entry.count.duplicate for entry in self.entries).items()))

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        return {**asdict(self), "duplicates": {str(times): count for times, count in self.duplicates.items()}}

    def to_text(self) -> str:
        """Lay it out for a terminal: the largest entries, all tasks and bundles."""
        commit = f"  {self.commit[:12]}" if self.commit else ""
        largest = sorted(self.entries, key=lambda entry: -(entry.count.effective or 0))
        lines = [f"{self.ref}{commit}  {self.release_name}  {self.version}  {self.kind}", "", _entries(largest[:_MOST_ENTRIES])]
        if len(largest) > _MOST_ENTRIES:
            lines.append(f"and {len(largest) - _MOST_ENTRIES} smaller entries: --json lists them")
        for title, totals in (("task", self.tasks), ("bundle", self.bundles)):
            lines += ["", text_table((title, "samples", "an epoch", "share", "unknown"), total_rows(totals, self.total))]
        repeated = ", ".join(f"{count} x {times}" for times, count in self.duplicates.items())
        return "\n".join([*lines, "", f"duplicate (entries x times): {repeated}"])


def stats(repo: str | Path, ref: str, *, kind: Kind = "regular") -> ReleaseStatistics:
    """Count a release of a repository, downloading nothing.

    Args:
        repo: The repository.
        ref: Tag, commit, branch, or ``WORKTREE``.
        kind: Which of the two files; the other is not opened.

    Returns:
        What it is made of.

    Raises:
        DataReleaseError: No such repository, ref (E207) or file (E201), or the file is invalid.
    """
    return statistics_of(open_at(repo, ref, kind), ref, kind)


def statistics_of(release: TrainingRelease, ref: str, kind: Kind = "regular") -> ReleaseStatistics:
    """Count an opened release.

    Args:
        release: The release.
        ref: What to call it.
        kind: Which of the two files it is.

    Returns:
        What it is made of.
    """
    counts = count_samples(release)
    total = add_up(counts)
    entries = []
    for entry in release.entries:
        count, tasks = counts[entry.name], release.tasks_of(entry)
        share = None if count.effective is None else _share(count.effective, total.effective)
        bundles = entry.bundle_versions or release.meta.bundle_versions
        entries.append(EntryStatistics(entry.name, count, None if tasks is None else tuple(sorted(tasks)), bundles, share))
    return ReleaseStatistics(
        ref=ref,
        commit=release.commit,
        kind=kind,
        release_name=release.meta.release_name,
        version=release.meta.version,
        file_sha256=release.file_sha256,
        entries=tuple(entries),
        tasks=totals_by_task(release, counts),
        bundles=totals_by_bundle(release, counts),
        total=total,
    )


def total_rows(totals: Mapping[str, Total], total: Total) -> list[tuple[object, ...]]:
    """Lay out totals as rows of a table.

    Args:
        totals: By task or bundle.
        total: Of all entries.

    Returns:
        Name, samples, samples an epoch, share of the whole, number of entries of unknown size; the whole last.
    """
    named = {**{"any task" if key == ANY_TASK else key: one for key, one in totals.items()}, "all entries": total}
    return [
        (name, one.samples, one.effective, percent(_share(one.effective, total.effective)), len(one.unknown))
        for name, one in named.items()
    ]


def percent(share: float | None) -> str:
    """Write a share.

    Args:
        share: From 0 to 1; None where unknown.

    Returns:
        Such as ``12.3 %``.
    """
    return "?" if share is None else f"{100 * share:.1f} %"


def entry_rows(entries: tuple[EntryStatistics, ...] | list[EntryStatistics]) -> list[tuple[object, ...]]:
    """Lay out entries as rows of a table.

    Args:
        entries: Of a release.

    Returns:
        Name, samples, duplicate, samples an epoch, share, tasks.
    """
    return [
        (
            entry.name,
            "?" if entry.count.num_samples is None else f"{entry.count.num_samples:,}",
            entry.count.duplicate,
            "?" if entry.count.effective is None else f"{entry.count.effective:,}",
            percent(entry.share),
            "any task" if entry.tasks is None else ", ".join(entry.tasks),
        )
        for entry in entries
    ]


ENTRY_COLUMNS = ("entry", "samples", "duplicate", "an epoch", "share", "tasks")


def _entries(entries: list[EntryStatistics]) -> str:
    unknown = [f"  {entry.name}: {entry.count.why_unknown}" for entry in entries if entry.count.why_unknown]
    named = ["unknown:", *unknown] if unknown else []
    return "\n".join([text_table(ENTRY_COLUMNS, entry_rows(entries)), *named])


def _share(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0
