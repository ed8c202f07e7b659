"""Talk to the repository that a team shares: what it has, who put it there, and an atomic push without force."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from admlops.data_release.git_repository import GitRepository
from admlops.data_release.repository.tag_info import TagInfo, read_tags
from admlops.errors import DataReleaseError, MachineError, nearest

# Two pushes at the same moment: the one that comes second finds the ref locked and learns nothing about the first.
_LOCKED = re.compile(r"cannot lock ref|failed to update ref|unable to create .*\.lock|incorrect old value", re.IGNORECASE)
_LOCKED_RETRIES = 10
_LOCKED_WAIT_S = 0.2


@dataclass(frozen=True)
class Remote:
    """A remote of a repository.

    Attributes:
        repository: The repository here.
        name: Such as ``origin``.
    """

    repository: GitRepository
    name: str

    @classmethod
    def named(cls, repository: GitRepository, name: str) -> Remote:
        """Look a remote up.

        Args:
            repository: The repository here.
            name: Such as ``origin``.

        Returns:
            The remote.

        Raises:
            DataReleaseError: The repository has no such remote.
        """
        known = repository.run("remote").split()
        if name not in known:
            remedy = nearest(name, known) if known else "`git remote add origin URL`, or --no-push where nobody shares it"
            raise DataReleaseError(f"there is no remote {name!r}", where=repository.path, got=repr(name), remedy=remedy)
        return cls(repository, name)

    def refs(self, *patterns: str) -> dict[str, str]:
        """Ask for refs.

        Args:
            *patterns: Full names, or with ``*``.

        Returns:
            Sha by full name, without the peeled ones.

        Raises:
            MachineError: E403, it cannot be reached.
        """
        answer = self.repository.git("ls-remote", "--refs", "--", self.name, *patterns)
        if answer.returncode != 0:
            raise self._unreachable(answer.stderr.decode("utf-8", "replace"))
        rows = (row.split("\t") for row in answer.stdout.decode("utf-8", "replace").splitlines())
        return {name: sha for sha, name in rows}

    def tag(self, name: str) -> TagInfo:
        """Read a tag of the remote without making it a tag here.

        Args:
            name: Such as ``multi_task/v1.0.0``.

        Returns:
            Who made it, when, of which commit.

        Raises:
            DataReleaseError: E207, the remote has no such tag, or not of a commit.
            MachineError: E403, it cannot be reached.
        """
        with self._fetched(f"refs/tags/{name}") as private:
            tags = read_tags(self.repository, private)
        if not tags:
            raise DataReleaseError(f"{name} on {self.name} is no tag of a commit", where=self.repository.path, code="E207")
        return dataclasses.replace(tags[0], name=name)

    def fetch(self, ref: str) -> None:
        """Bring the objects of a ref here; no ref here changes.

        Args:
            ref: Its full name.

        Raises:
            DataReleaseError: E207, the remote has no such ref.
            MachineError: E403, it cannot be reached.
        """
        with self._fetched(ref):
            pass

    def push(self, refspecs: dict[str, str]) -> str | None:
        """Push all or nothing, never with force; hooks of both sides run.

        Args:
            refspecs: Full sha by full name of the ref there.

        Returns:
            None where it was accepted, else what git said.
        """
        arguments = [f"{sha}:{ref}" for ref, sha in refspecs.items()]
        for attempt in range(_LOCKED_RETRIES):
            answer = self.repository.git("push", "--atomic", "--porcelain", "--no-follow-tags", "--", self.name, *arguments)
            if answer.returncode == 0:
                return None
            said = (answer.stderr + answer.stdout).decode("utf-8", "replace")
            if not _LOCKED.search(said):
                break
            time.sleep(_LOCKED_WAIT_S * (1 + attempt / 4))
        return said

    @contextlib.contextmanager
    def _fetched(self, ref: str) -> Iterator[str]:
        # A ref of its own name: many processes may ask at once, and a fetched tag must never stand among the tags here.
        private = f"refs/admlops/fetched/{uuid.uuid4().hex}"
        answer = self.repository.git("fetch", "--no-tags", "--no-write-fetch-head", "--", self.name, f"{ref}:{private}")
        try:
            if answer.returncode != 0:
                said = answer.stderr.decode("utf-8", "replace")
                if "find remote ref" in said:
                    what = f"{self.name} has no {ref}"
                    raise DataReleaseError(what, where=self.repository.path, remedy="push it, or correct the name", code="E207")
                raise self._unreachable(said)
            yield private
        finally:
            self.repository.git("update-ref", "-d", private)

    def _unreachable(self, said: str) -> MachineError:
        lines = [line for line in said.strip().splitlines() if line]
        return MachineError(
            f"the remote {self.name!r} cannot be reached",
            where=self.repository.path,
            got=" / ".join(lines[:3]),
            remedy="check the network, its address (`git remote -v`) and your access; nothing was changed here",
            code="E403",
        )
