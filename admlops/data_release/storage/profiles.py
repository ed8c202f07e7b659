"""Which endpoint serves a bucket. Secrets are never here: boto3 finds them (environment, ``~/.aws``, instance role).

One rule says which profiles hold: those of ``$ADMLOPS_STORAGE``, a YAML file with a ``storage`` section, where that is set;
else those of the ``data_release.yaml`` beside the release's dataset file, in the same commit.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from admlops.errors import DataReleaseError

_ADDRESSING = ("auto", "path", "virtual")
_KEYS = ("scheme", "endpoint", "region", "buckets", "addressing")


@dataclass(frozen=True)
class StorageProfile:
    """An object store.

    Attributes:
        name: Of the profile.
        scheme: ``obs`` or ``s3``; the URLs that it serves.
        endpoint: URL of the service; None for that of AWS or of boto3's own settings.
        region: Of the service; None for boto3's own settings.
        buckets: Buckets that it serves; empty for all that no other profile names.
        addressing: ``virtual`` (``https://bucket.host/key``), ``path`` (``https://host/bucket/key``) or ``auto``.
    """

    name: str
    scheme: str
    endpoint: str | None = None
    region: str | None = None
    buckets: tuple[str, ...] = ()
    addressing: str = "auto"


@dataclass(frozen=True)
class StorageProfiles:
    """The object stores that a release knows.

    Attributes:
        profiles: In the order of the file.
    """

    profiles: tuple[StorageProfile, ...] = ()

    @classmethod
    def parse(cls, section: Mapping[str, Any], where: object) -> StorageProfiles:
        """Check a ``storage`` section.

        Args:
            section: ``{profile: {scheme, endpoint, region, buckets, addressing}}``.
            where: Path of its file, for messages.

        Returns:
            The profiles.

        Raises:
            DataReleaseError: E207, a profile is not valid.
        """
        return cls(tuple(_parse_profile(str(name), fields, where) for name, fields in section.items()))

    @classmethod
    def of_release(cls, content: bytes | None, where: object) -> StorageProfiles:
        """Choose the profiles of a release by the rule above.

        Args:
            content: Of the ``data_release.yaml`` beside it; None where there is none.
            where: Path of that file, for messages.

        Returns:
            The profiles; none where neither file gives any.

        Raises:
            DataReleaseError: The file is no YAML or a profile is not valid.
        """
        override = os.environ.get("ADMLOPS_STORAGE")
        if override:
            path = Path(override).expanduser()
            if not path.is_file():
                raise DataReleaseError("ADMLOPS_STORAGE names no file", where=path, code="E401")
            content, where = path.read_bytes(), path
        try:
            document = yaml.safe_load(content or b"")
        except yaml.YAMLError as error:
            raise DataReleaseError(f"no valid YAML: {error}", where=where, code="E207") from error
        section = document.get("storage") if isinstance(document, dict) else None
        return cls.parse(section, where) if isinstance(section, dict) else cls()

    def pick(self, scheme: str, bucket: str) -> StorageProfile | None:
        """Find the profile of a bucket: the one that names it, else the one that names no buckets.

        Args:
            scheme: ``obs`` or ``s3``.
            bucket: Its name.

        Returns:
            The profile; None where no profile fits.

        Raises:
            DataReleaseError: E207, two profiles fit equally.
        """
        fitting = [profile for profile in self.profiles if profile.scheme == scheme]
        fitting = [p for p in fitting if bucket in p.buckets] or [p for p in fitting if not p.buckets]
        if len(fitting) > 1:
            raise DataReleaseError(
                f"two storage profiles serve {scheme}://{bucket}",
                expected="one",
                got=", ".join(profile.name for profile in fitting),
                remedy="list the bucket under `buckets` of one of them",
                code="E207",
            )
        return fitting[0] if fitting else None


def _parse_profile(name: str, fields: Any, where: object) -> StorageProfile:
    place = f"{where}: storage.{name}"
    if not isinstance(fields, Mapping) or not set(fields) <= set(_KEYS):
        got = sorted(map(str, fields)) if isinstance(fields, Mapping) else fields
        raise _invalid(place, f"some of the keys {', '.join(_KEYS)}", got)
    scheme, endpoint, region = fields.get("scheme"), fields.get("endpoint"), fields.get("region")
    buckets = fields.get("buckets", ())
    addressing = fields.get("addressing", "virtual" if scheme == "obs" else "auto")
    if scheme not in {"obs", "s3"}:
        raise _invalid(f"{place}.scheme", "obs or s3", scheme)
    if not (endpoint is None and scheme == "s3") and not str(endpoint).startswith(("http://", "https://")):
        raise _invalid(f"{place}.endpoint", "an http(s):// URL", endpoint)
    if region is not None and not isinstance(region, str):
        raise _invalid(f"{place}.region", "a name", region)
    if not isinstance(buckets, (list, tuple)) or not all(isinstance(bucket, str) for bucket in buckets):
        raise _invalid(f"{place}.buckets", "a list of names", buckets)
    if addressing not in _ADDRESSING:
        raise _invalid(f"{place}.addressing", ", ".join(_ADDRESSING), addressing)
    return StorageProfile(name, scheme, endpoint, region, tuple(buckets), addressing)


def _invalid(where: str, expected: str, got: object) -> DataReleaseError:
    return DataReleaseError("a storage profile is not valid", where=where, expected=expected, got=got, code="E207")
