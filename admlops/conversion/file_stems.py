"""The files of a folder by the name that a frame has in it."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from admlops.errors import ConversionError

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png")


def file_stems(folder: Path, suffixes: Collection[str]) -> dict[str, str]:
    """List a folder.

    Args:
        folder: The folder.
        suffixes: Wanted, in lower case; capitals match too.

    Returns:
        Name without suffix -> name, of the files that have one of the suffixes.

    Raises:
        ConversionError: Two files differ in their suffix only.
    """
    names: dict[str, str] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            stem, suffix = os.path.splitext(entry.name)  # noqa: PTH122 - a Path for each of many files costs a second
            if suffix.lower() not in suffixes:
                continue
            if stem in names:
                both = " and ".join(sorted((names[stem], entry.name)))
                raise ConversionError(f"two files may be frame {stem!r}", where=folder, expected="one", got=both)
            names[stem] = entry.name
    return names
