"""E203."""

from __future__ import annotations

import re
from collections.abc import Iterator

from admlops.data_release import names
from admlops.data_release.repository.candidate import Candidate, Commit
from admlops.data_release.repository.rule import Finding, rule

# As git, GitHub and GitLab write it.
_MERGED = re.compile(
    r"^Merge (?:remote-tracking )?branch '(?P<branch>[^']+)'|^Merge pull request #\d+ from [^/\s]+/(?P<pull>\S+)"
)
_SOURCES = ("feature_dataset/", "experiment/")


@rule("E203")
def history_is_linear(candidate: Candidate) -> Iterator[Finding]:
    """A task branch only grows: earlier tags stay among its own commits, and it merges only feature and experiment branches."""
    branch = candidate.task_branch
    if branch is None or candidate.task is None:
        return
    yield from _tags_are_on_it(candidate)
    for ref, sha in candidate.refs.items():
        if not (candidate.branch and ref.startswith("refs/remotes/") and ref.split("/", 3)[-1] == branch):
            continue
        if not candidate.is_ancestor(sha, candidate.commit) and not candidate.is_ancestor(candidate.commit, sha):
            got = f"{candidate.commit[:12]} here, {sha[:12]} there"
            remedy = f"`git rebase {ref.removeprefix('refs/remotes/')}`, unless the shared one was rewritten"
            yield Finding(f"{branch} and {ref} went two ways", "one follows the other", got, remedy)
    for commit in candidate.first_parents:
        if len(commit.parents) > 1:
            yield from _merge(candidate, commit, branch)


def _tags_are_on_it(candidate: Candidate) -> Iterator[Finding]:
    for tag in candidate.earlier_tags:
        commit = candidate.commit_of(f"refs/tags/{tag}")
        if commit is not None and not candidate.is_first_parent(commit, candidate.commit):
            merged = candidate.is_ancestor(commit, candidate.commit)
            got = (
                "it came in by a merge" if merged else "it is no ancestor: the history was rewritten, or this is another branch"
            )
            what = f"the earlier release {tag} is not among the branch's own commits"
            remedy = f"go on from {commit[:12]}; to take back data use `admlops data rollback`"
            yield Finding(what, f"{commit[:12]} reached by first parents", got, remedy)


def _merge(candidate: Candidate, commit: Commit, branch: str) -> Iterator[Finding]:
    match = _MERGED.match(commit.message)
    named = (match["branch"] or match["pull"]) if match else None
    if named is not None:
        sources = [named, named.partition("/")[2]]  # perhaps with the name of a remote before it
    else:
        refs = (ref.split("/", 2)[-1] for ref, sha in candidate.refs.items() if _holds(candidate, ref, sha, commit))
        sources = [name for ref in refs for name in (ref, ref.partition("/")[2])]
    if any(source.startswith(_SOURCES) and names.is_branch(source) for source in sources):
        return
    expected = "merges of feature_dataset/... or experiment/... only"
    remedy = "take single entries over with `admlops data sync`; git rebase instead of git pull"
    yield Finding(f"a merge on {branch}", expected, f"of {named or 'an unknown branch'}", remedy, where=commit.sha[:12])


def _holds(candidate: Candidate, ref: str, sha: str, merge: Commit) -> bool:
    if not ref.startswith(("refs/heads/", "refs/remotes/")) or not any(f"/{source}" in ref for source in _SOURCES):
        return False
    return all(candidate.is_ancestor(parent, sha) for parent in merge.parents[1:])
