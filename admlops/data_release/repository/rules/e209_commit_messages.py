"""E209."""

from __future__ import annotations

from collections.abc import Iterator

from admlops.data_release.repository.candidate import Candidate
from admlops.data_release.repository.commit_message import check_message
from admlops.data_release.repository.rule import Finding, rule


@rule("E209")
def messages_are_structured(candidate: Candidate) -> Iterator[Finding]:
    """Commits on data branches say date, type, description and work order in YAML; merges need not."""
    if candidate.task is None:
        return
    for commit in candidate.first_parents:
        if len(commit.parents) < 2:
            for problem in check_message(commit.message, commit.sha[:12]):
                # Only a warning: what is committed cannot be worded anew without rewriting history. Hooks refuse it in time.
                what, where = problem.what, problem.where
                yield Finding(what, problem.expected, problem.got, problem.remedy, where=where, severity="warning")
