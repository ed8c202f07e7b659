"""E204."""

from __future__ import annotations

from collections.abc import Iterator

from admlops.data_release.repository.candidate import Candidate
from admlops.data_release.repository.rule import Finding, rule


@rule("E204")
def entries_serve_the_branch(candidate: Candidate) -> Iterator[Finding]:
    """Every entry on a task's branch serves at least one of the task's `allowed_tags`."""
    entry = candidate.registry.tasks.get(candidate.task or "") if candidate.registry else None
    if entry is None or candidate.dataset is None:
        return
    for i, item in enumerate(candidate.dataset.dataset_index):
        tags = item.task_tags if item.task_tags is not None else candidate.dataset.meta.tasks
        if tags is not None and not set(tags) & set(entry.allowed_tags):
            path = ("dataset_index", i, "task_tags")
            expected = f"at least one of {', '.join(entry.allowed_tags)}"
            what = f"entry {item.name!r} does nothing for {candidate.task}"
            yield Finding(what, expected, ", ".join(tags), "move it to the branch of its task", path=path)
