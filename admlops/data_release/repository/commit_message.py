"""Messages of commits that change data: a subject for people, a blank line, and YAML.

::

    modify(clean): drop frames with a covered lens

    date: "2025-07-28"
    type: "modify(clean)"
    description: "drop frames with a covered lens"
    task_tag: "DATA-1234"
    details: {"clips_before": 500000, "clips_removed": 50000}

``type`` is one of ``TYPES``. ``task_tag`` is the number of a work order; empty or absent for work that nobody ordered.
``details`` is any mapping, list or text. The subject may be missing. Lines of git's own (``Signed-off-by: ...``,
``(cherry picked from ...)``) may follow.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from admlops.data_release.problem import Problem, shorten
from admlops.data_release.strict_yaml import parse_strict_yaml
from admlops.errors import DataReleaseError, nearest

TYPES = ("add", "modify(clean)", "modify(balance)", "fix", "docs", "refactor")
_KEYS = ("date", "type", "description", "task_tag", "details")
_STARTS = re.compile(rf"^(?:{'|'.join(_KEYS)})\s*:", re.MULTILINE)
_TRAILER = re.compile(r"[A-Z][A-Za-z]*(?:-[A-Za-z]+)+: .+|\(cherry picked from commit [0-9a-f]+\)")
_SCISSORS = re.compile(r"^# -+ >8 -+$.*", re.DOTALL | re.MULTILINE)
_EXAMPLE = 'date: "2025-07-28", type: "modify(clean)", description: "...", task_tag: ""'


@dataclass(frozen=True)
class CommitMessage:
    """A message.

    Attributes:
        type: One of ``TYPES``.
        description: What was done, and why.
        date: ``YYYY-MM-DD``.
        task_tag: Number of the work order; empty where there is none.
        details: Figures and lists; None for none.
    """

    type: str
    description: str
    date: str
    task_tag: str = ""
    details: Mapping[str, Any] | Sequence[Any] | str | None = None

    def to_text(self) -> str:
        """Write the message."""
        rows = {name: getattr(self, name) for name in _KEYS if name != "details" or self.details is not None}
        body = "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in rows.items())
        return f"{self.type}: {self.description.strip().partition(chr(10))[0]}\n\n{body}"


def build_message(
    type: str,
    description: str,
    *,
    task_tag: str = "",
    details: Mapping[str, Any] | Sequence[Any] | str | None = None,
    date: str | None = None,
) -> str:
    """Write a message.

    Args:
        type: One of ``TYPES``.
        description: What was done, and why.
        task_tag: Number of the work order.
        details: Figures and lists.
        date: ``YYYY-MM-DD``; today where None.

    Returns:
        The message.

    Raises:
        DataReleaseError: E209, the type is none, or there is no description.
    """
    today = datetime.date.today().isoformat()
    text = CommitMessage(type, description, date or today, task_tag, details or None).to_text()
    parse_message(text, "the new commit")
    return text


def parse_message(text: str, where: object) -> CommitMessage:
    """Read a message.

    Args:
        text: With or without the comments of git's editor.
        where: The commit, for errors.

    Returns:
        The message.

    Raises:
        DataReleaseError: E209, it is not in the form; all faults are told.
    """
    problems, fields = _read(text, where)
    if problems:
        lines = "".join(f"\n  {problem}" for problem in problems)
        raise DataReleaseError(f"the message is not in the form{lines}", where=where, expected=_EXAMPLE, code="E209")
    return CommitMessage(**{"task_tag": "", **fields})


def check_message(text: str, where: object) -> tuple[Problem, ...]:
    """List the faults of a message.

    Args:
        text: With or without the comments of git's editor.
        where: The commit, for messages.

    Returns:
        Faults; empty where it is in the form.
    """
    return _read(text, where)[0]


def _read(text: str, where: object) -> tuple[tuple[Problem, ...], dict[str, Any]]:
    body = _body(text)
    if body is None:
        what = "the message holds no structured part"
        return (_problem(where, what, _EXAMPLE, shorten(text.strip()), "write it below the subject and a blank line"),), {}
    try:
        raw, _ = parse_strict_yaml(body.encode("utf-8", "surrogateescape"), where, code="E209")
    except DataReleaseError as error:
        return (_problem(error.where, error.what, _EXAMPLE, "broken YAML", error.remedy or "mend it"),), {}
    if not isinstance(raw, dict):
        return (_problem(where, "the message is no mapping", _EXAMPLE, shorten(raw), "write key: value"),), {}
    if isinstance(raw.get("task_tag"), int):
        raw["task_tag"] = str(raw["task_tag"])
    if raw.get("task_tag", "") is None:
        raw["task_tag"] = ""
    return tuple(_faults(raw, where)), raw


def _body(text: str) -> str | None:
    lines = [line for line in _SCISSORS.sub("", text).splitlines() if not line.startswith("#")]
    while lines and (not lines[-1].strip() or _TRAILER.fullmatch(lines[-1].strip())):
        lines.pop()
    body = "\n".join(lines)
    start = _STARTS.search(body)
    return body[start.start() :] if start else None


def _faults(raw: Mapping[str, Any], where: object) -> list[Problem]:
    faults = [
        _problem(where, f"unknown key {key!r}", "one of " + ", ".join(_KEYS), shorten(key), nearest(key, _KEYS))
        for key in raw
        if key not in _KEYS
    ]
    valid = {
        "date": (_is_date, "an existing day such as 2025-07-28", "write YYYY-MM-DD"),
        "type": (lambda value: value in TYPES, f"one of {', '.join(TYPES)}", "choose one"),
        "description": (lambda value: isinstance(value, str) and bool(value.strip()), "text", "say what was done"),
        "task_tag": (lambda value: isinstance(value, str), "the number of a work order, or ''", "write it in quotes"),
        "details": (
            lambda value: value is None or isinstance(value, dict | list | str),
            "a mapping, a list or text",
            "drop it",
        ),
    }
    for key, (is_valid, expected, remedy) in valid.items():
        missing = key not in raw
        if missing and key in {"task_tag", "details"}:
            continue
        if missing or not is_valid(raw[key]):
            what = f"no {key}" if missing else f"{key} is not valid"
            faults.append(_problem(where, what, expected, "no such key" if missing else shorten(raw[key]), remedy))
    return faults


def _is_date(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def _problem(where: object, what: str, expected: str, got: str, remedy: str) -> Problem:
    return Problem(code="E209", what=what, expected=expected, got=got, remedy=remedy, where=str(where))
