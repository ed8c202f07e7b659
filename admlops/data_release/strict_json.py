"""JSON without surprises: what other parsers let pass (BOM, NaN, a key twice) is an error with line and column.

Parsing is the standard library's C scanner; the position of a value is only looked up, by a slow second scan, once there is
something to complain about.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, NamedTuple

from admlops.errors import DataReleaseError

JsonPath = tuple[str | int, ...]

_SPACE = re.compile(r"[ \t\n\r]*")
_SCALAR = re.compile(r"[^\s,\]}]+")
_DECODER = json.JSONDecoder()
_LOCATED_DEPTH = 32
_SURROGATE = re.compile("[\ud800-\udfff]")


class Position(NamedTuple):
    """Where a value stands in a text, both counted from 1; columns count characters."""

    line: int
    column: int


def parse_strict(content: bytes, where: object) -> Any:
    """Parse UTF-8 JSON and refuse what is not standard.

    Args:
        content: The file's bytes.
        where: Path of the file, for errors.

    Returns:
        The value.

    Raises:
        DataReleaseError: E100; not UTF-8, a BOM, a comment, NaN or Infinity, a trailing comma, a key that appears twice.
    """
    if content.startswith(b"\xef\xbb\xbf"):
        raise _fault("starts with a byte order mark", where, Position(1, 1), "save the file as UTF-8 without BOM")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8")
        raise _fault("is not UTF-8", where, _position(before, len(before)), "save the file as UTF-8") from error
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except json.JSONDecodeError as error:
        offset, remedy = _cause(text, error.pos)
        raise _fault(f"is not JSON: {error.msg}", where, _position(text, offset), remedy) from error
    except _RefusedError as error:
        path_or_none = next((hit for hit in _scan(text, ()) if error.matches(hit)), None)
        position = _position(text, path_or_none.offset) if path_or_none else Position(1, 1)
        raise _fault(str(error), where, position, error.remedy) from None
    except RecursionError:
        raise _fault("is nested too deeply", where, Position(1, 1), "a release has four levels") from None
    if "\\ud" in text or "\\uD" in text:
        for hit in _scan(text, ()):
            if isinstance(hit.scalar, str) and _SURROGATE.search(hit.scalar):
                position = _position(text, hit.offset)
                raise _fault("holds half a surrogate pair", where, position, "write the character itself")
    return value


def positions(content: bytes) -> dict[JsonPath, Position]:
    """Locate every value of a text that ``parse_strict`` accepts.

    Args:
        content: The file's bytes.

    Returns:
        Line and column by path; a member of an object is located at its key.
    """
    text = content.decode("utf-8")
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    found: dict[JsonPath, Position] = {}
    line = 0
    for hit in sorted(_scan(text, ()), key=lambda hit: hit.offset):
        while line + 1 < len(starts) and starts[line + 1] <= hit.offset:
            line += 1
        found.setdefault(hit.path, Position(line + 1, hit.offset - starts[line] + 1))
    return found


def offsets(text: str) -> dict[JsonPath, int]:
    """Find where every value of a text that ``parse_strict`` accepts begins.

    Args:
        text: The file's text.

    Returns:
        Characters from the start, by path; a member of an object begins at its key.
    """
    found: dict[JsonPath, int] = {}
    for hit in _scan(text, ()):
        found.setdefault(hit.path, hit.offset)
    return found


class _RefusedError(Exception):
    def __init__(self, what: str, remedy: str, key: str | None = None, constant: str | None = None) -> None:
        super().__init__(what)
        self.remedy = remedy
        self.key = key
        self.constant = constant

    def matches(self, hit: _Hit) -> bool:
        return hit.repeated == self.key if self.key is not None else hit.constant == self.constant


class _Hit(NamedTuple):
    path: JsonPath
    offset: int
    scalar: Any = None
    repeated: str | None = None
    constant: str | None = None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _RefusedError(f"has the key {twice!r} twice in one object", "delete one of the two", key=twice)
    return members


def _constant(name: str) -> Any:
    raise _RefusedError(f"holds {name}, which JSON does not know", "write a number or leave the key out", constant=name)


def _scan(text: str, path: JsonPath) -> Iterator[_Hit]:
    yield from _scan_value(text, _skip(text, 0), path, [0])


def _scan_value(text: str, offset: int, path: JsonPath, end: list[int]) -> Iterator[_Hit]:
    # `end[0]` returns where the value ended: a generator cannot hand it back otherwise without `yield from` chains.
    if not (len(path) and isinstance(path[-1], str)):
        yield _Hit(path, offset)
    if len(path) > _LOCATED_DEPTH:
        end[0] = _DECODER.raw_decode(text, offset)[1]
    elif text[offset] == "{":
        yield from _scan_object(text, offset, path, end)
    elif text[offset] == "[":
        cursor = _skip(text, offset + 1)
        item = 0
        while text[cursor] != "]":
            yield from _scan_value(text, cursor, (*path, item), end)
            item += 1
            cursor = _skip(text, end[0])
            if text[cursor] == ",":
                cursor = _skip(text, cursor + 1)
        end[0] = cursor + 1
    elif text[offset] == '"':
        scalar, end[0] = scanstring(text, offset + 1, True)
        yield _Hit(path, offset, scalar)
    else:
        word = _SCALAR.match(text, offset)
        end[0] = word.end() if word else offset + 1
        if word and word[0] in {"NaN", "Infinity", "-Infinity"}:
            yield _Hit(path, offset, constant=word[0])


def _scan_object(text: str, offset: int, path: JsonPath, end: list[int]) -> Iterator[_Hit]:
    cursor = _skip(text, offset + 1)
    seen: set[str] = set()
    while text[cursor] != "}":
        key, after = scanstring(text, cursor + 1, True)
        yield _Hit((*path, key), cursor, scalar=key, repeated=key if key in seen else None)
        seen.add(key)
        colon = _skip(text, after)
        yield from _scan_value(text, _skip(text, colon + 1), (*path, key), end)
        cursor = _skip(text, end[0])
        if text[cursor] == ",":
            cursor = _skip(text, cursor + 1)
    end[0] = cursor + 1


def _skip(text: str, offset: int) -> int:
    match = _SPACE.match(text, offset)
    return match.end() if match else offset


def _position(text: str, offset: int) -> Position:
    return Position(text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1)


def _cause(text: str, offset: int) -> tuple[int, str]:
    # Python versions differ in where they see a superfluous comma: at it, or at the bracket after it.
    tail = text[offset:].lstrip()
    before = text[:offset].rstrip()
    if tail.startswith(("//", "/*", "#")):
        return offset, "delete the comment"
    if tail[:1] in {"}", "]"} and before.endswith(","):
        return len(before) - 1, "delete the comma before the closing bracket"
    if tail[:1] == "," and tail[1:].lstrip()[:1] in {"}", "]"}:
        return len(text) - len(tail), "delete the comma before the closing bracket"
    return offset, "mend the syntax at this place"


def _fault(what: str, where: object, position: Position, remedy: str) -> DataReleaseError:
    return DataReleaseError(
        f"the file {what}",
        where=f"{where}:{position.line}:{position.column}",
        expected="strict UTF-8 JSON",
        remedy=remedy,
        code="E100",
    )
