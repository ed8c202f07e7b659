"""Tag a release: checked, annotated, and pushed together with its branch or not at all.

The tag appears here only after the remote has accepted it. Until then a ref of our own (``refs/admlops/pending/<tag>``) says
which tag object is on its way, so that the run after a killed one can tell its own tag from somebody else's.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from admlops.data_release import names
from admlops.data_release.dataset_file import InvalidDatasetFileError, read_dataset_file
from admlops.data_release.git_repository import GitRepository
from admlops.data_release.problem import Problem, errors_of
from admlops.data_release.repository.check import check_release
from admlops.data_release.repository.history import NO_OBJECT, Branch, find_branch, is_ancestor, person
from admlops.data_release.repository.next_tag import next_version, tag_name
from admlops.data_release.repository.remote import Remote
from admlops.data_release.repository.tag_annotation import build_annotation
from admlops.data_release.repository.tag_info import TagInfo, read_tags
from admlops.data_release.repository.task_branch import branch_of_task
from admlops.data_release.repository.trace import trace
from admlops.data_release.schema import DATASET_FILE
from admlops.errors import DataReleaseError, MachineError


@dataclass(frozen=True)
class TagOutcome:
    """A tag that was made.

    Attributes:
        tag: What it is now.
        branch: The branch that it was made on.
        remote: Where it was pushed to, with the branch; None where it is only here.
        finished_interrupted: An earlier run had pushed it and was killed before it could say so.
        warnings: What the checks found that is no reason to refuse.
    """

    tag: TagInfo
    branch: str
    remote: str | None
    finished_interrupted: bool = False
    warnings: tuple[Problem, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        return {
            **self.tag.to_json(),
            "annotation": self.tag.annotation,
            "branch": self.branch,
            "remote": self.remote,
            "finished_interrupted": self.finished_interrupted,
            "warnings": [warning.to_json() for warning in self.warnings],
        }

    def to_text(self) -> str:
        """Lay it out for a terminal."""
        place = f"pushed to {self.remote} with {self.branch}" if self.remote else f"only here, on {self.branch}"
        lines = [f"{self.tag.name}  {place}", f"  commit  {self.tag.commit}", f"  tagger  {self.tag.tagger}"]
        if self.finished_interrupted:
            lines.append("  an earlier run had pushed this tag before it was interrupted; now it is here too")
        return "\n".join([*lines, *(f"  {warning}" for warning in self.warnings)])


def tag(
    repo: str | Path,
    name: str,
    *,
    branch: str | None = None,
    message: str = "",
    push: bool = True,
    remote: str = "origin",
    require_trace: bool = False,
) -> TagOutcome:
    """Tag the newest commit of a branch, and push both at once without force.

    Args:
        repo: The repository.
        name: Of the tag, or ``TASK/next-minor`` (``next-major``, ``next-patch``).
        branch: What is tagged; by default the task's branch, or the one feature branch of the topic.
        message: What is new; the annotation's ``description``.
        push: Whether it is shared. Without, the tag is only here.
        remote: Where it is shared.
        require_trace: Refuse a release whose channels and specifications are not all found.

    Returns:
        The tag.

    Raises:
        DataReleaseError: The release breaks a rule; E208, the name is none; E203, the branch moved; E207, somebody else made
            this tag (it is said who); with ``require_trace``: E103 or a missing link; the remote refused it; or git does not
            know who is tagging.
        MachineError: E403, the remote cannot be reached.
    """
    repository = GitRepository.open(repo)
    shared = Remote.named(repository, remote) if push else None
    with _alone(repository):
        return _Tagging(repository, shared, remote, message, require_trace).run(name, branch)


@dataclass(frozen=True)
class _Tagging:
    repository: GitRepository
    shared: Remote | None
    remote: str
    message: str
    require_trace: bool

    def run(self, wish: str, branch_name: str | None) -> TagOutcome:
        here = {tag.name: tag for tag in read_tags(self.repository)}
        there = self.shared.refs("refs/tags/*", "refs/heads/*") if self.shared else {}
        taken = {*here, *(ref.removeprefix("refs/tags/") for ref in there if ref.startswith("refs/tags/"))}
        name = tag_name(wish, taken)
        interrupted = self._settle(name, there.get(f"refs/tags/{name}"))
        branch = find_branch(self.repository, branch_name or self._branch_of(name), self.remote)
        if interrupted:
            return self._outcome(name, branch, finished_interrupted=True)
        self._refuse_taken(name, here.get(name), there.get(f"refs/tags/{name}"), taken)
        if self.shared:
            self._refuse_moved(branch, there.get(f"refs/heads/{branch.name}"))
        tagger = person(self.repository)
        problems = check_release(self.repository, branch.commit, tag=name, branch=branch.name, strict=True)
        if self.require_trace and not errors_of(problems):
            problems += self._missing_links(branch.commit)
        if errors_of(problems):
            raise InvalidDatasetFileError(problems, f"{branch.name} ({branch.commit[:12]})")
        text = self._annotation(name, branch.commit)
        existing = here.get(name)
        if existing and (existing.commit != branch.commit or existing.annotation.strip() != text):
            raise self._only_here(existing)
        sha = existing.sha if existing else self._write(name, branch.commit, tagger, text)
        if self.shared:
            self._push(self.shared, name, sha, branch)
        if not existing:
            self._keep(name, sha)
        return self._outcome(name, branch, warnings=problems)

    def _branch_of(self, name: str) -> str:
        parts = names.split_tag(name)
        task = parts.task if parts else None
        if task is not None:
            return branch_of_task(self.repository, task, self.remote)
        topic = parts.topic if parts else None
        refs = self.repository.run("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads/feature_dataset").splitlines()
        found = [ref for ref in refs if topic == ref.split("/")[-2]]
        if len(found) == 1:
            return found[0]
        raise DataReleaseError(
            f"{len(found)} branches work on the topic {topic!r}",
            where=self.repository.path,
            expected="one branch feature_dataset/[TASK/]TOPIC/METHOD",
            got=", ".join(found) or None,
            remedy="name it with --branch",
        )

    def _settle(self, name: str, there: str | None) -> bool:
        """Learn what became of a run that was killed: whether it had pushed the tag."""
        pending = f"refs/admlops/pending/{name}"
        answer = self.repository.git("rev-parse", "--verify", "--quiet", pending)
        if answer.returncode != 0 or self.shared is None:
            return False
        sha = answer.stdout.decode("ascii").strip()
        if sha == there:
            self._keep(name, sha)
        self.repository.run("update-ref", "-d", pending)
        return sha == there

    def _refuse_taken(self, name: str, here: TagInfo | None, there: str | None, taken: set[str]) -> None:
        if self.shared and there:
            winner = self.shared.tag(name)
            if here and here.sha != there:
                what = f"the tag {name} is another one here than at {self.shared.name}: one of the two was moved or re-created"
                got = f"there {winner.credit()}; here {here.credit()}"
                remedy = f"where theirs is right: `git tag -d {name}`, then `git fetch {self.shared.name} tag {name}`"
                raise DataReleaseError(what, where=self.repository.path, got=got, remedy=remedy, code="E207")
            raise _taken(self.repository, f"at {self.shared.name}", winner, taken)
        if here and not self.shared:
            raise _taken(self.repository, "here", here, taken)

    def _refuse_moved(self, branch: Branch, there: str | None) -> None:
        if self.shared is None or there is None or is_ancestor(self.repository, there, branch.commit):
            return
        self.shared.fetch(f"refs/heads/{branch.name}")
        remote = self.shared.name
        newest = self.repository.run("log", "-1", "--format=%h by %an at %aI: %s", there)
        raise DataReleaseError(
            f"{branch.name} moved at {self.shared.name}: it has commits that are not here",
            where=self.repository.path,
            expected=f"{branch.commit[:12]} or one that it follows",
            got=newest,
            remedy=f"`git fetch {remote}`, `git rebase {remote}/{branch.name} {branch.name}`, then tag again",
            code="E203",
        )

    def _only_here(self, existing: TagInfo) -> DataReleaseError:
        return DataReleaseError(
            f"the tag {existing.name} exists here, was never pushed, and is not what would be tagged now",
            where=self.repository.path,
            got=existing.credit(),
            remedy=f"`git tag -d {existing.name}` where nobody has used it, then tag again",
            code="E207",
        )

    def _missing_links(self, commit: str) -> tuple[Problem, ...]:
        traced = trace(self.repository.path, commit)
        remedy = "mend DataSpecHub, or correct the release"
        found = [
            Problem(link.code, link.what, link.expected, "a missing link", remedy, where=link.where, warning=not link.required)
            for link in traced.missing
        ]
        if traced.consumer is None:
            # Two consumers can share a version: what is unambiguous today need not stay so.
            what, expected = "meta.consumer does not say for whom the release is", "the consumer's name"
            found.append(Problem("E103", what, expected, "no such key", "write the name of its folder in DataSpecHub"))
        return tuple(found)

    def _annotation(self, name: str, commit: str) -> str:
        content = self.repository.read(commit, DATASET_FILE) or b""
        text = build_annotation(name, read_dataset_file(content, f"{DATASET_FILE} at {commit[:12]}"), content).to_text()
        # A key of YAML: whoever reads the annotation reads all of it.
        return (text + (f"description: {json.dumps(self.message, ensure_ascii=False)}" if self.message else "")).strip()

    def _write(self, name: str, commit: str, tagger: str, text: str) -> str:
        head = f"object {commit}\ntype commit\ntag {name}\ntagger {tagger}\n\n"
        return self.repository.run("mktag", input=(head + text + "\n").encode())

    def _push(self, shared: Remote, name: str, sha: str, branch: Branch) -> None:
        pending = f"refs/admlops/pending/{name}"
        tag_ref, branch_ref = f"refs/tags/{name}", f"refs/heads/{branch.name}"
        self.repository.run("update-ref", pending, sha)
        said = shared.push({branch_ref: branch.commit, tag_ref: sha})
        try:
            there = shared.refs(tag_ref, branch_ref) if said else {tag_ref: sha}
        except MachineError as error:
            error.what = f"{error.what} any more; whether the tag {name} arrived there is unknown"
            error.remedy = "tag again when it is back: that run finishes what this one began, or begins anew"
            raise error from None
        if there.get(tag_ref) == sha:
            return  # The answer was lost, not the push.
        self.repository.run("update-ref", "-d", pending)
        if tag_ref in there:
            raise _taken(self.repository, f"at {shared.name}", shared.tag(name), {name})
        self._refuse_moved(branch, there.get(branch_ref))
        raise DataReleaseError(
            f"{shared.name} refused {branch.name} and {name}; nothing was changed there or here",
            where=self.repository.path,
            got="\n            ".join(line for line in (said or "").strip().splitlines() if line),
            remedy="mend what it says, then tag again",
        )

    def _keep(self, name: str, sha: str) -> None:
        """Make the tag a tag here; one that came by a fetch meanwhile is the same."""
        ref = f"refs/tags/{name}"
        answer = self.repository.git("update-ref", "-m", "admlops data tag", ref, sha, NO_OBJECT)
        if answer.returncode != 0 and self.repository.run("rev-parse", ref) != sha:
            raise _taken(self.repository, "here", read_tags(self.repository, ref)[0], {name})
        self.repository.git("update-ref", "-d", f"refs/admlops/pending/{name}", sha)

    def _outcome(
        self, name: str, branch: Branch, *, finished_interrupted: bool = False, warnings: tuple[Problem, ...] = ()
    ) -> TagOutcome:
        (made,) = read_tags(self.repository, f"refs/tags/{name}")
        return TagOutcome(made, branch.name, self.shared.name if self.shared else None, finished_interrupted, warnings)


def _taken(repository: GitRepository, place: str, winner: TagInfo, taken: set[str]) -> DataReleaseError:
    parts = names.split_tag(winner.name)
    remedy = "choose another name; `git fetch --tags` brings this one"
    if parts and parts.task and parts.version:
        remedy = f"the next one is {next_version(parts.task, 'patch', taken)}; `git fetch --tags` brings this one"
    what = f"the tag {winner.name} exists {place} already"
    return DataReleaseError(what, where=repository.path, got=winner.credit(), remedy=remedy, code="E207")


@contextlib.contextmanager
def _alone(repository: GitRepository) -> Iterator[None]:
    """Let one process at a time tag in this repository; the kernel ends the wait when the holder dies."""
    folder = repository.path / repository.run("rev-parse", "--git-common-dir")
    with (folder / "admlops-tag.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
