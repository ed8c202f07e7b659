"""The road: its shape, its surface and its markings, and the labels of the lane lines."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from admlops.synthetic.camera import FloatArray
from admlops.synthetic.canvas import CLASS_INDEX, Canvas, Color

EDGE_OF_WORLD_M = 420.0
_LABEL_REACH_M = 62.0
_WIDE = math.inf


@dataclass(frozen=True)
class LaneLine:
    """A marking along the road.

    Attributes:
        offset_m: Lateral position.
        category: One of the four lane classes.
        width_m: Width of one stripe.
        dash_m: Length painted and length left out; (0, 0) for a solid line.
        phase_m: Where the first dash begins.
        color: BGR of the paint.
    """

    offset_m: float
    category: str
    width_m: float
    dash_m: tuple[float, float]
    phase_m: float
    color: Color


@dataclass(frozen=True)
class Lane:
    """A lane: lateral centre, and the direction of travel (1 = away from the camera)."""

    center_m: float
    direction: int


@dataclass(frozen=True)
class Road:
    """A road as a graph over Z: lateral X(Z) and height Y(Z). The camera's lane is at offset 0.

    Attributes:
        bend: Initial heading, dX/dZ.
        curvature: d2X/dZ2 in 1/m.
        grade: dY/dZ.
        hill_m: Amplitude of the hills.
        hill_length_m: Their wavelength.
        left_m: Offset of the left edge of the carriageway.
        right_m: Offset of its right edge.
        sidewalk_left_m: Width of the left sidewalk, 0 = none.
        sidewalk_right_m: Width of the right one.
        lanes: Lanes from left to right.
        lines: Markings.
        crossing_m: Near and far Z of a road that crosses, or None.
    """

    bend: float
    curvature: float
    grade: float
    hill_m: float
    hill_length_m: float
    left_m: float
    right_m: float
    sidewalk_left_m: float
    sidewalk_right_m: float
    lanes: tuple[Lane, ...]
    lines: tuple[LaneLine, ...]
    crossing_m: tuple[float, float] | None

    def at(self, ahead_m: float, offset_m: float, up_m: float = 0.0) -> FloatArray:
        """World point (3,) at a distance along the road and a lateral offset."""
        return np.array(
            [
                self.bend * ahead_m + self.curvature * ahead_m**2 / 2 + offset_m,
                self.grade * ahead_m + self.hill_m * (1 - math.cos(2 * math.pi * ahead_m / self.hill_length_m)) + up_m,
                ahead_m,
            ]
        )

    def along(self, ahead_m: FloatArray, offset_m: float) -> FloatArray:
        """World points (N, 3) of a line along the road, at distances (N,)."""
        right = self.bend * ahead_m + self.curvature * ahead_m**2 / 2 + offset_m
        up = self.grade * ahead_m + self.hill_m * (1 - np.cos(2 * math.pi * ahead_m / self.hill_length_m))
        return np.stack([right, up, ahead_m], axis=1)

    def heading(self, ahead_m: float) -> float:
        """Angle of the road against the Z axis in radians, positive to the right."""
        return math.atan(self.bend + self.curvature * ahead_m)

    def is_crossing(self, ahead_m: float, margin_m: float = 0.0) -> bool:
        """Whether a distance lies on the crossing road."""
        return self.crossing_m is not None and self.crossing_m[0] - margin_m < ahead_m < self.crossing_m[1] + margin_m


def sample_lines(
    lanes: tuple[Lane, ...],
    lane_width_m: float,
    rng: np.random.Generator,
) -> tuple[LaneLine, ...]:
    """Draw the markings between and beside lanes.

    Args:
        lanes: From left to right.
        lane_width_m: Their width.
        rng: Source of chance.

    Returns:
        One line a border, from left to right.
    """
    white = float(rng.uniform(190, 250))
    yellow = (float(rng.uniform(20, 90)), float(rng.uniform(150, 200)), float(rng.uniform(205, 250)))
    width = float(rng.uniform(0.17, 0.24))
    dash = (float(rng.uniform(2.5, 4.0)), float(rng.uniform(3.0, 5.5)))
    phase = float(rng.uniform(0, 8))
    middle = str(rng.choice(["double_yellow", "double_yellow", "solid_yellow"]))
    left_edge = str(rng.choice(["solid_white", "solid_yellow"])) if lanes[0].direction == 1 else "solid_white"
    inner = str(rng.choice(["dashed_white", "dashed_white", "dashed_white", "solid_white"]))
    lines = []
    for i in range(len(lanes) + 1):
        offset = lanes[0].center_m + (i - 0.5) * lane_width_m
        if i == 0:
            offset, category = offset + 0.35, left_edge
        elif i == len(lanes):
            offset, category = offset - 0.35, "solid_white"
        elif lanes[i - 1].direction != lanes[i].direction:
            category = middle
        else:
            category = inner
        color = yellow if "yellow" in category else (white, white, white)
        is_dashed = category == "dashed_white"
        lines.append(LaneLine(offset, category, width, dash if is_dashed else (0.0, 0.0), phase, color))
    return tuple(lines)


def draw_ground(
    canvas: Canvas,
    road: Road,
    colors: dict[str, Color],
    rng: np.random.Generator,
) -> None:
    """Paint terrain, sidewalks, carriageway and markings, strip by strip from far to near.

    Args:
        canvas: Painted on.
        road: What is painted.
        colors: Of "terrain", "sidewalk", "kerb", "asphalt".
        rng: Source of chance.
    """
    levels = list(np.geomspace(1.0, EDGE_OF_WORLD_M, 56))
    if road.crossing_m:
        levels += [*road.crossing_m]
    levels = sorted(levels)
    kerb = 0.28
    layers = [(-_WIDE, _WIDE, "terrain", "terrain")]
    left, right = road.left_m - road.sidewalk_left_m, road.right_m + road.sidewalk_right_m
    if left < road.left_m or right > road.right_m:
        layers.append((left, right, "sidewalk", "sidewalk"))
        kerb_left = road.left_m - (kerb if road.sidewalk_left_m else 0)
        kerb_right = road.right_m + (kerb if road.sidewalk_right_m else 0)
        layers.append((kerb_left, kerb_right, "sidewalk", "kerb"))
    layers.append((road.left_m, road.right_m, "road", "asphalt"))
    patches = _sample_patches(road, rng)
    for i in range(len(levels) - 2, -1, -1):
        near, far = levels[i], levels[i + 1]
        nearer = levels[max(i - 1, 0)]
        wobble = 1 + float(rng.normal(0, 0.012))
        on_crossing = road.is_crossing((near + far) / 2)
        strips = [(-_WIDE, _WIDE, "road", "asphalt")] if on_crossing else layers
        for rank, (x0, x1, class_name, material) in enumerate(strips):
            # What has no edge reaches beyond the view, but not so far that its pixels leave the number range. What
            # lies on top reaches over the far end of what lies below, which else would shine through there.
            low, high = (10 + 4 * nearer, 10 + 4 * far) if x1 == _WIDE else (math.inf, math.inf)
            end = far + rank * _pixel_m(canvas, far)
            corners = [road.at(nearer, max(x0, -low)), road.at(nearer, min(x1, low)), road.at(end, min(x1, high))]
            corners.append(road.at(end, max(x0, -high)))
            with canvas.painting(class_name):
                canvas.fill(corners, colors[material], shade=wobble)
        with canvas.painting("road"):
            for start, end, x0, x1, shade in patches:
                low, high = max(start, near), min(end, far)
                if low < high:
                    patch = [road.at(low, x0), road.at(low, x1), road.at(high, x1), road.at(high, x0)]
                    canvas.fill(patch, colors["asphalt"], shade=shade, detail=True)
            if not on_crossing:
                for line in road.lines:
                    _paint_line(canvas, road, line, near, far)
    _paint_stripes(canvas, road)


def _pixel_m(canvas: Canvas, ahead_m: float) -> float:
    """Length of a bit more than a pixel's height on the ground."""
    return 1.2 * ahead_m**2 / (canvas.camera.focal_px * canvas.camera.above_ground_m)


def _sample_patches(road: Road, rng: np.random.Generator) -> list[tuple[float, float, float, float, float]]:
    patches = []
    for _ in range(int(rng.integers(0, 6))):
        start, x0 = rng.uniform(4, 50), rng.uniform(road.left_m, road.right_m - 0.5)
        x1 = min(x0 + rng.uniform(0.4, 2.5), road.right_m)
        patches.append((start, start + rng.uniform(0.8, 12), x0, x1, rng.uniform(0.72, 1.15)))
    return patches


def _paint_line(canvas: Canvas, road: Road, line: LaneLine, near: float, far: float) -> None:
    stripes = [(line.offset_m, line.width_m)]
    if line.category == "double_yellow":
        stripes = [(line.offset_m - line.width_m, line.width_m), (line.offset_m + line.width_m, line.width_m)]
    pieces = [(near, far)]
    if line.dash_m[0] > 0:
        if far > 160:
            return
        period = sum(line.dash_m)
        first = math.floor((near - line.phase_m) / period)
        last = math.ceil((far - line.phase_m) / period)
        dashes = [(line.phase_m + k * period, line.phase_m + k * period + line.dash_m[0]) for k in range(first, last + 1)]
        pieces = [(max(a, near), min(b, far)) for a, b in dashes if a < far and b > near]
    for a, b in pieces:
        b += 4 * _pixel_m(canvas, far) if b == far else 0.0
        for offset, width in stripes:
            x0, x1 = offset - width / 2, offset + width / 2
            canvas.fill([road.at(a, x0), road.at(a, x1), road.at(b, x1), road.at(b, x0)], line.color, detail=True)


def _paint_stripes(canvas: Canvas, road: Road) -> None:
    if not road.crossing_m:
        return
    start = road.crossing_m[0] - 4.5
    white: Color = (225.0, 225.0, 225.0)
    if start < 3:
        return
    offset = road.left_m + 0.4
    with canvas.painting("road"):
        while offset + 0.5 < road.right_m:
            x0, x1, end = offset, offset + 0.5, start + 3.0
            canvas.fill([road.at(start, x0), road.at(start, x1), road.at(end, x1), road.at(end, x0)], white, detail=True)
            offset += 1.0


def lane_polylines(canvas: Canvas, road: Road) -> list[dict[str, object]]:
    """Label the lane lines that are visible in the finished picture.

    Args:
        canvas: After everything has been painted: lines break where something covers the road.
        road: Whose lines.

    Returns:
        ``{"category", "points": [[x, y], ...]}`` in pixels, points from near to far.
    """
    ahead = np.geomspace(1.2, _LABEL_REACH_M, 420)
    is_marked = np.array([not road.is_crossing(z) for z in ahead])
    labels: list[dict[str, object]] = []
    height, width = canvas.classes.shape
    for line in road.lines:
        pixels, depths = canvas.camera.project(road.along(ahead, line.offset_m))
        columns, rows = np.floor(pixels[:, 0]).astype(int), np.floor(pixels[:, 1]).astype(int)
        inside = (depths > 1) & (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        shown = inside & is_marked
        shown[shown] &= canvas.classes[rows[shown], columns[shown]] == CLASS_INDEX["road"]
        for run in np.split(np.arange(len(ahead)), np.flatnonzero(np.diff(shown.astype(np.int8))) + 1):
            piece = pixels[run]
            if not shown[run[0]] or np.ptp(piece[:, 1]) < height / 60:
                continue
            slim = cv2.approxPolyDP(piece.astype(np.float32)[:, None], height / 1440, False)[:, 0]
            labels.append({"category": line.category, "points": [[round(float(x), 1), round(float(y), 1)] for x, y in slim]})
    return labels
