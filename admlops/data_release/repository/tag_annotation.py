"""What the annotation of a tag says of its release, as YAML.

::

    task_type: "multi_task"
    release_name: "multi_task/release-20251017"
    consumer_version: "v1.2.0"
    bundle_version: "v1.2.0-20251017-100000"
    training_dataset_version: "v1.2.0"
    tasks: ["god_base", "drivable_2cls"]
    sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

``release_name`` is the tag's name. Several bundles stand as a list under ``bundle_versions``. A tag of a topic has no
``task_type``. ``sha256`` is that of ``training_dataset.json``. Other keys are a team's own.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, fields
from typing import Any

from admlops.data_release import names
from admlops.data_release.schema import TrainingDataset
from admlops.data_release.strict_yaml import parse_strict_yaml
from admlops.errors import DataReleaseError

_SIGNATURE = re.compile(r"^-----BEGIN [A-Z ]+-----$.*", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class TagAnnotation:
    """The fields of an annotation; in one that was read, None where a field is missing.

    Attributes:
        task_type: Task whose release it is; None for a topic's tag.
        release_name: The tag's name.
        consumer_version: As in the dataset file.
        bundle_versions: As in the dataset file.
        training_dataset_version: ``meta.version`` of the dataset file.
        tasks: As in the dataset file; empty for files older than tasks.
        sha256: Hash of the dataset file.
    """

    task_type: str | None
    release_name: str | None
    consumer_version: str | None
    bundle_versions: tuple[str, ...] | None
    training_dataset_version: str | None
    tasks: tuple[str, ...] | None
    sha256: str | None

    def to_text(self) -> str:
        """Write the annotation."""
        bundles = self.bundle_versions or ()
        rows: dict[str, Any] = {
            "task_type": self.task_type,
            "release_name": self.release_name,
            "consumer_version": self.consumer_version,
            "bundle_version": bundles[0] if len(bundles) == 1 else None,
            "bundle_versions": list(bundles) if len(bundles) > 1 else None,
            "training_dataset_version": self.training_dataset_version,
            "tasks": list(self.tasks or ()),
            "sha256": self.sha256,
        }
        # JSON's values are YAML's, and quoting is uniform so.
        given = ((key, value) for key, value in rows.items() if value is not None)
        return "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in given)

    def differences(self, other: TagAnnotation) -> tuple[tuple[str, Any, Any], ...]:
        """Compare with what an annotation says.

        Args:
            other: What it says.

        Returns:
            Name, own value and other value of each field that differs.
        """
        pairs = ((field.name, getattr(self, field.name), getattr(other, field.name)) for field in fields(self))
        return tuple((name, own, theirs) for name, own, theirs in pairs if own != theirs)


def build_annotation(tag: str, dataset: TrainingDataset, content: bytes) -> TagAnnotation:
    """Say what the annotation of a tag has to be.

    Args:
        tag: Its name.
        dataset: Content of the commit's dataset file.
        content: The file's bytes.

    Returns:
        The annotation.
    """
    split = names.split_tag(tag)
    return TagAnnotation(
        task_type=split.task if split else None,
        release_name=tag,
        consumer_version=dataset.meta.consumer_version,
        bundle_versions=dataset.meta.bundle_versions,
        training_dataset_version=dataset.meta.version,
        tasks=dataset.meta.tasks or (),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def parse_annotation(text: str, where: object) -> TagAnnotation:
    """Read an annotation.

    Args:
        text: Of the tag, with or without a signature.
        where: Name of the tag, for errors.

    Returns:
        Its fields.

    Raises:
        DataReleaseError: E205, it is no YAML mapping of such fields.
    """
    raw, _ = parse_strict_yaml(_SIGNATURE.sub("", text).encode(), where, code="E205")
    if not isinstance(raw, dict) or not raw.keys() & {"release_name", "training_dataset_version", "sha256"}:
        raise DataReleaseError(
            "the annotation of a tag is no YAML mapping of release_name, consumer_version, ...",
            where=where,
            got=repr(text[:80]),
            remedy="tag with `admlops data tag`",
            code="E205",
        )
    single = raw.get("bundle_version")
    bundles = raw.get("bundle_versions", [single] if single is not None else None)
    return TagAnnotation(
        **{name: _text(raw.get(name)) for name in _TEXT_FIELDS}, bundle_versions=_texts(bundles), tasks=_texts(raw.get("tasks"))
    )


_TEXT_FIELDS = ("task_type", "release_name", "consumer_version", "training_dataset_version", "sha256")


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _texts(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    return tuple(str(item) for item in value) if isinstance(value, list) else (str(value),)
