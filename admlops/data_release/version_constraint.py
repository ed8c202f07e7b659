"""Versions of channels, and the constraints that consumers put on them.

::

    version     ["v"] N.N.N [suffix]         N without leading zeros
    suffix      "_" or "-", then letters, digits, "_", ".", "-"; such as 2.1.0_5cm
    term        version | operator N.N.N | "*"
    operator    ">=" ">" "<=" "<" "=" "^" "~"
    range       term ("," term)*             all of them hold
    constraint  range | list of ranges       one of them holds; an earlier one is preferred

- A version alone, or after ``=``, is that version by its full name: ``2.1.0`` is not ``2.1.0_5cm``.
- The other operators compare the three numbers and know no suffixes: ``>=2.1.0`` and ``^2.0.0`` accept ``2.1.0_5cm``,
  ``>2.1.0`` does not. Suffixes have no order, so an operator never takes one.
- ``^1.2.0`` is ``>=1.2.0,<2.0.0``, for ``0.x.y`` alike; ``~1.2.0`` is ``>=1.2.0,<1.3.0``; ``*`` is any version.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from admlops.errors import DataReleaseError

_NUMBER = r"(?:0|[1-9]\d*)"
_VERSION = re.compile(rf"v?({_NUMBER})\.({_NUMBER})\.({_NUMBER})((?:[_\-][A-Za-z0-9_.\-]+)?)", re.ASCII)
_TERM = re.compile(r"(>=|<=|>|<|=|\^|~)?\s*(\S+)")

Numbers = tuple[int, int, int]


@dataclass(frozen=True)
class ChannelVersion:
    """A version such as ``1.2.0`` or ``2.1.0_5cm``.

    Attributes:
        numbers: Major, minor, patch.
        suffix: With its first ``_`` or ``-``; empty where there is none.
    """

    numbers: Numbers
    suffix: str = ""

    @classmethod
    def parse(cls, text: object) -> ChannelVersion:
        """Read a version.

        Args:
            text: What a file holds; YAML makes a number of ``1.2``, which is none.

        Returns:
            The version.

        Raises:
            DataReleaseError: E506, it is none.
        """
        match = _VERSION.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise _unreadable("not a version", "a version such as 1.2.0 or 2.1.0_5cm, in quotes", text)
        return cls((int(match[1]), int(match[2]), int(match[3])), match[4])

    def __str__(self) -> str:
        return ".".join(map(str, self.numbers)) + self.suffix


@dataclass(frozen=True)
class _Term:
    text: str
    accepts: Callable[[ChannelVersion], bool]


@dataclass(frozen=True)
class VersionConstraint:
    """What versions a consumer accepts, and which it prefers. Made by ``parse``.

    Attributes:
        ranges: One of them must hold; all terms of a range must.
    """

    ranges: tuple[tuple[_Term, ...], ...]

    @classmethod
    def parse(cls, constraint: object) -> VersionConstraint:
        """Read a constraint.

        Args:
            constraint: A string, or a list of strings with the preferred first.

        Returns:
            The constraint.

        Raises:
            DataReleaseError: E506, it is none.
        """
        items = constraint if isinstance(constraint, list) else [constraint]
        texts = [item for item in items if isinstance(item, str) and item.strip()]
        if not texts or len(texts) < len(items):
            raise _unreadable("not a version constraint", "text such as '>=1.2.0', or a list of such", constraint)
        return cls(tuple(tuple(_parse_term(term.strip(), text) for term in text.split(",")) for text in texts))

    def __str__(self) -> str:
        texts = [",".join(term.text for term in terms) for terms in self.ranges]
        return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"

    def accepts(self, version: ChannelVersion) -> bool:
        """Tell whether a version will do.

        Args:
            version: Any.

        Returns:
            Whether one of the ranges holds.
        """
        return any(_holds(terms, version) for terms in self.ranges)

    def rank(self, available: Sequence[ChannelVersion]) -> tuple[ChannelVersion, ...]:
        """Sort what is available by preference.

        Args:
            available: In the order in which its owner recommends it (see ``newest_first`` where nobody does).

        Returns:
            The versions that will do, each once: those of an earlier range first, within a range in the order given.
        """
        ranked = [version for terms in self.ranges for version in available if _holds(terms, version)]
        return tuple(dict.fromkeys(ranked))


def newest_first(versions: Iterable[ChannelVersion]) -> tuple[ChannelVersion, ...]:
    """Sort versions: higher numbers first; of equal ones the plain first, then by suffix.

    Args:
        versions: Any.

    Returns:
        The versions.
    """
    return tuple(sorted(versions, key=lambda version: (*(-number for number in version.numbers), version.suffix)))


def _holds(terms: tuple[_Term, ...], version: ChannelVersion) -> bool:
    return all(term.accepts(version) for term in terms)


def _parse_term(text: str, whole: str) -> _Term:
    if text == "*":
        return _Term(text, lambda version: True)
    match = _TERM.fullmatch(text)
    if match is None:
        raise _unreadable("not a version constraint", "a version, or >= > <= < = ^ ~ before one", whole)
    sign, wanted = match[1] or "", ChannelVersion.parse(match[2])
    if sign in {"", "="}:
        return _Term(f"{sign}{wanted}", lambda version: version == wanted)
    if wanted.suffix:
        expected = f"{sign}{ChannelVersion(wanted.numbers)}, or {wanted} alone"
        raise _unreadable(f"suffixes have no order, so {sign} takes none", expected, whole)
    low, high = wanted.numbers, _UPPER[sign](wanted.numbers) if sign in _UPPER else None
    if high is not None:
        return _Term(f"{sign}{wanted}", lambda version: low <= version.numbers < high)
    compare = _COMPARISONS[sign]
    return _Term(f"{sign}{wanted}", lambda version: compare(version.numbers, low))


_COMPARISONS: dict[str, Callable[[Numbers, Numbers], bool]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
}
_UPPER: dict[str, Callable[[Numbers], Numbers]] = {
    "^": lambda numbers: (numbers[0] + 1, 0, 0),
    "~": lambda numbers: (numbers[0], numbers[1] + 1, 0),
}


def _unreadable(what: str, expected: str, got: object) -> DataReleaseError:
    return DataReleaseError(what, expected=expected, got=repr(got), remedy="correct it in DataSpecHub", code="E506")
