"""What a push may do to a data release repository: the same judgement in a client's pre-push and in a server's pre-receive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from admlops.data_release.git_repository import GitRepository
from admlops.data_release.problem import Problem, errors_of
from admlops.data_release.repository.candidate import Candidate
from admlops.data_release.repository.check import check_release, registry_of
from admlops.data_release.repository.commit_message import check_message

_HEADS, _TAGS = "refs/heads/", "refs/tags/"


@dataclass(frozen=True)
class RefUpdate:
    """A ref that a push changes.

    Attributes:
        ref: Its full name.
        old: Object before; zeros where it is new.
        new: Object after; zeros where it is deleted.
    """

    ref: str
    old: str
    new: str

    @property
    def creates(self) -> bool:
        """Whether there was no such ref."""
        return not self.old.strip("0")

    @property
    def deletes(self) -> bool:
        """Whether there will be no such ref."""
        return not self.new.strip("0")


def check_push(
    repository: GitRepository, updates: Sequence[RefUpdate], refs: Mapping[str, str], known: Sequence[str]
) -> tuple[Problem, ...]:
    """List the reasons to refuse a push.

    Args:
        repository: Where its objects can be read.
        updates: What it changes.
        refs: Object by full name of every ref before it.
        known: Options of ``git rev-list`` for what was there before, such as ``--all``.

    Returns:
        Faults without warnings; empty where it may pass.
    """
    after = dict(refs)
    for update in updates:
        after.pop(update.ref, None)
        if not update.deletes:
            after[update.ref] = update.new
    problems: list[Problem] = []
    for update in updates:
        if update.ref.startswith(_TAGS):
            problems += _check_tag(repository, update, after)
        elif update.ref.startswith(_HEADS):
            problems += _check_branch(repository, update, after, known)
    return tuple(dict.fromkeys(problems))


def _check_tag(repository: GitRepository, update: RefUpdate, after: Mapping[str, str]) -> Iterator[Problem]:
    tag = update.ref.removeprefix(_TAGS)
    if update.deletes or not (update.creates or update.old == update.new):
        what = f"{tag} would be {'deleted' if update.deletes else 'moved'}"
        remedy = "trainings rely on it: make the next version instead"
        yield _problem("E207", tag, what, f"object {update.old[:12]} for ever", f"object {update.new[:12]}", remedy)
        return
    answer = repository.git("rev-parse", "--verify", "--quiet", f"{update.new}^{{commit}}")
    if answer.returncode != 0:
        yield _problem("E208", tag, "a tag of something else", "a commit", f"object {update.new[:12]}", "tag a commit")
        return
    commit = answer.stdout.decode("ascii").strip()
    yield from errors_of(check_release(repository, commit, tag=tag, strict=True, refs=after))


def _check_branch(
    repository: GitRepository, update: RefUpdate, after: Mapping[str, str], known: Sequence[str]
) -> Iterator[Problem]:
    branch = update.ref.removeprefix(_HEADS)
    registry, _ = registry_of(repository, update.old if update.deletes else update.new)
    candidate = Candidate(repository, update.new, None, branch, registry, after, None)
    if candidate.task is not None:
        if update.deletes:
            remedy = "its releases follow one another: leave it"
            yield _problem("E203", branch, f"{branch} would be deleted", "a branch that only grows", "deleted", remedy)
        elif not update.creates and not candidate.is_ancestor(update.old, update.new):
            what, got = f"{branch} would lose commits", f"{update.new[:12]}, which does not follow {update.old[:12]}"
            remedy = "pull with --rebase, and never force; to take back data use `admlops data rollback`"
            yield _problem("E203", branch, what, "new commits after the old ones", got, remedy)
    if update.deletes:
        return
    yield from errors_of(check_release(repository, update.new, branch=branch, refs=after))
    if candidate.holds_data:
        old = [] if update.creates else [f"^{update.old}"]
        # What a trunk has is not data, also where it comes in the same push.
        old += [f"^{sha}" for ref, sha in after.items() if ref.startswith(_HEADS) and not _holds_data(candidate, ref)]
        for commit in candidate.commits(update.new, *old, "--not", *known):
            if len(commit.parents) < 2:
                yield from check_message(commit.message, f"{branch} ({commit.sha[:12]})")


def _holds_data(candidate: Candidate, ref: str) -> bool:
    return replace(candidate, branch=ref.removeprefix(_HEADS)).holds_data


def _problem(code: str, where: str, what: str, expected: str, got: str, remedy: str) -> Problem:
    return Problem(code=code, where=where, what=what, expected=expected, got=got, remedy=remedy)
