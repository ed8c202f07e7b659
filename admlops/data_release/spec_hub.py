"""Read a checkout of DataSpecHub: bundles, consumers and channels, at a revision or as they lie.

::

    bundles/{weekly,snapshots,release}/{name}-{bundle version}.yaml
    consumers/{name}/{consumer version}.yaml
    channels/{channel}/spec-{version}.yaml
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from admlops.data_release.git_repository import GitRepository
from admlops.errors import DataReleaseError

FOLDERS = ("bundles", "consumers", "channels")
BUNDLE_FOLDERS = ("weekly", "snapshots", "release")


@dataclass(frozen=True)
class SpecHub:
    """A checkout. Made by ``open``.

    Attributes:
        path: Its folder.
        rev: Full sha of what is read; of a working tree, of its newest commit; None where no git repository holds it.
        dirty: Whether files are read that ``rev`` does not have.
        files: Every YAML file of the three folders, relative to ``path``.
    """

    path: Path
    rev: str | None
    dirty: bool
    files: frozenset[str]
    _repository: GitRepository | None = None
    _prefix: str = ""

    @classmethod
    def open(cls, path: str | Path, rev: str | None = None) -> SpecHub:
        """Find what a checkout holds.

        Args:
            path: Its folder.
            rev: Tag, branch or commit to read; the files as they lie where None.

        Returns:
            The checkout.

        Raises:
            DataReleaseError: E501, it is no checkout of DataSpecHub, or has no such revision.
        """
        folder = Path(path).expanduser().resolve()
        if not folder.is_dir():
            raise _no_hub("there is no checkout of DataSpecHub", folder, "a folder with bundles, consumers and channels")
        repository = _repository_of(folder)
        prefix = "" if repository is None else folder.relative_to(repository.base_dir.resolve()).as_posix()
        prefix = "" if prefix in {"", "."} else f"{prefix}/"
        if rev is None:
            found = [file for name in FOLDERS for file in (folder / name).rglob("*.yaml") if file.is_file()]
            files = frozenset(file.relative_to(folder).as_posix() for file in found)
            head, dirty = (None, False) if repository is None else _state(repository, folder)
            hub = cls(folder, head, dirty, files)
        else:
            commit = _commit(repository, rev, folder)
            listed = (
                repository.run("ls-tree", "-r", "-z", "--name-only", "--full-tree", commit).split("\0") if repository else []
            )
            own = (name.removeprefix(prefix) for name in listed if name.startswith(prefix) and name.endswith(".yaml"))
            files = frozenset(name for name in own if name.partition("/")[0] in FOLDERS)
            hub = cls(folder, commit, False, files, repository, prefix)
        if not files:
            raise _no_hub("this is no checkout of DataSpecHub", folder, f"YAML files in {', '.join(FOLDERS)}")
        return hub

    def read(self, path: str) -> dict[str, Any]:
        """Read a file; every scalar is text, so that the version 1.10 does not become the number 1.1.

        Args:
            path: One of ``files``.

        Returns:
            Its mapping.

        Raises:
            DataReleaseError: E507, it is not YAML or no mapping.
        """
        content = self._content(path)
        try:
            # The base loader makes text and nothing else; the file is somebody else's, so anchors and tags may stay.
            value = yaml.load(content.decode("utf-8"), Loader=yaml.BaseLoader)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise _unreadable(path, " ".join(str(error).split())) from error
        if not isinstance(value, dict):
            raise _unreadable(path, "it holds no mapping")
        return value

    def _content(self, path: str) -> bytes:
        if self._repository is None or self.rev is None:
            return (self.path / path).read_bytes()
        content = self._repository.read(self.rev, self._prefix + path)
        if content is None:
            raise _unreadable(path, "git holds no regular file of this name")
        return content


def _repository_of(folder: Path) -> GitRepository | None:
    try:
        return GitRepository.open(folder)
    except DataReleaseError:
        return None


def _state(repository: GitRepository, folder: Path) -> tuple[str | None, bool]:
    answer = repository.git("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if answer.returncode != 0:
        return None, True
    places = [str(folder / name) for name in FOLDERS]
    status = repository.run("--literal-pathspecs", "status", "--porcelain", "--untracked-files=all", "--", *places)
    return answer.stdout.decode("ascii").strip(), bool(status)


def _commit(repository: GitRepository | None, rev: str, folder: Path) -> str:
    try:
        if repository is not None:
            return repository.resolve(rev)
    except DataReleaseError:
        pass
    what = f"the checkout of DataSpecHub has no revision {rev!r}"
    raise _no_hub(what, folder, "the revision that data_release.yaml names", "`git fetch` there, or correct the revision")


def _no_hub(
    what: str, where: Path, expected: str, remedy: str = "clone it, and name its folder: --dataspechub"
) -> DataReleaseError:
    return DataReleaseError(what, where=where, expected=expected, remedy=remedy, code="E501")


def _unreadable(path: str, reason: str) -> DataReleaseError:
    what = f"a file of DataSpecHub cannot be read: {reason}"
    return DataReleaseError(what, where=path, expected="a YAML mapping", remedy="correct it in DataSpecHub", code="E507")
