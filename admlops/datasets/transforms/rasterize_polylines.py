"""Draw lanes given as polylines into a mask."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

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
    for start, end in zip(starts, ends, strict=True):
        _draw_segment(mask, start, end, width_px / 2, value)


def _draw_segment(
    mask: npt.NDArray[np.uint8], start: npt.NDArray[np.float64], end: npt.NDArray[np.float64], radius: float, value: int
) -> None:
    height, width = mask.shape
    (x0, y0), (x1, y1) = start, end
    # Pixel centres lie at +0.5; half-open intervals make a width of 8 exactly 8 px wherever the line lies.
    first = max(0, int(np.ceil(min(y0, y1) - radius - 0.5)))
    last = min(height, int(np.ceil(max(y0, y1) + radius - 0.5)))
    if first >= last:
        return
    y = np.arange(first, last) + 0.5
    left, right = _circle_span(x0, y0, radius, y)
    for span_left, span_right in (_circle_span(x1, y1, radius, y), _band_span(start, end, radius, y)):
        left, right = np.minimum(left, span_left), np.maximum(right, span_right)
    spanned = left < right
    begins = np.clip(np.ceil(left[spanned] - 0.5), 0, width).astype(int).tolist()
    stops = np.clip(np.ceil(right[spanned] - 0.5), 0, width).astype(int).tolist()
    for row, begin, stop in zip(np.flatnonzero(spanned) + first, begins, stops, strict=True):
        mask[row, begin:stop] = value


def _circle_span(
    x: float, y: float, radius: float, rows: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    square = radius**2 - (rows - y) ** 2
    half = np.where(square >= 0, np.sqrt(np.maximum(square, 0)), -np.inf)
    return x - half, x + half


def _band_span(
    start: npt.NDArray[np.float64], end: npt.NDArray[np.float64], radius: float, rows: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    # A row crosses the rectangle around the segment between two of its four sides.
    left, right = np.full_like(rows, np.inf), np.full_like(rows, -np.inf)
    length = float(np.hypot(*(end - start)))
    if length == 0.0:
        return left, right
    normal = np.array([start[1] - end[1], end[0] - start[0]]) * (radius / length)
    corners = np.stack([start + normal, end + normal, end - normal, start - normal])
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        rise = b[1] - a[1]
        crossing = (rows >= min(a[1], b[1])) & (rows <= max(a[1], b[1]))
        if rise == 0.0:
            xs = (min(a[0], b[0]), max(a[0], b[0]))
            left[crossing] = np.minimum(left[crossing], xs[0])
            right[crossing] = np.maximum(right[crossing], xs[1])
        else:
            x = a[0] + (b[0] - a[0]) * (rows[crossing] - a[1]) / rise
            left[crossing], right[crossing] = np.minimum(left[crossing], x), np.maximum(right[crossing], x)
    return left, right
