"""An annotation file that holds all frames of a split as one JSON list, read item by item: it may be larger than memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ijson

from admlops.errors import ConversionError


def stream_json_list(path: Path) -> Iterator[Any]:
    """Read the items of a JSON list, one after the other.

    Args:
        path: The file.

    Yields:
        The items, as ``json.loads`` would give them.

    Raises:
        ConversionError: Missing, truncated, malformed, or no list.
    """
    if not path.is_file():
        raise ConversionError("an annotation file is missing", where=path, expected="a JSON list of frames", got="no file")
    with path.open("rb") as file:
        start = file.read(64).lstrip()[:1]
        file.seek(0)
        if start != b"[":
            got = repr(start.decode("utf-8", "replace")) if start else "an empty file"
            raise ConversionError("the annotation file is no list", where=path, expected="a JSON list, '['", got=got)
        try:
            yield from ijson.items(file, "item", use_float=True)
        except ijson.JSONError as error:
            raise ConversionError(
                "the annotation file is truncated or malformed",
                where=f"{path} (about byte {file.tell()} of {path.stat().st_size})",
                expected="one complete JSON list",
                got=str(error).splitlines()[0],
                remedy="fetch the file again, then run the same command: it continues",
            ) from None
