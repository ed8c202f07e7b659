"""YAML without surprises: no key twice, no anchors, no objects, and ``yes``, ``1:30`` and dates are text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar

import yaml

from admlops.data_release.strict_json import JsonPath, Position
from admlops.errors import DataReleaseError


def parse_strict_yaml(content: bytes, where: object, *, code: str) -> tuple[Any, dict[JsonPath, Position]]:
    """Parse UTF-8 YAML and refuse what readers understand differently.

    Args:
        content: The file's bytes.
        where: Path of the file, for errors.
        code: Of the error.

    Returns:
        The value, of mappings with text keys, lists, text, numbers, booleans and None; and line and column of every value by
        path, where a member of a mapping is located at its key.

    Raises:
        DataReleaseError: Not UTF-8, a syntax error, a key that appears twice or is no text, an anchor, a tag.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _fault("the file is not UTF-8", where, Position(1, 1), "save the file as UTF-8", code) from error
    try:
        node = yaml.compose(text, Loader=_PlainLoader)
        places: dict[JsonPath, Position] = {(): Position(1, 1)}
        return (None if node is None else _value(node, (), places)), places
    except _RefusedError as refused:
        raise _fault(str(refused), where, refused.position, refused.remedy, code) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)
        what = f"the file is not YAML: {error.problem or error.context}"
        raise _fault(what, where, place, "mend the syntax at this place", code) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise _fault(f"the file is not YAML: {error}", where, Position(1, 1), "mend the syntax", code) from error


class _RefusedError(Exception):
    def __init__(self, what: str, node: yaml.Node, remedy: str) -> None:
        super().__init__(what)
        self.position = _place(node)
        self.remedy = remedy


class _PlainLoader(yaml.SafeLoader):
    # JSON's idea of what a bare word is, so that nothing depends on the version of YAML: `on`, `no`, dates, sexagesimals.
    yaml_implicit_resolvers: ClassVar[dict[str | None, list[tuple[str, re.Pattern[str]]]]] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            mark = event.start_mark
            raise yaml.composer.ComposerError(None, None, "anchors and aliases are not read here", mark)
        if getattr(event, "tag", None) is not None:
            raise yaml.composer.ComposerError(None, None, f"the tag {event.tag} is not read here", event.start_mark)
        return super().compose_node(parent, index)


_BARE_WORDS: tuple[tuple[str, str, str], ...] = (
    ("tag:yaml.org,2002:bool", r"true|false", "tf"),
    ("tag:yaml.org,2002:null", r"null|~|", "n~\0"),
    ("tag:yaml.org,2002:int", r"-?(?:0|[1-9][0-9]*)", "-0123456789"),
    ("tag:yaml.org,2002:float", r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", "-0123456789"),
)
for _tag, _pattern, _first in _BARE_WORDS:
    _firsts = ["" if letter == "\0" else letter for letter in _first]
    _PlainLoader.add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern})\Z"), _firsts)

_CONVERT: dict[str, Callable[[str], Any]] = {
    "bool": lambda text: text == "true",
    "null": lambda _: None,
    "int": int,
    "float": float,
    "str": str,
}


def _value(node: yaml.Node, path: JsonPath, places: dict[JsonPath, Position]) -> Any:
    places.setdefault(path, _place(node))
    if isinstance(node, yaml.MappingNode):
        members: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            if not isinstance(key, str) or key_node.tag != "tag:yaml.org,2002:str":
                raise _RefusedError("the file has a key that is no text", key_node, "put the key into quotes")
            if key in members:
                raise _RefusedError(f"the file has the key {key!r} twice", key_node, "delete one of the two")
            places[(*path, key)] = _place(key_node)
            members[key] = _value(value_node, (*path, key), places)
        return members
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, i), places) for i, item in enumerate(node.value)]
    return _CONVERT[node.tag.removeprefix("tag:yaml.org,2002:")](node.value)


def _place(node: yaml.Node) -> Position:
    return Position(node.start_mark.line + 1, node.start_mark.column + 1)


def _fault(what: str, where: object, position: Position, remedy: str, code: str) -> DataReleaseError:
    place = f"{where}:{position.line}:{position.column}"
    return DataReleaseError(what, where=place, expected="plain UTF-8 YAML", remedy=remedy, code=code)
