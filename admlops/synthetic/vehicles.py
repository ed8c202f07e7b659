"""Cars, vans, trucks and buses: a side profile swept across the width, with wheels, glass and lamps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from admlops.synthetic.camera import FloatArray
from admlops.synthetic.canvas import Canvas, Color

Point = tuple[float, float, float]
_REAR = frozenset({"rear_body", "trunk", "rear_window", "rear_door"})
_FRONT = frozenset({"front_body", "bonnet", "windscreen"})
_GLASS = frozenset({"rear_window", "windscreen"})

# A part of the silhouette as (part of the length from -0.5 at the rear, part of the height, part of the width).
_PROFILES: dict[str, tuple[tuple[Point, ...], tuple[str, ...]]] = {
    "sedan": (
        ((-0.5, 0.2, 1), (-0.5, 0.62, 0.97), (-0.37, 0.66, 0.95), (-0.23, 0.98, 0.78), (0.08, 1, 0.78), (0.25, 0.65, 0.95),
         (0.47, 0.55, 0.95), (0.5, 0.2, 1)),
        ("rear_body", "trunk", "rear_window", "roof", "windscreen", "bonnet", "front_body"),
    ),
    "hatch": (
        ((-0.5, 0.2, 1), (-0.5, 0.6, 0.97), (-0.42, 0.97, 0.8), (0.04, 1, 0.8), (0.23, 0.63, 0.95), (0.47, 0.54, 0.95),
         (0.5, 0.2, 1)),
        ("rear_body", "rear_window", "roof", "windscreen", "bonnet", "front_body"),
    ),
    "van": (
        ((-0.5, 0.15, 1), (-0.5, 0.55, 1), (-0.48, 0.98, 0.92), (0.28, 1, 0.92), (0.42, 0.6, 0.97), (0.5, 0.48, 0.97),
         (0.5, 0.15, 1)),
        ("rear_body", "rear_window", "roof", "windscreen", "bonnet", "front_body"),
    ),
    "truck": (
        ((-0.5, 0.14, 1), (-0.5, 1, 1), (0.2, 1, 1), (0.22, 0.88, 0.95), (0.45, 0.84, 0.95), (0.49, 0.46, 0.97),
         (0.5, 0.14, 0.97)),
        ("rear_door", "roof", "step", "roof", "windscreen", "front_body"),
    ),
    "bus": (
        ((-0.5, 0.12, 1), (-0.5, 0.5, 1), (-0.49, 1, 0.97), (0.48, 1, 0.97), (0.5, 0.42, 1), (0.5, 0.12, 1)),
        ("rear_body", "rear_window", "roof", "windscreen", "front_body"),
    ),
}  # fmt: skip

# Length, width, height in metres, and how often it is met.
_SIZES = {
    "sedan": ((4.3, 4.8), (1.75, 1.9), (1.4, 1.5), 0.36),
    "hatch": ((3.7, 4.5), (1.7, 1.9), (1.5, 1.75), 0.34),
    "van": ((4.8, 5.8), (1.9, 2.1), (2.0, 2.5), 0.13),
    "truck": ((6.5, 8.5), (2.3, 2.5), (2.9, 3.5), 0.1),
    "bus": ((9.0, 12.0), (2.45, 2.55), (2.9, 3.3), 0.07),
}


@dataclass(frozen=True)
class Vehicle:
    """A vehicle on the ground.

    Attributes:
        foot_m: World point under its middle (3,).
        yaw_rad: Direction of travel against the Z axis, positive to the right.
        kind: Key of the profile.
        length_m: Along the direction of travel.
        width_m: Across.
        height_m: Up.
        color: BGR.
        lamps_lit: Whether it is dark.
        brakes: Whether the brake lamps are lit.
        sun: Contrast of its faces.
    """

    foot_m: FloatArray
    yaw_rad: float
    kind: str
    length_m: float
    width_m: float
    height_m: float
    color: Color
    lamps_lit: bool
    brakes: bool
    sun: float

    def world(self, local: Sequence[Sequence[float]]) -> FloatArray:
        """Points (along, right, up) in metres to world points (N, 3)."""
        flat = np.asarray(local, dtype=np.float64)
        cos_y, sin_y = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        along, right, up = flat[:, 0], flat[:, 1], flat[:, 2]
        turned = np.stack([along * sin_y + right * cos_y, up, along * cos_y - right * sin_y], axis=1)
        return np.asarray(self.foot_m + turned)


def sample_kind(rng: np.random.Generator) -> str:
    """Draw a kind of vehicle."""
    kinds = list(_SIZES)
    return kinds[int(rng.choice(len(kinds), p=[_SIZES[kind][3] for kind in kinds]))]


def sample_size(kind: str, rng: np.random.Generator) -> tuple[float, float, float]:
    """Draw length, width and height of a kind, metres."""
    length, width, height, _ = _SIZES[kind]
    return float(rng.uniform(*length)), float(rng.uniform(*width)), float(rng.uniform(*height))


def draw_vehicle(canvas: Canvas, vehicle: Vehicle, rng: np.random.Generator) -> None:
    """Paint a vehicle and note it, and its rear or head where that is what is mostly seen.

    Args:
        canvas: Painted on.
        vehicle: What is painted.
        rng: Source of chance for its details.
    """
    to_camera = canvas.camera.position_m - vehicle.foot_m
    cos_y, sin_y = math.cos(vehicle.yaw_rad), math.sin(vehicle.yaw_rad)
    seen_along = to_camera[0] * sin_y + to_camera[2] * cos_y
    seen_right = to_camera[0] * cos_y - to_camera[2] * sin_y
    facing = seen_along / max(math.hypot(seen_along, seen_right), 1e-6)
    with canvas.instance("vehicle", "vehicle"):
        _draw_under_body(canvas, vehicle, facing)
        if abs(seen_right) > vehicle.width_m * 0.42:
            _draw_side(canvas, vehicle, 1.0 if seen_right > 0 else -1.0, rng)
        profile, roles = _PROFILES[vehicle.kind]
        strips = [(roles[i], profile[i], profile[i + 1]) for i in range(len(roles))]
        strips = strips if facing > 0 else strips[::-1]
        # From behind, the nearest strip is the first: paint it last.
        face = _FRONT if facing > 0 else _REAR
        for role, start, end in strips:
            if role not in face:
                _draw_strip(canvas, vehicle, role, start, end)
        category = "vehicle_head" if facing > 0 else "vehicle_rear"
        if abs(facing) < 0.3:
            for role, start, end in strips:
                if role in face:
                    _draw_strip(canvas, vehicle, role, start, end)
            return
        with canvas.instance(category, "vehicle", is_part=True) as part:
            part.is_hard = abs(facing) < 0.5
            for role, start, end in strips:
                if role in face:
                    _draw_strip(canvas, vehicle, role, start, end)
            if facing > 0:
                _draw_head(canvas, vehicle, rng)
            else:
                _draw_rear(canvas, vehicle, rng)


def _strip(vehicle: Vehicle, start: Point, end: Point) -> FloatArray:
    length, half, height = vehicle.length_m, vehicle.width_m / 2, vehicle.height_m
    return vehicle.world(
        [
            (start[0] * length, -start[2] * half, start[1] * height),
            (start[0] * length, start[2] * half, start[1] * height),
            (end[0] * length, end[2] * half, end[1] * height),
            (end[0] * length, -end[2] * half, end[1] * height),
        ]
    )


def _on_strip(corners: FloatArray, u0: float, v0: float, u1: float, v1: float) -> FloatArray:
    """Part of a quadrilateral, u across and v up in 0..1."""
    points = []
    for u, v in ((u0, v0), (u1, v0), (u1, v1), (u0, v1)):
        low = corners[0] + u * (corners[1] - corners[0])
        high = corners[3] + u * (corners[2] - corners[3])
        points.append(low + v * (high - low))
    return np.array(points)


def _draw_strip(canvas: Canvas, vehicle: Vehicle, role: str, start: Point, end: Point) -> None:
    corners = _strip(vehicle, start, end)
    normal = np.cross(corners[1] - corners[0], corners[3] - corners[0])
    middle = corners.mean(axis=0)
    # Whether the outside is seen: up for what lies flat, away from the middle for the rest.
    outward = middle - (vehicle.foot_m + np.array([0.0, vehicle.height_m * 0.45, 0.0]))
    normal = normal if normal @ outward > 0 else -normal
    if normal @ (canvas.camera.position_m - middle) <= 0:
        return
    up = float(normal[1] / max(np.linalg.norm(normal), 1e-9))
    shade = 0.82 + vehicle.sun * 0.5 * up
    canvas.fill(corners, vehicle.color, shade=shade)
    if role in _GLASS:
        inset = 0.06 if vehicle.kind in {"bus", "van"} else 0.08
        glass: Color = (70.0, 62.0, 55.0)
        low = 0.05 if vehicle.kind == "bus" else 0.08
        canvas.fill(_on_strip(corners, inset, low, 1 - inset, 0.92), glass, shade=shade, detail=True)
        canvas.fill(_on_strip(corners, inset, 0.55, 1 - inset * 4, 0.9), (120.0, 112.0, 105.0), shade=shade, detail=True)


def _draw_under_body(canvas: Canvas, vehicle: Vehicle, facing: float) -> None:
    """Paint tyres and the dark underneath, as seen from the end that faces the camera."""
    dark: Color = (18.0, 18.0, 18.0)
    half, length = vehicle.width_m / 2, vehicle.length_m
    end = 0.49 * length * (1 if facing > 0 else -1)
    low, high = 0.16, 0.3 * vehicle.height_m
    canvas.fill(vehicle.world([(end, -half, low), (end, half, low), (end, half, high), (end, -half, high)]), dark, shade=0.8)
    axle = 0.31 * length * (1 if facing > 0 else -1)
    tyre = 0.24 if vehicle.height_m < 2 else 0.34
    for side in (-1, 1):
        outer, inner = side * half * 0.97, side * (half * 0.97 - tyre)
        corners = [(axle, outer, 0.0), (axle, inner, 0.0), (axle, inner, 0.5), (axle, outer, 0.5)]
        canvas.fill(vehicle.world(corners), dark)


def _draw_side(canvas: Canvas, vehicle: Vehicle, side: float, rng: np.random.Generator) -> None:
    profile, _ = _PROFILES[vehicle.kind]
    length, half, height = vehicle.length_m, vehicle.width_m / 2, vehicle.height_m
    shade = 0.7 + vehicle.sun * (0.4 if side > 0 else 0.05)
    outline = [(p[0] * length, side * p[2] * half, p[1] * height) for p in profile]
    canvas.fill(vehicle.world(outline), vehicle.color, shade=shade)

    def panel(points: Sequence[tuple[float, float]], color: Color, factor: float = 1.0) -> None:
        widest = [
            (a * length, side * half * (0.99 if b < 0.62 else 0.9 if height < 1.9 else 0.97), b * height) for a, b in points
        ]
        canvas.fill(vehicle.world(widest), color, shade=shade * factor, detail=True)

    glass: Color = (60.0, 54.0, 48.0)
    if vehicle.kind == "sedan":
        panel([(-0.3, 0.68), (-0.2, 0.93), (-0.06, 0.94), (-0.06, 0.67)], glass)
        panel([(-0.04, 0.67), (-0.04, 0.94), (0.07, 0.94), (0.2, 0.67)], glass)
    elif vehicle.kind == "hatch":
        panel([(-0.43, 0.66), (-0.38, 0.92), (-0.12, 0.94), (-0.12, 0.65)], glass)
        panel([(-0.1, 0.65), (-0.1, 0.94), (0.03, 0.94), (0.18, 0.65)], glass)
    elif vehicle.kind == "van":
        panel([(0.08, 0.58), (0.08, 0.9), (0.27, 0.9), (0.36, 0.6)], glass)
        if rng.random() < 0.5:
            panel([(-0.45, 0.6), (-0.45, 0.88), (0.05, 0.9), (0.05, 0.6)], glass)
    elif vehicle.kind == "truck":
        panel([(0.27, 0.5), (0.27, 0.78), (0.42, 0.78), (0.46, 0.5)], glass)
        panel([(-0.5, 0.2), (0.2, 0.2), (0.2, 0.27), (-0.5, 0.27)], (50.0, 50.0, 50.0))
        for k in range(1, 5):
            a = -0.5 + 0.7 * k / 5
            panel([(a, 0.28), (a + 0.008, 0.28), (a + 0.008, 0.98), (a, 0.98)], vehicle.color, 0.82)
    else:
        for k in range(6):
            a = -0.46 + 0.155 * k
            panel([(a, 0.5), (a, 0.85), (a + 0.13, 0.85), (a + 0.13, 0.5)], glass)
        panel([(-0.49, 0.38), (0.49, 0.38), (0.49, 0.44), (-0.49, 0.44)], vehicle.color, 0.65)
    if vehicle.kind in {"sedan", "hatch", "van"}:
        panel([(-0.09, 0.25), (-0.08, 0.25), (-0.08, 0.62), (-0.09, 0.62)], vehicle.color, 0.7)
        panel([(-0.48, 0.2), (0.48, 0.2), (0.48, 0.27), (-0.48, 0.27)], vehicle.color, 0.55)
    _draw_wheels(canvas, vehicle, side, shade)


def _draw_wheels(canvas: Canvas, vehicle: Vehicle, side: float, shade: float) -> None:
    radius = 0.33 if vehicle.height_m < 1.9 else 0.38 if vehicle.kind == "van" else 0.5
    angles = np.arange(16) * (2 * math.pi / 16)
    axles = (-0.31, 0.31) if vehicle.kind != "truck" else (-0.36, -0.2, 0.34)
    for axle in axles:
        for size, color, detail in (
            (1.0, (20.0, 20.0, 20.0), False),
            (0.62, (150.0, 150.0, 150.0), True),
            (0.25, (60.0, 60.0, 60.0), True),
        ):
            right = side * vehicle.width_m / 2
            rim = [
                (axle * vehicle.length_m + size * radius * math.cos(a), right, radius + size * radius * math.sin(a))
                for a in angles
            ]
            canvas.fill(vehicle.world(rim), color, shade=shade, detail=detail)


def _patch(
    canvas: Canvas,
    vehicle: Vehicle,
    end: float,
    box: tuple[float, float, float, float],
    color: Color,
    *,
    shines: bool = False,
) -> None:
    """Paint a rectangle on the rear (end -0.5) or front (0.5): box = across0, up0, across1, up1 as parts of the size."""
    half, height = vehicle.width_m / 2, vehicle.height_m
    along = end * vehicle.length_m
    corners = vehicle.world(
        [(along, x * half, y * height) for x, y in ((box[0], box[1]), (box[2], box[1]), (box[2], box[3]), (box[0], box[3]))]
    )
    pixels = canvas.camera.project_polygon(corners)
    if pixels is not None:
        depth = float(corners[:, 2].mean())
        canvas.fill_px(pixels, canvas.shaded(color, depth, 0.9, shines=shines), detail=True)
        if shines:
            canvas.shine(pixels.mean(axis=0), 0.22 * canvas.camera.pixels_per_metre(depth), color)


def _draw_rear(canvas: Canvas, vehicle: Vehicle, rng: np.random.Generator) -> None:
    lit = vehicle.lamps_lit or vehicle.brakes
    lamp: Color = (40.0, 30.0, 235.0) if lit else (35.0, 25.0, 150.0)
    dark: Color = (40.0, 38.0, 36.0)
    plate: Color = (215.0, 225.0, 225.0)
    tall = vehicle.kind in {"truck", "bus", "van"}
    low, high = (0.2, 0.3) if vehicle.kind in {"truck", "bus"} else (0.3, 0.5) if tall else (0.42, 0.57)
    inner = 0.97 - float(rng.uniform(0.18, 0.34)) * (0.6 if tall else 1)
    _patch(canvas, vehicle, -0.5, (-0.98, 0.2 if not tall else 0.13, 0.98, 0.3 if not tall else 0.19), dark)
    if vehicle.kind == "truck":
        _patch(canvas, vehicle, -0.5, (-0.015, 0.32, 0.015, 0.97), dark)
        for x in (-0.94, 0.9):
            _patch(canvas, vehicle, -0.5, (x, 0.32, x + 0.04, 0.97), dark)
    for side in (-1, 1):
        _patch(canvas, vehicle, -0.5, (side * inner, low, side * 0.97, high), lamp, shines=lit)
    middle = 0.36 if not tall else 0.25
    _patch(canvas, vehicle, -0.5, (-0.24, middle, 0.24, middle + (0.1 if not tall else 0.05)), plate)


def _draw_head(canvas: Canvas, vehicle: Vehicle, rng: np.random.Generator) -> None:
    lit = vehicle.lamps_lit
    lamp: Color = (225.0, 245.0, 250.0) if lit else (205.0, 210.0, 215.0)
    dark: Color = (35.0, 33.0, 32.0)
    big = vehicle.kind in {"truck", "bus"}
    low, high = (0.18, 0.26) if big else (0.4, 0.51)
    inner = 0.96 - float(rng.uniform(0.24, 0.4)) * (0.7 if big else 1)
    _patch(canvas, vehicle, 0.5, (-0.98, 0.2 if not big else 0.13, 0.98, 0.27 if not big else 0.17), dark)
    _patch(canvas, vehicle, 0.5, (-inner * 0.85, low, inner * 0.85, high * 0.98), dark)
    for k in range(2):
        y = low + (high - low) * (0.3 + 0.35 * k)
        _patch(canvas, vehicle, 0.5, (-inner * 0.8, y, inner * 0.8, y + 0.012), (150.0, 150.0, 150.0))
    for side in (-1, 1):
        _patch(canvas, vehicle, 0.5, (side * inner, low, side * 0.96, high), lamp, shines=lit)
    _patch(canvas, vehicle, 0.5, (-0.2, 0.27 if not big else 0.14, 0.2, 0.36 if not big else 0.18), (215.0, 225.0, 225.0))
