"""Thumbnails for comparing pictures: decoded at an eighth of the size, hashed and correlated with numpy."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from admlops.data_release.storage import DataPath
from admlops.errors import RecordError

THUMB_HW = (16, 18)
"""Twice the 8 x 9 grey values of a 64-bit difference hash."""

_FLAGS = {
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    1: cv2.IMREAD_GRAYSCALE,
}
_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
_PNG_START, _PNG_END = b"\x89PNG", b"IEND"

U8 = npt.NDArray[np.uint8]


def make_thumbnail(content: bytes, recorded_hw: tuple[int, int], path: DataPath, where: object) -> U8:
    """Shrink a picture to 16x18 grey values.

    Args:
        content: Of a JPEG or PNG file.
        recorded_hw: Height and width in px that the record states.
        path: Named in the error.
        where: The record, named in the error.

    Returns:
        (16, 18) uint8.

    Raises:
        RecordError: Truncated, no picture, or not of the recorded size.
    """
    h, w = recorded_hw
    reduction = next((factor for factor in (8, 4, 2) if h >= factor * THUMB_HW[0] and w >= factor * THUMB_HW[1]), 1)
    grey = None
    if content and not _is_cut(content):
        grey = cv2.imdecode(np.frombuffer(content, np.uint8), _FLAGS[reduction] | cv2.IMREAD_IGNORE_ORIENTATION)
    if grey is None:
        raise RecordError(
            "an image is truncated or not a supported format",
            where=where,
            expected="a complete JPEG or PNG",
            got=f"{path}, {len(content)} bytes",
            remedy="fetch it again, or analyse without pictures: --no-images",
        )
    # Decoders round a reduced size up or down.
    if abs(grey.shape[0] - h / reduction) >= 1 or abs(grey.shape[1] - w / reduction) >= 1:
        factor = "" if reduction == 1 else f" at 1/{reduction}"
        raise RecordError(
            "an image is not of the recorded size",
            where=where,
            expected=f"{h}x{w} (h x w)",
            got=f"{grey.shape[0]}x{grey.shape[1]}{factor}: {path}",
            remedy="correct width and height of the record, or the file",
        )
    thumb: U8 = cv2.resize(grey, (THUMB_HW[1], THUMB_HW[0]), interpolation=cv2.INTER_AREA)
    return thumb


def difference_hashes(thumbs: U8) -> npt.NDArray[np.uint64]:
    """Hash pictures by whether brightness rises from column to column (dHash).

    Args:
        thumbs: (N, 16, 18).

    Returns:
        (N,) 64 bits each: 8 rows of 8 differences between 9 columns.
    """
    cells = thumbs.reshape(-1, 8, 2, 9, 2).sum(axis=(2, 4), dtype=np.int32)
    bits = (cells[:, :, 1:] > cells[:, :, :-1]).reshape(-1, 64)
    packed = np.packbits(bits, axis=1)
    hashes: npt.NDArray[np.uint64] = np.ascontiguousarray(packed).view(np.uint64)[:, 0]
    return hashes


def _is_cut(content: bytes) -> bool:
    if content.startswith(_PNG_START):
        return _PNG_END not in content[-64:]
    return content.startswith(_JPEG_START) and content.rfind(_JPEG_END) < content.rfind(_JPEG_SCAN)
