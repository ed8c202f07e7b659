"""Release notes: what a tag releases, what changed since the previous one, where it comes from. As Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from admlops.data_release.repository.release_diff import (
    EntryChange,
    ReleaseDiff,
    describe_change,
    describe_field,
    describe_samples,
    describe_size,
    task_rows,
)
from admlops.data_release.repository.stats import ENTRY_COLUMNS, ReleaseStatistics, entry_rows, total_rows
from admlops.data_release.repository.tag_info import TagInfo
from admlops.data_release.repository.trace_tree import Trace, describe_hub
from admlops.data_release.schema import DATASET_FILE, ReleaseMeta
from admlops.data_release.text_table import escape_markdown, markdown_table

FORMAT = 1
_MOST_ENTRIES = 100
_MOST_CHANGES = 200


@dataclass(frozen=True)
class ReleasedCommit:
    """A commit of the branch since the previous tag.

    Attributes:
        sha: Full.
        date: As its message says; empty where it does not.
        type: Such as ``modify(clean)``; empty where its message is not structured.
        description: What it did; of other messages the first line.
        task_tag: Of the work order; empty where there is none.
    """

    sha: str
    date: str
    type: str
    description: str
    task_tag: str

    def __str__(self) -> str:
        head = " ".join(word for word in (self.date, self.type) if word)
        task = f" ({self.task_tag})" if self.task_tag else ""
        return f"{self.sha[:12]} {head}{': ' if head else ''}{self.description}{task}"


@dataclass(frozen=True)
class ReleaseNotes:
    """What is said of a release.

    Attributes:
        title: Name of the release.
        tag: The tag.
        meta: Of the dataset file.
        statistics: What the release is made of.
        previous: Tag that it is compared with; None for the first of its family.
        diff: What changed since; None for the first.
        commits: Of the branch since, newest first.
        trace: Where it comes from; None where that could not be followed.
        why_untraced: Why; empty where it could.
        written: Files that were written.
    """

    title: str
    tag: TagInfo
    meta: ReleaseMeta
    statistics: ReleaseStatistics
    previous: str | None
    diff: ReleaseDiff | None
    commits: tuple[ReleasedCommit, ...]
    trace: Trace | None
    why_untraced: str
    written: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give JSON values; nothing in them depends on when, where and by whom the notes are written."""
        trace: dict[str, Any] = {"ok": False, "error": self.why_untraced}
        if self.trace:
            trace = self.trace.to_json()
            del trace["hub"]["path"]
        return {
            "format": FORMAT,
            "title": self.title,
            "tag": self.tag.to_json(),
            "meta": self.meta.model_dump(mode="json", exclude_none=True),
            "statistics": self.statistics.to_json(),
            "previous": self.previous,
            "diff": self.diff.to_json() if self.diff else None,
            "commits": [asdict(commit) for commit in self.commits],
            "trace": trace,
        }

    def to_text(self) -> str:
        """Name the files that were written; where none were, give the Markdown."""
        return "\n".join(f"-> {file}" for file in self.written) or self.to_markdown()

    def to_markdown(self) -> str:
        """Write the notes."""
        parts = [f"# {escape_markdown(self.title)}", _facts(self)]
        parts += ["## Data", *_statistics(self.statistics)]
        parts += ["## Changes", *_changes(self)]
        parts += ["## Trace", *_trace(self)]
        return "\n\n".join(parts) + "\n"


def _facts(notes: ReleaseNotes) -> str:
    meta, tag = notes.meta, notes.tag
    rows = [
        ("tag", f"{tag.name} ({tag.sha[:12]})"),
        ("tagged", f"{tag.date}{f' by {tag.tagger}' if tag.tagger else ''}"),
        ("commit", tag.commit),
        (f"{DATASET_FILE}, sha256", notes.statistics.file_sha256),
        ("release_name, version", f"{meta.release_name}, {meta.version}"),
        ("consumer", f"{meta.consumer or 'version'} {meta.consumer_version}"),
        ("bundles", ", ".join(meta.bundle_versions)),
        ("tasks", ", ".join(notes.statistics.tasks) if meta.tasks else "any"),
    ]
    text = markdown_table(("release", ""), rows)
    return f"{escape_markdown(meta.description)}\n\n{text}" if meta.description else text


def _statistics(statistics: ReleaseStatistics) -> Iterator[str]:
    columns = ("samples", "an epoch draws", "share", "entries of unknown size")
    yield markdown_table(("task", *columns), total_rows(statistics.tasks, statistics.total))
    if len(statistics.bundles) > 1:
        yield markdown_table(("bundle", *columns), total_rows(statistics.bundles, statistics.total))
    largest = sorted(statistics.entries, key=lambda entry: -(entry.count.effective or 0))[:_MOST_ENTRIES]
    yield markdown_table(ENTRY_COLUMNS, entry_rows(largest))
    if more := len(statistics.entries) - len(largest):
        yield f"And {more:,} smaller entries."
    if unknown := [entry for entry in statistics.entries if entry.count.why_unknown]:
        yield _bullets([f"{entry.name}: size unknown, {entry.count.why_unknown}" for entry in unknown])


def _changes(notes: ReleaseNotes) -> Iterator[str]:
    found = notes.diff
    if found is None:
        yield "The first release of its family."
        return
    counts = f"{len(found.added)} added, {len(found.removed)} removed, {len(found.changed)} changed, {found.unchanged} alike"
    yield f"Since {escape_markdown(str(notes.previous))}: {counts}."
    yield markdown_table(("samples an epoch", "before", "after", "change"), task_rows(found))
    for title, lines in (
        ("### Added", [describe_size(size) for size in found.added]),
        ("### Removed", [describe_size(size) for size in found.removed]),
        ("### Changed", [_change(change) for change in found.changed]),
        ("### Release fields", [describe_field(change) for change in found.meta]),
        ("### Commits", [str(commit) for commit in notes.commits]),
    ):
        if lines:
            yield title
            yield _bullets(lines)


def _change(change: EntryChange) -> str:
    samples = f"; {describe_samples(change.samples)}" if change.samples else ""
    return describe_change(change) + samples


def _trace(notes: ReleaseNotes) -> Iterator[str]:
    if notes.trace is None:
        yield f"Not traced: {escape_markdown(notes.why_untraced)}"
        return
    yield f"DataSpecHub at {describe_hub(notes.trace.hub)}."
    yield "\n".join(["````text", *notes.trace.tree(), "````"])
    if notes.trace.missing:
        yield _bullets([str(link) for link in notes.trace.missing])


def _bullets(lines: list[str]) -> str:
    shown = [f"- {escape_markdown(line)}" for line in lines[:_MOST_CHANGES]]
    if len(lines) > len(shown):
        shown.append(f"- and {len(lines) - len(shown):,} more, listed in the JSON artefact")
    return "\n".join(shown)
