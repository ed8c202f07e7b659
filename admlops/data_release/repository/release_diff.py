"""The differences between two releases, as ``diff`` finds them and as release notes hold them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from admlops.data_release.sample_counts import ANY_TASK, EntryCount, Total
from admlops.data_release.sample_diff import Change
from admlops.data_release.schema import Kind
from admlops.data_release.text_table import text_table

CHANGES: tuple[Change, ...] = ("added", "removed", "changed")


@dataclass(frozen=True)
class Side:
    """One of two releases.

    Attributes:
        ref: As it was given.
        commit: Full sha; None for the working tree.
        version: ``meta.version``.
    """

    ref: str
    commit: str | None
    version: str


@dataclass(frozen=True)
class FieldChange:
    """A field whose value is another one.

    Attributes:
        field: Its name; ``content`` where an index file that is not pinned differs.
        before: JSON value; None where it was absent.
        after: The same.
    """

    field: str
    before: Any
    after: Any


@dataclass(frozen=True)
class EntrySize:
    """An entry that only one of the releases has.

    Attributes:
        name: Of the entry.
        count: Its samples.
        tasks: Tasks that it serves, sorted; None where it serves any.
    """

    name: str
    count: EntryCount
    tasks: tuple[str, ...] | None


@dataclass(frozen=True)
class SampleChanges:
    """Samples of an entry that differ.

    Attributes:
        counts: By change.
        first: The first ids of each change.
        why_unknown: Why nobody could compare them; empty where they were compared.
    """

    counts: dict[Change, int] = field(default_factory=dict)
    first: dict[Change, tuple[str, ...]] = field(default_factory=dict)
    why_unknown: str = ""


@dataclass(frozen=True)
class EntryChange:
    """An entry that both releases have.

    Attributes:
        name: In the newer release.
        old_name: In the older one; another one where its content shows that it was renamed.
        fields: What differs.
        before: Its samples in the older release.
        after: Its samples in the newer one.
        same_content: Whether its index file is known to be the same.
        samples: What differs in it; None where nobody asked or nothing can.
    """

    name: str
    old_name: str
    fields: tuple[FieldChange, ...]
    before: EntryCount
    after: EntryCount
    same_content: bool
    samples: SampleChanges | None = None


@dataclass(frozen=True)
class ReleaseDiff:
    """What changed between two releases.

    Attributes:
        kind: Which of the two files was compared.
        before: The older release.
        after: The newer one.
        meta: Fields of ``meta`` that differ.
        added: Entries that only the newer one has.
        removed: Entries that only the older one has.
        changed: Entries that both have, with a difference.
        unchanged: How many entries both have alike.
        tasks: Samples by task, before and after.
        total: Samples of all entries, before and after.
    """

    kind: Kind
    before: Side
    after: Side
    meta: tuple[FieldChange, ...]
    added: tuple[EntrySize, ...]
    removed: tuple[EntrySize, ...]
    changed: tuple[EntryChange, ...]
    unchanged: int
    tasks: dict[str, tuple[Total, Total]]
    total: tuple[Total, Total]

    @property
    def ok(self) -> bool:
        """Whether everything that was asked for could be compared; differences are no fault."""
        return not any(change.samples and change.samples.why_unknown for change in self.changed)

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        names = ("before", "after")
        content = asdict(self)
        content["tasks"] = {task: dict(zip(names, totals, strict=True)) for task, totals in content["tasks"].items()}
        content["total"] = dict(zip(names, content["total"], strict=True))
        return content

    def to_text(self) -> str:
        """Lay it out for a terminal."""
        return "\n".join(_lines(self))


def task_rows(found: ReleaseDiff) -> list[tuple[str, str, str, str]]:
    """Lay out what an epoch draws for each task.

    Args:
        found: The differences.

    Returns:
        Task, before, after and change; the change of what is known only.
    """
    rows = [("any task" if task == ANY_TASK else task, *totals) for task, totals in found.tasks.items()]
    return [
        (name, str(before), str(after), f"{after.effective - before.effective:+,}")
        for name, before, after in (*rows, ("all entries", *found.total))
    ]


def describe_change(change: EntryChange) -> str:
    """Say in one line what differs in an entry.

    Args:
        change: Of the entry.

    Returns:
        Its name and fields.
    """
    renamed = f" (was {change.old_name})" if change.name != change.old_name else ""
    fields = "; ".join(describe_field(one) for one in change.fields if one.field != "name")
    return f"{change.name}{renamed}" + (f": {fields}" if fields else "")


def describe_field(change: FieldChange) -> str:
    """Say in a few words what a field was and is.

    Args:
        change: Of the field.

    Returns:
        ``duplicate 5 -> 7``.
    """
    return f"{change.field} {_short(change.field, change.before)} -> {_short(change.field, change.after)}"


def describe_size(size: EntrySize) -> str:
    """Say in one line what an entry brings.

    Args:
        size: Of the entry.

    Returns:
        Name, samples, repetitions and tasks.
    """
    count = size.count
    samples = f"{count.num_samples:,}" if count.num_samples is not None else f"unknown ({count.why_unknown})"
    tasks = "any task" if size.tasks is None else ", ".join(size.tasks)
    return f"{size.name}: {samples} samples x {count.duplicate}, {tasks}"


def describe_samples(samples: SampleChanges) -> str:
    """Say in one line how many samples differ.

    Args:
        samples: Of an entry.

    Returns:
        Counts, or why they are unknown.
    """
    if samples.why_unknown:
        return f"samples not compared: {samples.why_unknown}"
    return "samples: " + ", ".join(f"{count:,} {kind}" for kind, count in samples.counts.items())


def _lines(found: ReleaseDiff) -> Iterator[str]:
    for side, mark in ((found.before, "---"), (found.after, "+++")):
        yield f"{mark} {side.ref}  {side.version}  {side.commit[:12] if side.commit else 'as it lies in the working tree'}"
    if found.meta:
        yield "meta"
        yield from (f"  {describe_field(change)}" for change in found.meta)
    added, removed, changed = (len(entries) for entries in (found.added, found.removed, found.changed))
    yield f"entries: {added} added, {removed} removed, {changed} changed, {found.unchanged} alike"
    yield from (f"  + {describe_size(size)}" for size in found.added)
    yield from (f"  - {describe_size(size)}" for size in found.removed)
    for change in found.changed:
        yield f"  ~ {describe_change(change)}"
        if change.samples is not None:
            yield f"      {describe_samples(change.samples)}"
            for kind, ids in change.samples.first.items():
                more = change.samples.counts[kind] - len(ids)
                yield from (f"      {_MARKS[kind]} {sample_id}" for sample_id in ids)
                if more:
                    yield f"      {_MARKS[kind]} and {more:,} more"
    yield "samples an epoch, by task"
    yield text_table(("task", "before", "after", "change"), task_rows(found), indent="  ")


_MARKS: dict[Change, str] = {"added": "+", "removed": "-", "changed": "~"}


def _short(name: str, value: Any) -> str:
    if value is None:
        return "none"
    if name == "integrity":
        return f"{value['sha256'][:12]} ({value['num_samples']:,} samples)"
    if name == "content":
        return str(value)[:12]
    return "[" + ", ".join(map(str, value)) + "]" if isinstance(value, list) else str(value) or "''"
