"""What a rule of a repository is, and where they are found: in the modules of ``rules``."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from admlops.data_release.repository.candidate import Candidate
from admlops.data_release.strict_json import JsonPath

Severity = Literal["error", "error in a new tag", "warning"]
"""``error in a new tag``: a warning in what exists already, since it cannot be changed any more."""


@dataclass(frozen=True)
class Finding:
    """What a rule found.

    Attributes:
        what: The fault.
        expected: What would be valid.
        got: What is there.
        remedy: What to do.
        where: File, commit or ref in which it was found; the candidate where empty.
        path: Of the value at fault in the dataset file, where it is one.
        severity: Whether it forbids the release.
    """

    what: str
    expected: str
    got: Any
    remedy: str
    where: str = ""
    path: JsonPath | None = None
    severity: Severity = "error"


Check = Callable[[Candidate], Iterator[Finding]]


@dataclass(frozen=True)
class RepositoryRule:
    """A rule and its identifier.

    Attributes:
        code: Stable identifier, ``E201`` and on.
        check: Yields what it found; its docstring's first line says the rule.
    """

    code: str
    check: Check


_RULES: list[RepositoryRule] = []


def rule(code: str) -> Callable[[Check], Check]:
    """Register a function as a rule.

    Args:
        code: Stable identifier.

    Returns:
        The decorator.
    """

    def register(check: Check) -> Check:
        _RULES.append(RepositoryRule(code, check))
        return check

    return register


@functools.cache
def repository_rules() -> tuple[RepositoryRule, ...]:
    """Find all rules, in the order of their codes."""
    package = importlib.import_module("admlops.data_release.repository.rules")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return tuple(sorted(_RULES, key=lambda item: item.code))
