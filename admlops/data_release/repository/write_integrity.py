"""Put ``integrity`` into the entries of a dataset file and leave every other character as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from json.decoder import scanstring  # type: ignore[attr-defined]

from admlops.data_release.schema import Integrity
from admlops.data_release.strict_json import offsets

_DECODER = json.JSONDecoder()
_TO_VALUE = re.compile(r"\s*:\s*")


def with_integrity(content: bytes, pinned: Mapping[int, Integrity]) -> bytes:
    """Write the integrity of entries into a dataset file.

    Keys of an old ``integrity`` that the schema does not know stay. A new one goes to the end of its entry, on a line of its
    own where the entry's last key has one.

    Args:
        content: A valid dataset file.
        pinned: By position in ``dataset_index``.

    Returns:
        The file's new bytes.
    """
    text = content.decode("utf-8")
    places = offsets(text)
    pieces, done = [], 0
    for i in sorted(pinned):
        entry, end = _DECODER.raw_decode(text, places["dataset_index", i])
        keys = {name: places["dataset_index", i, name] for name in entry}
        if "integrity" in keys:
            indent = _indent(text, keys["integrity"])
            start = _value_after(text, keys["integrity"])
            stop = _DECODER.raw_decode(text, start)[1]
            before = ""
        else:
            indent = _indent(text, max(keys.values()))
            start = stop = _end_of_last_value(text, end)
            before = ', "integrity": ' if indent is None else f',\n{indent}"integrity": '
        value = _layout(_fields(pinned[i], entry.get("integrity") or {}), indent)
        pieces += [text[done:start], before, value]
        done = stop
    return "".join([*pieces, text[done:]]).encode("utf-8")


def _fields(integrity: Integrity, old: Mapping[str, object]) -> dict[str, object]:
    foreign = {name: value for name, value in old.items() if name not in Integrity.model_fields}
    return {**integrity.model_dump(exclude_none=True), **foreign}


def _layout(value: Mapping[str, object], indent: str | None) -> str:
    if indent is None:
        return json.dumps(value, ensure_ascii=False)
    # One step deeper than the entry's keys, whose own depth is three steps: top, dataset_index, entry.
    step = indent[: len(indent) // 3] or "  "
    return json.dumps(value, ensure_ascii=False, indent=step).replace("\n", f"\n{indent}")


def _value_after(text: str, key: int) -> int:
    match = _TO_VALUE.match(text, scanstring(text, key + 1, True)[1])
    return match.end() if match else key


def _end_of_last_value(text: str, entry_end: int) -> int:
    stop = entry_end - 1  # the closing brace
    while text[stop - 1] in " \t\r\n":
        stop -= 1
    return stop


def _indent(text: str, key: int) -> str | None:
    indent = text[text.rfind("\n", 0, key) + 1 : key]
    return indent if not indent.strip(" \t") else None
