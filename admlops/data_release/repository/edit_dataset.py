"""Change entries and ``meta`` of a dataset file, and leave the rest of its text as it is: reviewers read the difference."""

from __future__ import annotations

import json
import re
from typing import Any

from admlops.data_release.strict_json import offsets

_DECODER = json.JSONDecoder()
_TO_VALUE = re.compile(r'"(?:[^"\\]|\\.)*"\s*:\s*')
_SPACE_BEFORE = re.compile(r"\s*\Z")
_STEP = re.compile(r"\n([ \t]+)")
_SHORT_LIST = re.compile(r":\s*\[[^\n\[\]{}]*\]")
_LONG_LIST = re.compile(r"\[\n\s*([^\[\]{}]*?)\n\s*\]")


def with_changes(content: bytes, changed: dict[str, Any]) -> bytes:
    """Write a changed dataset file.

    Args:
        content: A valid dataset file.
        changed: Its content, with another ``meta``, other entries in their places, or more entries at the end.

    Returns:
        The file's new bytes: what changed is laid out as the file is, all else is as it was.
    """
    text = content.decode("utf-8")
    before, places = json.loads(text), offsets(text)
    spans = []
    if changed["meta"] != before["meta"]:
        key = places["meta",]
        value = _TO_VALUE.match(text, key)
        spans.append((key if value is None else value.end(), changed["meta"], text[:key]))
    old, new = before["dataset_index"], changed["dataset_index"]
    for i, (own, other) in enumerate(zip(old, new, strict=False)):
        if own != other:
            start = places["dataset_index", i]
            spans.append((start, other, text[:start]))
    last = places["dataset_index", len(old) - 1]
    lead = _leading_space(text[:last])
    edits = [(start, _end(text, start), _laid_out(value, head, text)) for start, value, head in spans]
    more = "".join(f",{lead or ' '}{_laid_out(entry, text[:last], text)}" for entry in new[len(old) :])
    edits.append((_end(text, last), _end(text, last), more))
    # From the end, so that the offsets before stay right; the last entry's own change lies before what is added to it.
    for start, end, piece in sorted(edits, reverse=True):
        text = text[:start] + piece + text[end:]
    return text.encode("utf-8")


def _laid_out(value: Any, head: str, text: str) -> str:
    step = _STEP.search(text)
    if step is None:
        return json.dumps(value, ensure_ascii=False)
    laid = json.dumps(value, ensure_ascii=False, indent=step[1])
    if _SHORT_LIST.search(text):
        laid = _LONG_LIST.sub(lambda match: "[" + re.sub(r",\n\s*", ", ", match[1]) + "]", laid)
    return laid.replace("\n", "\n" + _leading_space(head).rpartition("\n")[2])


def _leading_space(head: str) -> str:
    match = _SPACE_BEFORE.search(head)
    return match[0] if match else ""


def _end(text: str, start: int) -> int:
    return int(_DECODER.raw_decode(text, start)[1])
