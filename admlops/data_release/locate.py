"""From an entry's ``obs_path`` to a file on this machine: the one place where kinds of storage differ."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from admlops.data_release.cache import sha256_of
from admlops.data_release.git_repository import GitRepository
from admlops.data_release.line_offsets import load_offsets
from admlops.data_release.repository.registry import REGISTRY_FILE
from admlops.data_release.schema import Integrity, ReleaseEntry
from admlops.data_release.storage import DataPath, RemotePath, StorageProfiles, fetch_object, is_url, path_of
from admlops.errors import DataReleaseError, nearest


@dataclass(frozen=True)
class Origin:
    """Where a release comes from.

    Attributes:
        base_dir: What relative paths refer to.
        repository: The git repository; None for a plain folder.
        commit: Full sha of the release's commit; None for a plain folder.
    """

    base_dir: Path
    repository: GitRepository | None = None
    commit: str | None = None

    @cached_property
    def profiles(self) -> StorageProfiles:
        """Object stores of the release, from the ``data_release.yaml`` beside its dataset file."""
        if self.repository is not None and self.commit is not None:
            where = f"{self.repository.path / REGISTRY_FILE} at {self.commit[:12]}"
            return StorageProfiles.of_release(self.repository.read(self.commit, REGISTRY_FILE), where)
        path = self.base_dir / REGISTRY_FILE
        return StorageProfiles.of_release(path.read_bytes() if path.is_file() else None, path)


class Located(NamedTuple):
    """An index file on this machine.

    Attributes:
        path: The file; in the cache where it comes from a store.
        base_dir: What relative paths inside its records refer to: the folder of its URL where it comes from a store.
    """

    path: Path
    base_dir: DataPath


def locate(entry: ReleaseEntry, origin: Origin, max_bad: int = 0, *, count: bool = True) -> Located:
    """Find an entry's index file.

    A relative path in a repository is read from the commit. Where the commit does not track it, the file of that name beside
    the repository is accepted only if ``integrity.sha256`` pins its content: nothing else would tell if it changed.

    Args:
        entry: The entry.
        origin: Where its release comes from.
        max_bad: Bad lines that its index leaves out, see ``JsonlIndex``.
        count: Whether ``integrity.num_samples`` is verified too, which checks every record; it stops at the first bad one.

    Returns:
        The file, present and, where the entry has ``integrity``, verified.

    Raises:
        DataReleaseError: E206, production is pending, or an untracked file is not pinned; E401, no such file; E402, its content
            is not what ``integrity`` says; or it does not come out of its store, see ``fetch_object``.
    """
    where = f"entry {entry.name!r}, obs_path {entry.obs_path!r}"
    if not entry.obs_path:
        raise DataReleaseError(
            "an entry has no data yet",
            where=where,
            got=f"status {entry.status or 'not given'}",
            remedy="fill in obs_path once it is produced, or take the entry out of this release",
            code="E206",
        )
    url = path_of(entry.obs_path, origin.profiles) if is_url(entry.obs_path) else None
    if isinstance(url, RemotePath):
        path = fetch_object(entry.obs_path, integrity=entry.integrity, profiles=origin.profiles)
        located = Located(path, url.parent)
        if count:
            _verify_count(entry.integrity, path, where, max_bad)
        return located
    if url is not None:
        located = Located(url, url.parent)
    elif origin.repository is None or Path(entry.obs_path).is_absolute():
        path = origin.base_dir / entry.obs_path
        located = Located(path, path.parent)
    else:
        located = _locate_in_repository(entry, origin, where)
    if not located.path.is_file():
        siblings = [other.name for other in located.path.parent.iterdir()] if located.path.parent.is_dir() else []
        raise DataReleaseError(
            "an index file is missing",
            where=where,
            expected=located.path,
            remedy=nearest(located.path.name, siblings) if siblings else f"there is no folder {located.path.parent} either",
            code="E401",
        )
    _verify(entry.integrity, located.path, where)
    if count:
        _verify_count(entry.integrity, located.path, where, max_bad)
    return located


def _locate_in_repository(entry: ReleaseEntry, origin: Origin, where: str) -> Located:
    name = posixpath.normpath(entry.obs_path)
    beside = origin.base_dir / name
    if origin.repository is not None and origin.commit is not None and not name.startswith(".."):
        blob = origin.repository.blob(origin.commit, name)
        if blob is not None:
            return Located(origin.repository.materialise(blob, beside.name), beside.parent)
    if entry.integrity is None:
        raise DataReleaseError(
            "an index file is neither in the commit nor pinned by a hash",
            where=f"{where}, commit {origin.commit}",
            expected=f"{name} tracked by git, or integrity.sha256 in its entry",
            remedy="commit the file, or write its integrity {sha256, bytes, num_samples} into the entry",
            code="E206",
        )
    return Located(beside, beside.parent)


def _verify(pinned: Integrity | None, path: Path, where: str) -> None:
    if pinned is None:
        return
    size_bytes = path.stat().st_size
    if size_bytes != pinned.bytes:
        raise _differs(path, where, f"{pinned.bytes} bytes", f"{size_bytes} bytes")
    sha256 = sha256_of(path)
    if sha256 != pinned.sha256:
        raise _differs(path, where, f"sha256 {pinned.sha256}", f"sha256 {sha256}")


def _verify_count(pinned: Integrity | None, path: Path, where: str, max_bad: int) -> None:
    if pinned is None:
        return
    lines = load_offsets(path, max_bad)
    num_samples = len(lines) + len(lines.bad)
    if num_samples != pinned.num_samples:
        raise _differs(path, where, f"{pinned.num_samples} records", f"{num_samples} records")


def _differs(path: Path, where: str, expected: str, got: str) -> DataReleaseError:
    return DataReleaseError(
        "an index file is not the one that was released",
        where=f"{where}: {path}",
        expected=expected,
        got=got,
        remedy="restore the released file, or release the changed one under a new tag",
        code="E402",
    )
