"""Names of tags to come: ``multi_task/next-minor`` after ``multi_task/v1.2.3`` is ``multi_task/v1.3.0``."""

from __future__ import annotations

import re
from collections.abc import Iterable

from admlops.data_release import names
from admlops.errors import DataReleaseError

_NEXT = re.compile(rf"({names.TASK_PATTERN})/next-(major|minor|patch)")
_EXPECTED = "TASK/vX.Y.Z, TASK/next-major|minor|patch, TASK/release-YYYYMMDD or feature_dataset/TOPIC/release-YYYYMMDD"


def tag_name(wish: str, taken: Iterable[str]) -> str:
    """Turn a wish into a tag's name.

    Args:
        wish: A tag, or ``TASK/next-major``, ``TASK/next-minor``, ``TASK/next-patch``.
        taken: Names of the tags that exist.

    Returns:
        A valid name.

    Raises:
        DataReleaseError: E208, this is no tag's name.
    """
    match = _NEXT.fullmatch(wish)
    name = next_version(match[1], match[2], taken) if match else wish
    if not names.is_tag(name):
        remedy = "put the task before the version" if names.is_version(name) else "correct the name"
        raise DataReleaseError(
            "this is no name of a release's tag", expected=_EXPECTED, got=repr(wish), remedy=remedy, code="E208"
        )
    return name


def next_version(task: str, step: str, taken: Iterable[str]) -> str:
    """Find the version after the highest one.

    Args:
        task: Identifier.
        step: ``major``, ``minor`` or ``patch``.
        taken: Names of the tags that exist.

    Returns:
        Name of a tag; ``TASK/v1.0.0`` where the task has none.
    """
    parts = (names.split_tag(name) for name in taken)
    versions = [part.order for part in parts if part and part.task == task and part.version]
    if not versions:
        return f"{task}/v1.0.0"
    major, minor, patch = max(versions)
    after = {"major": (major + 1, 0, 0), "minor": (major, minor + 1, 0), "patch": (major, minor, patch + 1)}[step]
    return f"{task}/v{after[0]}.{after[1]}.{after[2]}"
