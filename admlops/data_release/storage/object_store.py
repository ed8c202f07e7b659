"""What a kind of storage has to give, and which one serves a URL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from admlops.data_release.storage.profiles import StorageProfiles
from admlops.errors import DataReleaseError


@dataclass(frozen=True)
class ObjectInfo:
    """What a store says of an object.

    Attributes:
        size: In bytes; None where an HTTP server does not say.
        etag: Names the content; not a hash that could be checked. The time of change where a server knows no better.
        version_id: Of the object, where its bucket keeps versions.
    """

    size: int | None
    etag: str | None = None
    version_id: str | None = None


class ObjectStore(Protocol):
    """A kind of storage."""

    def sign(self, method: str, url: str, version_id: str | None) -> str:
        """Turn an object's URL into one that HTTP can ask for.

        Args:
            method: ``GET`` or ``HEAD``.
            url: Of the object.
            version_id: Of the version to ask for; None for the present one.

        Returns:
            An ``http(s)://`` URL; may carry a signature, so it is never shown.
        """
        ...


def is_url(path: str) -> bool:
    """Tell a URL from a path.

    Args:
        path: Either.

    Returns:
        Whether it names a scheme.
    """
    return "://" in path


def store_of(url: str, profiles: StorageProfiles) -> ObjectStore:
    """Find the store of a URL.

    Args:
        url: Of an object.
        profiles: Endpoints of buckets.

    Returns:
        The store.

    Raises:
        DataReleaseError: E400, an unknown scheme; E124, no profile for an ``obs://`` bucket.
        MachineError: boto3 is not installed.
    """
    scheme = url.partition("://")[0]
    if scheme in {"http", "https"}:
        from admlops.data_release.storage.http_store import HttpStore

        return HttpStore()
    if scheme in {"obs", "s3"}:
        from admlops.data_release.storage.s3_store import S3Store

        return S3Store.of(url, profiles)
    raise DataReleaseError(
        f"there is no storage {scheme}://", where=url, expected="obs://, s3://, http(s):// or file://", code="E400"
    )
