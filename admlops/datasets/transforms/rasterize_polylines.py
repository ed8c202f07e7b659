"""Draw lanes given as polylines into a mask."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[np.float64]

WIDTH_PX_PER_720_ROWS = 8.0
"""Width of a drawn lane, for each 720 rows of the original image."""


def lane_width_px(original_height_px: int) -> float:
    """Compute how wide lanes are drawn.

    Args:
        original_height_px: Rows of the original image.

    Returns:
        Width in original px: 8 for 720 rows, 12 for 1080.
    """
    return WIDTH_PX_PER_720_ROWS * original_height_px / 720.0


def draw_polyline(mask: npt.NDArray[np.uint8], points_xy: npt.NDArray[np.float64], width_px: float, value: int) -> None:
    """Set every pixel whose centre is within half the width of the polyline (round ends and joints).

    Own code, since OpenCV rounds points to pixel centres and draws an even width one pixel too wide.

    Args:
        mask: (H, W) uint8, changed in place.
        points_xy: (N, 2), at least one point, in px from the left and top edge; may leave the image.
        width_px: Full width.
        value: To set.
    """
    starts, ends = (points_xy[:-1], points_xy[1:]) if len(points_xy) > 1 else (points_xy, points_xy)
    radius = width_px / 2
    # Every segment spans one interval of every row that it touches. Pixel centres lie at +0.5; half-open intervals make a
    # width of 8 exactly 8 px wherever the line lies.
    firsts = np.ceil(np.minimum(starts[:, 1], ends[:, 1]) - radius - 0.5).clip(0, mask.shape[0]).astype(int)
    lasts = np.ceil(np.maximum(starts[:, 1], ends[:, 1]) + radius - 0.5).clip(0, mask.shape[0]).astype(int)
    counts = lasts - firsts
    segments = np.repeat(np.arange(len(starts)), counts)
    rows = np.arange(len(segments)) + np.repeat(firsts - (np.cumsum(counts) - counts), counts)
    left, right = _capsule_spans(starts, ends, radius, segments, rows + 0.5)
    begins = np.ceil(left - 0.5).clip(0, mask.shape[1]).astype(int).tolist()
    stops = np.ceil(right - 0.5).clip(0, mask.shape[1]).astype(int).tolist()
    for row, begin, stop in zip(rows.tolist(), begins, stops, strict=True):
        mask[row, begin:stop] = value


def _capsule_spans(
    starts: _Array, ends: _Array, radius: float, segments: npt.NDArray[np.int64], y: _Array
) -> tuple[_Array, _Array]:
    # A capsule is convex: in a row it reaches from the leftmost to the rightmost of its two circles and its rectangle.
    along = ends - starts
    length = np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-12)[:, None]
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1) * (radius / length)
    left, right = np.full_like(y, np.inf), np.full_like(y, -np.inf)
    for centres in (starts[segments], ends[segments]):
        square = radius**2 - (y - centres[:, 1]) ** 2
        half = np.where(square > 0, np.sqrt(np.maximum(square, 0)), -np.inf)
        left, right = np.minimum(left, centres[:, 0] - half), np.maximum(right, centres[:, 0] + half)
    # Sides of the rectangle; the circles cover the rows in which a side is level.
    corners = [side[segments] for side in (starts + normal, ends + normal, ends - normal, starts - normal)]
    for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
        rise = b[:, 1] - a[:, 1]
        crosses = (np.minimum(a[:, 1], b[:, 1]) <= y) & (y <= np.maximum(a[:, 1], b[:, 1])) & (rise != 0)
        x = a[:, 0] + (b[:, 0] - a[:, 0]) * (y - a[:, 1]) / np.where(rise != 0, rise, 1)
        left = np.minimum(left, np.where(crosses, x, np.inf))
        right = np.maximum(right, np.where(crosses, x, -np.inf))
    return left, right
