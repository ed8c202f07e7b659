"""Which endpoint serves a bucket. Secrets are never here: boto3 finds them (environment, ``~/.aws``, instance role).

One rule says which profiles hold: those of ``$ADMLOPS_STORAGE``, a YAML file with a ``storage`` section, where that is set;
else those of the ``data_release.yaml`` beside the release's dataset file, in the same commit.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from admlops.data_release.repository.registry import StorageProfile
from admlops.data_release.strict_yaml import parse_strict_yaml
from admlops.errors import DataReleaseError

_SECTION = TypeAdapter(dict[str, StorageProfile])


@dataclass(frozen=True)
class StorageProfiles:
    """The object stores that a release knows.

    Attributes:
        by_name: The ``storage`` section of its registry.
    """

    by_name: Mapping[str, StorageProfile] = field(default_factory=dict)

    @classmethod
    def of_release(cls, content: bytes | None, where: object) -> StorageProfiles:
        """Choose the profiles of a release by the rule above.

        Args:
            content: Of the ``data_release.yaml`` beside it; None where there is none.
            where: Path of that file, for messages.

        Returns:
            The profiles; none where neither file gives any.

        Raises:
            DataReleaseError: E120, the file is no YAML; E124, a profile is not valid; E401, ``$ADMLOPS_STORAGE`` is no file.
        """
        override = os.environ.get("ADMLOPS_STORAGE")
        if override:
            path = Path(override).expanduser()
            if not path.is_file():
                raise DataReleaseError("ADMLOPS_STORAGE names no file", where=path, code="E401")
            content, where = path.read_bytes(), path
        document = parse_strict_yaml(content, where, code="E120")[0] if content is not None else None
        return cls.parse(document.get("storage") or {} if isinstance(document, dict) else {}, where)

    @classmethod
    def parse(cls, section: Any, where: object) -> StorageProfiles:
        """Check a ``storage`` section.

        Args:
            section: Profiles by name.
            where: Path of its file, for messages.

        Returns:
            The profiles.

        Raises:
            DataReleaseError: E124, a profile is not valid.
        """
        try:
            return cls(_SECTION.validate_python(section))
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(["storage", *map(str, fault["loc"])])
            raise DataReleaseError(
                f"a storage profile is not valid: {fault['msg']}", where=f"{where}: {place}", code="E124"
            ) from error

    def pick(self, scheme: str, bucket: str) -> StorageProfile | None:
        """Find the profile of a bucket: the one that names it, else the one that names no buckets.

        Args:
            scheme: ``obs`` or ``s3``.
            bucket: Its name.

        Returns:
            The profile; None where no profile fits.

        Raises:
            DataReleaseError: E124, two profiles fit equally.
        """
        fitting = {name: profile for name, profile in self.by_name.items() if profile.scheme == scheme}
        named = {name: profile for name, profile in fitting.items() if bucket in profile.buckets}
        fitting = named or {name: profile for name, profile in fitting.items() if not profile.buckets}
        if len(fitting) > 1:
            raise DataReleaseError(
                f"two storage profiles serve {scheme}://{bucket}",
                expected="one",
                got=", ".join(fitting),
                remedy="list the bucket under `buckets` of one of them",
                code="E124",
            )
        return next(iter(fitting.values()), None)
