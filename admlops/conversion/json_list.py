"""An annotation file that holds all frames of a split as one JSON list, read item by item: it may be larger than memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ijson

from admlops.errors import ConversionError


def stream_json_list(path: Path, key: str = "") -> Iterator[Any]:
    """Read the items of a JSON list, one after the other.

    Args:
        path: The file.
        key: Where the file is an object: the key of the list in it. A file without the key holds no item.

    Yields:
        The items, as ``json.loads`` would give them.

    Raises:
        ConversionError: Missing, truncated, malformed, or no list (no object, where there is a key).
    """
    bracket, kind = ("{", "object") if key else ("[", "list")
    if not path.is_file():
        raise ConversionError("an annotation file is missing", where=path, expected=f"a JSON {kind} of frames", got="no file")
    with path.open("rb") as file:
        start = file.read(64).lstrip()[:1]
        file.seek(0)
        if start != bracket.encode():
            got = repr(start.decode("utf-8", "replace")) if start else "an empty file"
            raise ConversionError(
                f"the annotation file is no {kind}", where=path, expected=f"a JSON {kind}, '{bracket}'", got=got
            )
        try:
            yield from ijson.items(file, f"{key}.item" if key else "item", use_float=True)
        except ijson.JSONError as error:
            raise ConversionError(
                "the annotation file is truncated or malformed",
                where=f"{path} (about byte {file.tell()} of {path.stat().st_size})",
                expected=f"one complete JSON {kind}",
                got=str(error).splitlines()[0],
                remedy="fetch the file again, then run the same command: it continues",
            ) from None
