"""A commit that is, or is about to be, a release, as the rules of a repository see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from pydantic import ValidationError

from admlops.data_release import names
from admlops.data_release.git_repository import GitRepository
from admlops.data_release.repository.registry import REGISTRY_FILE, Registry
from admlops.data_release.schema import DATASET_FILE, TrainingDataset
from admlops.data_release.strict_json import JsonPath, Position, parse_strict, positions
from admlops.errors import DataReleaseError

_LOG_FORMAT = "%H%x00%P%x00%B%x01"


@dataclass(frozen=True)
class Commit:
    """A commit of a branch.

    Attributes:
        sha: Its full sha.
        parents: Full shas; the first is the branch's previous commit.
        message: Its message.
    """

    sha: str
    parents: tuple[str, ...]
    message: str


@dataclass(frozen=True)
class Candidate:
    """What the rules look at. All of it is at fixed commits; the working tree plays no part.

    Attributes:
        repository: The repository.
        commit: Full sha.
        tag: Name of the commit's tag, which need not exist yet; None where it is checked as a commit.
        branch: Branch that the commit is on; None where only its tag tells.
        registry: Content of the commit's ``data_release.yaml``; None where there is none.
        refs: Object by full name of every ref, as they will be after the push that is being checked.
        remote: Name of the remote to compare with; None to ask nobody.
    """

    repository: GitRepository
    commit: str
    tag: str | None
    branch: str | None
    registry: Registry | None
    refs: Mapping[str, str]
    remote: str | None

    @property
    def where(self) -> str:
        """What messages call it."""
        return self.tag or (f"{self.branch} ({self.commit[:12]})" if self.branch else self.commit[:12])

    @cached_property
    def tag_name(self) -> names.TagName | None:
        """The tag's name taken apart; None where there is no tag, or none of a valid name."""
        return names.split_tag(self.tag) if self.tag else None

    @cached_property
    def tag_object(self) -> str | None:
        """Object of the tag; None where it does not exist yet."""
        return self.refs.get(f"refs/tags/{self.tag}") if self.tag else None

    @cached_property
    def task_branch(self) -> str | None:
        """The branch whose rules count: the one given, else that of the tag's task."""
        if self.branch is not None or self.tag_name is None or self.tag_name.task is None:
            return self.branch
        entry = self.registry.tasks.get(self.tag_name.task) if self.registry else None
        return entry.branch if entry else f"master/{self.tag_name.task}"

    @cached_property
    def task(self) -> str | None:
        """The task whose branch it is on, or whose tag it has."""
        if self.tag_name is not None and self.tag_name.task is not None:
            return self.tag_name.task
        if self.branch is None:
            return None
        registered = self.registry.task_of_branch(self.branch) if self.registry else None
        return registered or (self.branch.removeprefix("master/") if self.branch.startswith("master/") else None)

    @property
    def holds_data(self) -> bool:
        """Whether a dataset file belongs here: everywhere but on a trunk that no task works on."""
        return self.branch is None or self.task is not None or is_data_branch(self.branch)

    @cached_property
    def files(self) -> tuple[str, ...]:
        """Every path of the commit."""
        answer = self.repository.run("ls-tree", "-r", "-z", "--name-only", "--full-tree", self.commit)
        return tuple(path for path in answer.split("\0") if path)

    @cached_property
    def content(self) -> bytes | None:
        """The dataset file's bytes; None where the commit has none."""
        return self.repository.read(self.commit, DATASET_FILE)

    @cached_property
    def dataset(self) -> TrainingDataset | None:
        """Content of the dataset file; None where it is missing or invalid, which other rules report."""
        if self.content is None:
            return None
        try:
            return TrainingDataset.model_validate(parse_strict(self.content, DATASET_FILE))
        except (DataReleaseError, ValidationError):
            return None

    @cached_property
    def places(self) -> dict[JsonPath, Position]:
        """Line and column of every value of the dataset file, which has to be valid."""
        return positions(self.content or b"{}")

    @cached_property
    def family(self) -> dict[str, tuple[int, ...]]:
        """The other tags of the tag's family, oldest first, with their places in it."""
        if self.tag_name is None:
            return {}
        members = {tag: parts.order for tag, parts in self._tags.items() if parts.family == self.tag_name.family}
        return dict(sorted(members.items(), key=lambda item: item[1]))

    @cached_property
    def previous_tag(self) -> str | None:
        """The newest tag of the family that is older than this one."""
        own = self.tag_name.order if self.tag_name else ()
        return next((name for name in reversed(self.family) if self.family[name] < own), None)

    @cached_property
    def earlier_tags(self) -> tuple[str, ...]:
        """The tags that have to lie behind this commit: the previous one of the tag's family, else all of the branch's task."""
        if self.tag is not None:
            return (self.previous_tag,) if self.previous_tag else ()
        return tuple(tag for tag, parts in self._tags.items() if self.task is not None and parts.task == self.task)

    @cached_property
    def _tags(self) -> dict[str, names.TagName]:
        tags = (ref.removeprefix("refs/tags/") for ref in self.refs if ref.startswith("refs/tags/"))
        return {tag: parts for tag in tags if tag != self.tag and (parts := names.split_tag(tag))}

    @cached_property
    def first_parents(self) -> tuple[Commit, ...]:
        """The branch's own commits since the previous tag, or since the repository has a registry; newest first."""
        start = self.commit_of(f"refs/tags/{self.previous_tag}") if self.previous_tag else None
        if start is None or not self.is_ancestor(start, self.commit):
            added = self.repository.run(
                "log", "--first-parent", "--diff-filter=A", "--format=%H", self.commit, "--", REGISTRY_FILE
            ).split()
            if not added:
                return ()
            start = added[-1]
        return self.commits(f"{start}..{self.commit}")

    def commits(self, *revisions: str) -> tuple[Commit, ...]:
        """List commits along first parents, newest first.

        Args:
            *revisions: As ``git rev-list`` takes them, such as ``old..new``.

        Returns:
            The commits.
        """
        log = self.repository.run("log", "--first-parent", f"--format={_LOG_FORMAT}", *revisions)
        rows = (row.lstrip("\n").split("\0") for row in log.split("\x01") if row.strip("\n"))
        return tuple(Commit(sha, tuple(parents.split()), message.strip("\n")) for sha, parents, message in rows)

    def commit_of(self, ref: str) -> str | None:
        """Find the commit of a ref as it will be.

        Args:
            ref: Its full name.

        Returns:
            Full sha; None where there is no such ref, or not of a commit.
        """
        if ref not in self.refs:
            return None
        answer = self.repository.git("rev-parse", "--verify", "--quiet", f"{self.refs[ref]}^{{commit}}")
        return answer.stdout.decode("ascii").strip() if answer.returncode == 0 else None

    def branch_tips(self, name: str) -> tuple[str, ...]:
        """Find the tips of a branch, here and as it was last seen at remotes.

        Args:
            name: Of the branch.

        Returns:
            Full shas, each once.
        """
        spellings = (f"refs/heads/{name}", *(ref for ref in self.refs if ref.startswith("refs/remotes/")))
        hits = (ref for ref in spellings if ref in self.refs and (ref.startswith("refs/heads/") or _is_remote(ref, name)))
        return tuple(dict.fromkeys(self.refs[ref] for ref in hits))

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Tell whether a commit is another, or one that it follows."""
        return self.repository.git("merge-base", "--is-ancestor", older, newer).returncode == 0

    def is_first_parent(self, older: str, newer: str) -> bool:
        """Tell whether a commit is another, or one that it follows without the help of a merge."""
        if older == newer:
            return True
        # The range ends early: what the older commit follows cannot be it.
        return older in self._own_commits(newer, f"{older}^@")

    def _own_commits(self, newest: str, without: str) -> list[str]:
        answer = self.repository.git("rev-list", "--first-parent", newest, "--not", without)
        return answer.stdout.decode("ascii").split()


def read_refs(repository: GitRepository) -> dict[str, str]:
    """List every ref with its object."""
    rows = repository.run("for-each-ref", "--format=%(objectname) %(refname)").splitlines()
    return {name: sha for sha, _, name in (row.partition(" ") for row in rows)}


def is_data_branch(name: str) -> bool:
    """Tell from a branch's name that data are curated on it; a trunk may be one too, where a task is registered for it."""
    return name.startswith(("master/", "feature_dataset/", "experiment/"))


def _is_remote(ref: str, name: str) -> bool:
    return ref.removeprefix("refs/remotes/").partition("/")[2] == name
