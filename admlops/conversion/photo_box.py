"""A box of a source against the photo that it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from admlops.conversion.photo_file import PhotoFile
from admlops.errors import ConversionError

BOX_TOLERANCE_PX = 1.0
"""How far beyond the photo a box may reach before label and photo do not belong together."""


def fit_box(
    box_px: Sequence[float], photo: PhotoFile, fault: Callable[[str, str], ConversionError]
) -> tuple[float, float, float, float]:
    """Cut a box at the photo's edges.

    Args:
        box_px: x1, y1, x2, y2.
        photo: The photo.
        fault: Makes the format's error of what was expected and what came.

    Returns:
        x1, y1, x2, y2 inside of the photo, with x1 < x2 and y1 < y2.

    Raises:
        ConversionError: Empty, or more than ``BOX_TOLERANCE_PX`` outside.
    """
    x1, y1, x2, y2 = box_px
    got = " ".join(f"{value:g}" for value in box_px)
    if x2 <= x1 or y2 <= y1:
        raise fault("a box with left < right and top < bottom", got)
    slack = BOX_TOLERANCE_PX
    if x1 < -slack or y1 < -slack or x2 > photo.width + slack or y2 > photo.height + slack:
        raise fault(f"a box inside of the image ({photo.width}x{photo.height}, {photo.path})", got)
    x1, y1, x2, y2 = max(x1, 0.0), max(y1, 0.0), min(x2, float(photo.width)), min(y2, float(photo.height))
    if x2 <= x1 or y2 <= y1:
        raise fault(f"a box inside of the image ({photo.width}x{photo.height}, {photo.path})", got)
    return x1, y1, x2, y2
