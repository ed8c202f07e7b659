"""A URL that joins and reads like a path, through the cache of images."""

from __future__ import annotations

import hashlib
import posixpath
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

from admlops.data_release.storage.image_cache import ImageCache
from admlops.data_release.storage.limits import TransferLimits
from admlops.data_release.storage.object_store import ObjectInfo, is_url, store_of
from admlops.data_release.storage.profiles import StorageProfiles
from admlops.data_release.storage.transfer import RemoteObject


class RemotePath:
    """An object in a store, or the folder of one.

    A URL names one content for good: what the cache has is not asked for again.

    Args:
        url: ``obs://``, ``s3://`` or ``http(s)://``.
        profiles: Endpoints of buckets.
    """

    __slots__ = ("_profiles", "_url")

    def __init__(self, url: str, profiles: StorageProfiles) -> None:
        self._url = url
        self._profiles = profiles

    def __str__(self) -> str:
        return self._url

    def __repr__(self) -> str:
        return f"RemotePath({self._url!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and other._url == self._url

    def __hash__(self) -> int:
        return hash(self._url)

    def __truediv__(self, path: str) -> DataPath:
        """Join as paths do: a relative path is below this folder, an absolute one, or a URL, stands for itself.

        Args:
            path: As recorded.

        Returns:
            The object; a local path where it names one.
        """
        if is_url(path):
            return path_of(path, self._profiles)
        if path.startswith("/"):
            return Path(path)
        scheme, _, rest = self._url.partition("://")
        host, _, folder = rest.partition("/")
        key = posixpath.join("/", folder, path)
        if {".", ".."} & set(path.split("/")):  # else left alone: keys of objects may hold empty parts
            key = posixpath.normpath(key)  # never climbs above the bucket
        return RemotePath(f"{scheme}://{host}{key}", self._profiles)

    @property
    def parent(self) -> RemotePath:
        """Folder of the object."""
        scheme, _, rest = self._url.partition("://")
        if scheme in {"http", "https"}:
            rest = rest.partition("?")[0]
        host, _, path = rest.partition("/")
        return RemotePath(f"{scheme}://{host}/{posixpath.dirname(path)}".rstrip("/"), self._profiles)

    @property
    def name(self) -> str:
        """Last part of the URL."""
        return posixpath.basename(self._url)

    def is_cached(self) -> bool:
        """Tell whether its content is on this machine."""
        return ImageCache.of_machine().holds(self._key())

    def read_bytes(self) -> bytes:
        """Read it, from the cache where it is there.

        Returns:
            Its content.

        Raises:
            DataReleaseError: E401, there is no such object or no access; E403, E406, it does not arrive.
            MachineError: E403, another process downloads it for too long; E404, the cache cannot be written.
        """
        deadline = TransferLimits.from_environment().deadline()
        return ImageCache.of_machine().read(self._key(), lambda: self._download(deadline), deadline)

    def prefetch(self) -> None:
        """Have it in the cache."""
        if not self.is_cached():
            self.read_bytes()

    def _download(self, deadline: float) -> bytes:
        sink = _Memory()
        remote = RemoteObject(self._url, store_of(self._url, self._profiles), TransferLimits.from_environment())
        remote.download(sink, deadline)
        return bytes(sink.content)

    def _key(self) -> str:
        scheme, _, rest = self._url.partition("://")
        profile = self._profiles.pick(scheme, rest.partition("/")[0])
        # Buckets of two services may have the same name.
        named = f"{profile.endpoint if profile else None}\n{self._url}"
        return hashlib.sha256(named.encode("utf-8", "surrogateescape")).hexdigest()


DataPath: TypeAlias = Path | RemotePath
"""A file or folder of a release's data, wherever it is: ``/``, ``parent``, ``name`` and ``read_bytes`` work on both."""


def path_of(url: str, profiles: StorageProfiles) -> DataPath:
    """Turn a URL into what reads it.

    Args:
        url: ``obs://``, ``s3://``, ``http(s)://`` or ``file://``.
        profiles: Endpoints of buckets.

    Returns:
        A local path for ``file://``.
    """
    return Path(unquote(urlsplit(url).path)) if url.startswith("file://") else RemotePath(url, profiles)


class _Memory:
    def __init__(self) -> None:
        self.content = bytearray()
        self.size = 0
        self.etag: str | None = None

    def begin(self, info: ObjectInfo) -> None:
        self.etag = info.etag

    def write(self, chunk: bytes) -> None:
        self.content += chunk
        self.size = len(self.content)

    def restart(self) -> None:
        self.content.clear()
        self.size, self.etag = 0, None
