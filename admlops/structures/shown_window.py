"""Which part of the original image the network's input shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

XyxyBox = tuple[float, float, float, float]


def shown_window(input_from_original: npt.ArrayLike, input_valid_hw: Sequence[int], original_hw: Sequence[int]) -> XyxyBox:
    """Find the part of the original that the input shows; metrics leave the rest out.

    Args:
        input_from_original: (3, 3) affine map without rotation, original px -> input px.
        input_valid_hw: Height and width of the part of the input that shows the image (``img_shape``), px.
        original_hw: Height and width of the original, px.

    Returns:
        (left, top, right, bottom) in px of the original; ``(0, 0, w, h)`` where nothing of it is cut off.
    """
    original_from_input = np.linalg.inv(np.asarray(input_from_original, dtype=np.float64))
    height, width = (float(side) for side in input_valid_hw[:2])
    corners = (original_from_input @ np.array([[0.0, width], [0.0, height], [1.0, 1.0]]))[:2]
    # A millionth of a pixel is the rounding of the inverse, not a cut.
    low, high = corners.min(axis=1).round(6), corners.max(axis=1).round(6)
    return (
        max(float(low[0]), 0.0),
        max(float(low[1]), 0.0),
        min(float(high[0]), float(original_hw[1])),
        min(float(high[1]), float(original_hw[0])),
    )
