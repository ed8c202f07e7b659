"""Read the files that a record names."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from admlops.data_release.storage import DataPath, is_url
from admlops.errors import RecordError


def read_file(base_dir: DataPath, path: str, what: str, option: str, where: object) -> tuple[DataPath, bytes]:
    """Read a whole file.

    Args:
        base_dir: What a relative path refers to.
        path: As recorded.
        what: Word for it in the error, such as ``an image``.
        option: Of the command line that does without it.
        where: The record that names it.

    Returns:
        Where it is and its bytes.

    Raises:
        RecordError: It is missing or unreadable, or lies in a store although the index does not.
        DataReleaseError: It lies in a store that does not give it.
    """
    remedy = f"fetch it or correct the record, or analyse without it: {option}"
    if is_url(path) and isinstance(base_dir, Path):
        raise RecordError(f"{what} is not on this machine", where=where, expected="a path of a file", got=path, remedy=remedy)
    try:
        return base_dir / path, (base_dir / path).read_bytes()
    except OSError as error:
        raise RecordError(
            f"{what} cannot be read: {error.strerror}", where=where, got=base_dir / path, remedy=remedy
        ) from error


def read_mask(base_dir: DataPath, path: str, recorded_hw: tuple[int, int], where: object) -> npt.NDArray[np.uint8]:
    """Read an index PNG, grey or with a palette.

    Args:
        base_dir: What a relative path refers to.
        path: As recorded.
        recorded_hw: Height and width in px that the record states.
        where: The record that names it.

    Returns:
        (H, W) uint8.

    Raises:
        RecordError: Missing, damaged, no index PNG, or not of the recorded size.
    """
    place, content = read_file(base_dir, path, "a mask", "--no-masks", where)
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            mode, mask = image.mode, np.array(image)
    except (OSError, SyntaxError) as error:  # Pillow raises SyntaxError for a broken chunk
        raise RecordError(
            "a mask is truncated or no PNG",
            where=where,
            expected="a complete PNG",
            got=f"{place}, {len(content)} bytes",
            remedy="fetch it again",
        ) from error
    if mode not in {"L", "P"}:
        raise RecordError(
            "a mask is not an index PNG", where=where, expected="8-bit grey or palette PNG", got=f"{place}: mode {mode}"
        )
    if mask.shape != recorded_hw:
        raise RecordError(
            "a mask is not of the recorded size",
            where=where,
            expected=f"{recorded_hw[0]}x{recorded_hw[1]} (h x w)",
            got=f"{mask.shape[0]}x{mask.shape[1]}: {place}",
            remedy="correct width and height of the record, or the file",
        )
    return mask.astype(np.uint8, copy=False)
