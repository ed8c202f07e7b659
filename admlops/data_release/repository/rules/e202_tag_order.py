"""E202."""

from __future__ import annotations

from collections.abc import Iterator

from admlops.data_release.repository.candidate import Candidate
from admlops.data_release.repository.rule import Finding, Severity, rule
from admlops.errors import nearest


@rule("E202")
def tag_is_newest_on_its_branch(candidate: Candidate) -> Iterator[Finding]:
    """A tag lies on the branch of its task (or topic) and is newer than every earlier tag of its family."""
    if candidate.tag_name is None:
        return
    # A repository without a registry is older than task branches: what it has cannot be held against it.
    severity: Severity = "error" if candidate.registry else "error in a new tag"
    yield from _on_its_branch(candidate, severity)
    for other, order in candidate.family.items():
        if order <= candidate.tag_name.order:
            continue
        commit = candidate.commit_of(f"refs/tags/{other}")
        follows = commit is not None and commit != candidate.commit and candidate.is_ancestor(commit, candidate.commit)
        if candidate.tag_object is None or follows:
            what = f"{candidate.tag} comes after {other}, which is newer by its name"
            expected = f"a name after {list(candidate.family)[-1]}"
            yield Finding(what, expected, candidate.tag or "", "give it the next version or date", severity=severity)
            return


def _on_its_branch(candidate: Candidate, severity: Severity) -> Iterator[Finding]:
    task, branch = candidate.task, candidate.task_branch
    if task is None or branch is None:
        yield from _on_a_branch_of_its_topic(candidate, severity)
        return
    if candidate.registry is not None and task not in candidate.registry.tasks:
        known = candidate.registry.tasks
        yield Finding(f"the repository has no task {task!r}", "a registered task", task, nearest(task, known))
        return
    tips = candidate.branch_tips(branch)
    if not tips:
        remedy = f"`git fetch`, or open {branch}"
        yield Finding(f"the tag's branch {branch} does not exist", f"a branch {branch}", "none", remedy, severity=severity)
    elif not any(candidate.is_first_parent(candidate.commit, tip) for tip in tips):
        merged = any(candidate.is_ancestor(candidate.commit, tip) for tip in tips)
        got = "a commit of a branch that was merged into it" if merged else "a commit that is not on it"
        yield Finding(f"the tag is not on {branch}", f"a commit of {branch}", got, "tag the merge", severity=severity)


def _on_a_branch_of_its_topic(candidate: Candidate, severity: Severity) -> Iterator[Finding]:
    topic = candidate.tag_name.topic if candidate.tag_name else None
    for ref, sha in candidate.refs.items():
        parts = ref.split("/")
        if "feature_dataset" in parts[2:4] and topic in parts[-3:-1] and candidate.is_ancestor(candidate.commit, sha):
            return
    expected = f"a commit of feature_dataset/{topic}/<method>"
    yield Finding(f"no branch of the topic {topic} has it", expected, "none", "keep the branch", severity="warning")
