"""Objects on this machine, each downloaded once: ``$ADMLOPS_CACHE/blobs``.

Pinned objects lie under their hash, ``blobs/sha256/ab/<sha256>``, and are checked against it; the store is not asked again.
Objects that nothing pins lie under a hash of URL, ETag and size, ``blobs/unverified/ab/<key>``; for these the store is asked
every time. Of all processes and ranks of a machine the first downloads, the others wait for its lock.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path

from admlops.data_release.cache import cache_root, only_one_process, remember_sha256, sha256_of
from admlops.data_release.schema import Integrity
from admlops.data_release.storage.limits import TransferLimits
from admlops.data_release.storage.object_store import ObjectInfo, is_url, store_of
from admlops.data_release.storage.part_file import PartFile
from admlops.data_release.storage.profiles import StorageProfiles
from admlops.data_release.storage.remote_path import path_of
from admlops.data_release.storage.transfer import RemoteObject
from admlops.errors import DataReleaseError, MachineError, nearest

_NO_PROFILES = StorageProfiles()


def fetch_object(
    url: str,
    *,
    integrity: Integrity | None = None,
    profiles: StorageProfiles = _NO_PROFILES,
    limits: TransferLimits | None = None,
) -> Path:
    """Have an object on this machine.

    Args:
        url: ``obs://``, ``s3://``, ``http(s)://``, ``file://``, or an absolute path.
        integrity: What it must be: ``sha256`` and ``bytes``; ``version_id`` chooses among the versions of a bucket.
        profiles: Endpoints of buckets.
        limits: When to give up; by default those of the environment.

    Returns:
        A file with its content, to be read only: the file itself where it is local, else one in the cache.

    Raises:
        DataReleaseError: E400, an unknown scheme; E401, no such object, or no access to it; E402, its content is not what
            ``integrity`` says; E403, the store stalls; E406, its end never comes; E124, no profile says where it is.
        MachineError: E404, no room in the cache; E403, another process holds it for too long; boto3 is not installed.
    """
    path = local_path(url)
    if path is not None:
        return _verified(path, url, integrity)
    limits = limits or TransferLimits.from_environment()
    remote = RemoteObject(url, store_of(url, profiles), limits, integrity.version_id if integrity else None)
    if integrity is not None:
        target = cached_blob(integrity.sha256)
        return _once(
            target, limits, lambda: _holds(target, integrity), lambda until: _download(remote, target, integrity, until)
        )
    info = remote.stat()
    key = hashlib.sha256(f"{url}\n{info.etag}\n{info.size}\n{info.version_id}".encode()).hexdigest()
    target = cache_root() / "blobs" / "unverified" / key[:2] / key
    return _once(target, limits, target.is_file, lambda until: _download(remote, target, None, until, info))


def stat_object(
    url: str,
    *,
    version_id: str | None = None,
    profiles: StorageProfiles = _NO_PROFILES,
    limits: TransferLimits | None = None,
) -> ObjectInfo:
    """Ask a store for an object's size and version, without its content.

    Args:
        url: As of ``fetch_object``.
        version_id: Of the version to ask for; None for the present one.
        profiles: Endpoints of buckets.
        limits: When to give up; by default those of the environment.

    Returns:
        Size, ETag, version.

    Raises:
        DataReleaseError: E400, an unknown scheme; E401, no such object, or no access to it; E403, no answer.
    """
    path = local_path(url)
    if path is not None:
        return ObjectInfo(_existing(path, url).stat().st_size)
    return RemoteObject(url, store_of(url, profiles), limits or TransferLimits.from_environment(), version_id).stat()


def cached_blob(sha256: str) -> Path:
    """Name the place of a pinned object in the cache.

    Args:
        sha256: Its hash.

    Returns:
        A path; there is a file only once it was fetched.
    """
    return cache_root() / "blobs" / "sha256" / sha256[:2] / sha256


def local_path(url: str) -> Path | None:
    """Find the file that a URL or path means without any transfer.

    Args:
        url: A URL or a path.

    Returns:
        The path; None for an object in a store.
    """
    path = path_of(url, _NO_PROFILES) if is_url(url) else Path(url)
    return path if isinstance(path, Path) else None


def _once(target: Path, limits: TransferLimits, present: Callable[[], bool], download: Callable[[float], None]) -> Path:
    if not present():
        deadline = limits.deadline()
        with only_one_process(target, deadline):
            if not present():
                download(deadline)
    return target


def _holds(target: Path, integrity: Integrity) -> bool:
    # The hash of a blob is remembered, so this reads the file only when somebody touched it.
    return target.is_file() and target.stat().st_size == integrity.bytes and sha256_of(target) == integrity.sha256


def _download(
    remote: RemoteObject, target: Path, integrity: Integrity | None, deadline: float, expected: ObjectInfo | None = None
) -> None:
    with _CheckedPart(target, remote.url, integrity, expected) as part:
        while True:
            info = remote.download(part, deadline)
            if integrity is None or (part.size == integrity.bytes and part.sha256 == integrity.sha256):
                break
            if part.resumed:
                # What an earlier process left may be from another object.
                part.restart()
                continue
            got = f"{part.size} bytes, sha256 {part.sha256}, {_version(info)}"
            part.discard()
            raise _changed(remote.url, integrity, got)
        part.finish()
        with contextlib.suppress(MachineError):  # the object itself is complete
            remember_sha256(target, part.sha256)


class _CheckedPart(PartFile):
    """A download that ends before it begins where the object is not the expected one."""

    def __init__(self, path: Path, url: str, integrity: Integrity | None, expected: ObjectInfo | None) -> None:
        super().__init__(path)
        self._url, self._integrity, self._expected = url, integrity, expected

    def begin(self, info: ObjectInfo) -> None:
        if self._integrity is not None and info.size not in {None, self._integrity.bytes}:
            self.discard()
            raise _changed(self._url, self._integrity, f"{info.size} bytes, {_version(info)}")
        if self._expected is not None and info.etag != self._expected.etag:
            self.discard()
            raise DataReleaseError(
                "an object changes while it is read",
                where=self._url,
                expected=_version(self._expected),
                got=_version(info),
                remedy="wait for its writer, and pin it with integrity",
                code="E402",
            )
        super().begin(info)


def _verified(path: Path, url: str, integrity: Integrity | None) -> Path:
    _existing(path, url)
    if integrity is not None:
        size_bytes = path.stat().st_size
        if size_bytes != integrity.bytes:
            raise _changed(url, integrity, f"{size_bytes} bytes")
        sha256 = sha256_of(path)
        if sha256 != integrity.sha256:
            raise _changed(url, integrity, f"sha256 {sha256}")
    return path


def _existing(path: Path, url: str) -> Path:
    if path.is_file():
        return path
    siblings = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    raise DataReleaseError(
        "a file is missing",
        where=url,
        expected=path,
        remedy=nearest(path.name, siblings) if siblings else f"there is no folder {path.parent} either",
        code="E401",
    )


def _version(info: ObjectInfo) -> str:
    return f"ETag {info.etag}" + (f", version {info.version_id}" if info.version_id else "")


def _changed(url: str, integrity: Integrity, got: str) -> DataReleaseError:
    version = f", version {integrity.version_id}" if integrity.version_id else ""
    return DataReleaseError(
        "an object is not the one that was released: it changed behind the tag",
        where=url,
        expected=f"{integrity.bytes} bytes, sha256 {integrity.sha256}{version}",
        got=got,
        remedy="restore the released object, or release the changed one under a new tag",
        code="E402",
    )
