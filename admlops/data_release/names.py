"""Which names are valid: tasks, branches, tags, releases, bundles, consumers. Always matched in full."""

from __future__ import annotations

import datetime
import re
from typing import NamedTuple

TASK_PATTERN = r"[a-z][a-z0-9_]{0,63}"
VERSION_PATTERN = r"v(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)"
# Letters of any script (topics are often Chinese), digits, `_`, `.`, `-`; git refuses `..`, a leading `.` and `.lock`.
SEGMENT_PATTERN = r"(?!\.)(?!\S*\.\.)(?!\S*\.lock(?:/|$))(?!-)[\w.\-]+(?<!\.)"
DATE_PATTERN = r"(?P<date>\d{8})"

_TASK = re.compile(TASK_PATTERN)
_VERSION = re.compile(VERSION_PATTERN, re.ASCII)
_CONSUMER_VERSION = re.compile(rf"{VERSION_PATTERN}(?:-[a-z0-9][a-z0-9_.\-]*)?", re.ASCII)
_BUNDLE_VERSION = re.compile(
    rf"(?:[a-z0-9][a-z0-9_\-]*-)?{VERSION_PATTERN}-(?:{DATE_PATTERN}(?:-(?P<time>\d{{6}}))?|\d{{4}}\.(?P<week>\d{{2}})|release)",
    re.ASCII,
)
_BRANCH = re.compile(
    rf"master/{TASK_PATTERN}"
    rf"|feature_dataset/(?:{TASK_PATTERN}/)?{SEGMENT_PATTERN}/{SEGMENT_PATTERN}"
    rf"|experiment/{SEGMENT_PATTERN}/{SEGMENT_PATTERN}"
    rf"|main|master|develop|release/{VERSION_PATTERN}|hotfix/{VERSION_PATTERN}-{SEGMENT_PATTERN}"
)
_TAG = re.compile(
    rf"(?P<task>{TASK_PATTERN})/(?P<version>{VERSION_PATTERN})"
    rf"|(?:(?P<dated_task>{TASK_PATTERN})|feature_dataset/(?P<topic>{SEGMENT_PATTERN}))/release-{DATE_PATTERN}"
)
_RELEASE = re.compile(rf"(?P<display_name>\S(?:.*\S)?) {VERSION_PATTERN}")


class TagName(NamedTuple):
    """A tag's name, taken apart.

    Attributes:
        task: ``god_base`` of ``god_base/v1.1.0``; None for a topic's tag.
        topic: ``toll`` of ``feature_dataset/toll/release-20250709``; None for a task's tag.
        version: ``v1.1.0``; None for a tag with a date.
        order: Its place in its family: three numbers, or the date.
        family: Beginning that tags which follow one another share: ``god_base/v`` or ``god_base/release-``.
    """

    task: str | None
    topic: str | None
    version: str | None
    order: tuple[int, ...]
    family: str


def split_tag(name: str) -> TagName | None:
    """Take a tag's name apart.

    Args:
        name: Of a tag.

    Returns:
        Its parts; None where it is no tag's name.
    """
    match = _TAG.fullmatch(name)
    if match is None or not _date_exists(match["date"]):
        return None
    version = match["version"]
    order = tuple(int(number) for number in version[1:].split(".")) if version else (int(match["date"]),)
    prefix = name.rpartition("/")[0]
    family = f"{prefix}/v" if version else f"{prefix}/release-"
    return TagName(match["task"] or match["dated_task"], match["topic"], version, order, family)


def is_task_name(name: str) -> bool:
    """Tell whether ``name`` can be a task's identifier such as ``seg_lane``."""
    return _TASK.fullmatch(name) is not None


def is_version(name: str) -> bool:
    """Tell whether ``name`` is a version such as ``v1.2.0``, without leading zeros."""
    return _VERSION.fullmatch(name) is not None


def is_consumer_version(name: str) -> bool:
    """Tell whether ``name`` is a version with an optional variant, such as ``v1.0.2-finetuning``."""
    return _CONSUMER_VERSION.fullmatch(name) is not None


def is_bundle_version(name: str) -> bool:
    """Tell whether ``name`` is a bundle's version: ``v1.2.0-20251017-100000``, ``v1.2.0-2025.25`` or ``v1.1.0-release``.

    A consumer's name may stand before it. Dates, times and weeks must exist.
    """
    match = _BUNDLE_VERSION.fullmatch(name)
    if match is None:
        return False
    if match["week"]:
        return 1 <= int(match["week"]) <= 53
    return _date_exists(match["date"]) and (match["time"] is None or _time_exists(match["time"]))


def is_branch(name: str) -> bool:
    """Tell whether ``name`` is a branch of a data release repository."""
    return _BRANCH.fullmatch(name) is not None


def is_tag(name: str) -> bool:
    """Tell whether ``name`` is a tag of a data release repository; its date, where it has one, must exist."""
    return split_tag(name) is not None


def release_display_name(name: str) -> str | None:
    """Split a release's name such as ``GOD-Base v1.1.0``.

    Args:
        name: Name of a release.

    Returns:
        What stands before the version (to be looked up in the registry of tasks), or None where the name is no release's.
    """
    match = _RELEASE.fullmatch(name)
    return match["display_name"] if match else None


def _date_exists(digits: str | None) -> bool:
    return digits is None or _parses(digits, "%Y%m%d")


def _time_exists(digits: str) -> bool:
    return _parses(digits, "%H%M%S")


def _parses(digits: str, pattern: str) -> bool:
    try:
        datetime.datetime.strptime(digits, pattern)
    except ValueError:
        return False
    return True
