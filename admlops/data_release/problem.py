"""One fault of a release, whoever found it: a field rule, a rule over several fields, a rule of the repository."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from admlops.data_release.strict_json import JsonPath, Position

NO_SUCH_KEY = "no such key"


@dataclass(frozen=True)
class Problem:
    """One fault.

    Attributes:
        code: Stable identifier, ``E100`` to ``E499``; the data release guide has a row for each.
        what: The fault.
        expected: What would be valid.
        got: What is there.
        remedy: What to do.
        where: File, commit, tag or branch in which it was found.
        json_path: Of the value at fault, such as ``$.dataset_index[3].duplicate``; empty where no value of a file is.
        position: Line and column of that value, counted from 1.
        warning: What was checked can be used all the same.
    """

    code: str
    what: str
    expected: str
    got: str
    remedy: str
    where: str = ""
    json_path: str = ""
    position: Position | None = None
    warning: bool = False

    def __str__(self) -> str:
        place = f"{self.where}:{self.position.line}:{self.position.column}" if self.position else self.where
        code = f"{self.code}, a warning" if self.warning else self.code
        path = f" {self.json_path}" if self.json_path else ""
        return f"{place} [{code}]{path}: {self.what}; expected {self.expected}, got {self.got}; {self.remedy}"

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        line, column = self.position or (None, None)
        return {
            "code": self.code,
            "severity": "warning" if self.warning else "error",
            "where": self.where,
            "json_path": self.json_path or None,
            "line": line,
            "column": column,
            "what": self.what,
            "expected": self.expected,
            "got": self.got,
            "remedy": self.remedy,
        }


def errors_of(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Leave the warnings out.

    Args:
        problems: What was found.

    Returns:
        The problems that are no mere warnings.
    """
    return tuple(problem for problem in problems if not problem.warning)


def path_text(path: JsonPath) -> str:
    """Write a path such as ``$.dataset_index[3].duplicate``."""
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def locate(path: JsonPath, places: dict[JsonPath, Position]) -> Position:
    """Find where a value stands; a missing key has no place of its own, so the object that lacks it is pointed to.

    Args:
        path: Of the value.
        places: Of all values of the file.

    Returns:
        Line and column.
    """
    while path not in places:
        path = path[:-1]
    return places[path]


def shorten(value: Any) -> str:
    """Write a value in at most 80 characters."""
    text = NO_SUCH_KEY if value == NO_SUCH_KEY else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
