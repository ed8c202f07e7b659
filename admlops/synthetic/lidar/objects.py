"""Builders of what stands in a street: each returns the parts of one object, standing at its own origin."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from admlops.point_class import PointClass
from admlops.synthetic.lidar.solids import SceneObject, Solid

Rng = np.random.Generator
Parts = list[Solid]


def _box(along: float, across: float, bottom: float, size: tuple[float, float, float], reflectivity: float) -> Solid:
    return Solid((along, across, bottom + size[2] / 2), size, reflectivity=reflectivity)


def car(rng: Rng) -> Parts:
    """A car: body, cabin and four wheels, so that low beams pass below it."""
    length, width, height = rng.uniform(3.6, 4.9), rng.uniform(1.65, 1.95), rng.uniform(1.35, 1.75)
    paint = rng.uniform(0.05, 0.9)
    waist = height * rng.uniform(0.55, 0.65)
    parts = [
        _box(0, 0, 0.2, (length, width, waist - 0.2), paint),
        _box(-0.05 * length, 0, waist, (length * rng.uniform(0.45, 0.6), width * 0.85, height - waist), 0.08),
    ]
    return parts + _wheels(length, width, 0.62)


def van(rng: Rng) -> Parts:
    """A van or a truck: one tall body on wheels."""
    length = rng.choice([rng.uniform(4.8, 6.2), rng.uniform(7.0, 11.0)])
    width, height = rng.uniform(1.95, 2.5), rng.uniform(2.0, 3.4)
    return [_box(0, 0, 0.35, (length, width, height - 0.35), rng.uniform(0.2, 0.9)), *_wheels(length, width, 0.75)]


def _wheels(length: float, width: float, diameter: float) -> Parts:
    return [
        _box(sign * length * 0.32, side * (width / 2 - 0.12), 0, (diameter, 0.22, diameter), 0.06)
        for sign in (-1, 1)
        for side in (-1, 1)
    ]


def person(rng: Rng) -> Parts:
    """Somebody on foot: legs, trunk, head."""
    height, cloth = rng.uniform(1.1, 1.95), rng.uniform(0.1, 0.7)
    stride = rng.uniform(0.0, 0.25)
    return [
        _box(stride, 0.1, 0, (0.18, 0.16, height * 0.48), cloth),
        _box(-stride, -0.1, 0, (0.18, 0.16, height * 0.48), cloth),
        _box(0, 0, height * 0.46, (0.28, 0.48, height * 0.38), cloth),
        _box(0, 0, height * 0.86, (0.2, 0.18, height * 0.14), 0.35),
    ]


def cyclist(rng: Rng) -> Parts:
    """Somebody on a bicycle, which rays pass between the spokes."""
    cloth = rng.uniform(0.1, 0.7)
    frame = Solid((0, 0, 0.45), (1.75, 0.12, 0.9), free_path_m=0.12, reflectivity=0.3)
    body = [_box(-0.1, 0, 0.75, (0.35, 0.45, 0.8), cloth), _box(0.05, 0, 1.5, (0.22, 0.2, 0.25), 0.35)]
    return [frame, *body, _box(0.05, 0, 0.3, (0.3, 0.3, 0.5), cloth)]


def pole(rng: Rng) -> Parts:
    """A lamp post, a traffic sign on its post or a bollard."""
    kind = rng.random()
    if kind < 0.25:
        return [_box(0, 0, 0, (0.12, 0.12, rng.uniform(0.7, 1.1)), 0.5)]
    height, width = rng.uniform(2.6, 7.0), rng.uniform(0.08, 0.3)
    post = _box(0, 0, 0, (width, width, height), 0.4)
    if kind < 0.6:
        side = rng.uniform(0.5, 0.9)
        return [post, _box(0, 0, min(height, 3.0) - side, (0.05, side, side), 0.95)]
    return [post, _box(rng.uniform(0.6, 1.5), 0, height - 0.2, (rng.uniform(1.2, 3.0), 0.2, 0.15), 0.4)]


def debris(rng: Rng) -> Parts:
    """Something of 20 to 60 cm that lies where it should not: a tyre, a box, a branch, a canister, rubble."""
    kind = rng.integers(5)
    if kind == 0:
        size = rng.uniform(0.46, 0.54)
        return [Solid((0, 0, 0.11), (size, size, 0.26), is_round=True, reflectivity=0.05)]
    if kind == 1:
        return [_box(0, 0, 0, (*rng.uniform(0.22, 0.4, 2), rng.uniform(0.25, 0.58)), rng.uniform(0.2, 0.6))]
    if kind == 2:
        length = rng.uniform(0.42, 0.54)
        return [
            _box(0, 0, 0, (length, 0.12, rng.uniform(0.2, 0.35)), 0.3),
            Solid((0.05, 0.05, 0.18), (length * 0.7, length * 0.7, 0.36), is_round=True, free_path_m=0.3, reflectivity=0.4),
        ]
    if kind == 3:
        width = rng.uniform(0.2, 0.35)
        return [_box(0, 0, 0, (width, width, rng.uniform(0.3, 0.58)), rng.uniform(0.1, 0.9))]
    return [
        _box(0, 0, 0, (rng.uniform(0.3, 0.46), rng.uniform(0.2, 0.32), rng.uniform(0.2, 0.3)), 0.3),
        _box(0.08, -0.04, 0.2, (0.2, 0.2, rng.uniform(0.05, 0.2)), 0.3),
    ]


def guard_rail(rng: Rng, length_m: float) -> Parts:
    """A crash barrier: a concrete one, or a rail on posts with a gap below."""
    if rng.random() < 0.4:
        return [_box(0, 0, 0, (length_m, 0.35, 0.45), 0.35), _box(0, 0, 0.45, (length_m, 0.18, 0.4), 0.35)]
    posts = [_box(along, 0, 0, (0.1, 0.1, 0.75), 0.5) for along in np.arange(-length_m / 2 + 0.5, length_m / 2, 3.0)]
    return [_box(0, 0, 0.45, (length_m, 0.08, 0.31), 0.7), *posts]


def wall(rng: Rng, length_m: float) -> Parts:
    """A facade, a garden wall or a fence that lets some rays pass."""
    kind = rng.random()
    if kind < 0.6:
        depth = rng.uniform(4, 9)
        return [Solid((0, depth / 2, 3.0), (length_m, depth, 10.0), reflectivity=rng.uniform(0.2, 0.7))]
    if kind < 0.8:
        return [_box(0, 0, -0.3, (length_m, 0.25, rng.uniform(0.9, 2.3)), rng.uniform(0.2, 0.6))]
    return [Solid((0, 0, 0.7), (length_m, 0.06, 1.6), free_path_m=0.1, reflectivity=0.4)]


def gantry(rng: Rng, width_m: float) -> Parts:
    """A sign bridge over the road."""
    clearance = rng.uniform(4.3, 6.0)
    beam = _box(0, 0, clearance, (0.5, width_m, rng.uniform(0.5, 1.5)), 0.6)
    return [beam, *(_box(0, side * width_m / 2, 0, (0.3, 0.3, clearance), 0.4) for side in (-1, 1))]


def bush(rng: Rng) -> Parts:
    """A bush of one to three blobs."""
    size, height = rng.uniform(0.8, 2.5), rng.uniform(0.5, 2.0)
    places = rng.uniform(-0.5, 0.5, (int(rng.integers(1, 4)), 2)) * size
    return [
        Solid((x, y, height * 0.42), (size, size, height), is_round=True, free_path_m=rng.uniform(0.2, 0.6), reflectivity=0.4)
        for x, y in places
    ]


def hedge(rng: Rng, length_m: float) -> Parts:
    """A hedge."""
    width, height = rng.uniform(0.5, 1.2), rng.uniform(0.7, 2.0)
    return [Solid((0, 0, height / 2), (length_m, width, height), free_path_m=rng.uniform(0.08, 0.3), reflectivity=0.4)]


def thicket(rng: Rng, length_m: float) -> Parts:
    """The edge of a wood."""
    depth, height, free_path_m = rng.uniform(2.5, 6), rng.uniform(2.5, 6), rng.uniform(0.3, 1.2)
    return [Solid((0, 0, height / 2 - 0.2), (length_m, depth, height), free_path_m=free_path_m, reflectivity=0.4)]


def tree(rng: Rng) -> Parts:
    """A tree whose crown overhangs what is below."""
    under, size, height = rng.uniform(1.6, 3.6), rng.uniform(2.5, 6.5), rng.uniform(2.5, 6)
    width = rng.uniform(0.18, 0.5)
    crown = Solid((0, 0, under + height / 2), (size, size, height), is_round=True, free_path_m=rng.uniform(0.6, 2.0))
    return [_box(0, 0, -0.2, (width, width, under + 0.7), 0.35), crown]


KINDS: dict[str, tuple[PointClass, Callable[..., Parts]]] = {
    "car": (PointClass.MOVABLE, car),
    "van": (PointClass.MOVABLE, van),
    "person": (PointClass.MOVABLE, person),
    "cyclist": (PointClass.MOVABLE, cyclist),
    "pole": (PointClass.STATIC, pole),
    "debris": (PointClass.STATIC, debris),
    "guard_rail": (PointClass.STATIC, guard_rail),
    "gantry": (PointClass.STATIC, gantry),
    "wall": (PointClass.STATIC, wall),
    "bush": (PointClass.VEGETATION, bush),
    "hedge": (PointClass.VEGETATION, hedge),
    "thicket": (PointClass.VEGETATION, thicket),
    "tree": (PointClass.VEGETATION, tree),
}
"""Kind of object to its class and builder."""

COUNTED = ("car", "van", "person", "cyclist", "pole", "debris", "guard_rail", "gantry")
"""Kinds of which each object has an instance id."""


def place(kind: str, parts: Parts, instance: int, foot_m: tuple[float, float, float], yaw_rad: float) -> SceneObject:
    """Put an object somewhere.

    Args:
        kind: One of ``KINDS``.
        parts: Standing at the origin, facing along x.
        instance: Its id.
        foot_m: Where its origin goes.
        yaw_rad: Where it faces.

    Returns:
        The object, with the box around all its parts.
    """
    cos, sin = math.cos(yaw_rad), math.sin(yaw_rad)
    corners = np.array([np.add(part.centre_m, sign * np.array(part.size_m) / 2) for part in parts for sign in (-1, 1)])
    low, high = corners.min(axis=0), corners.max(axis=0)

    def move(point: tuple[float, float, float]) -> tuple[float, float, float]:
        x, y, z = (float(value) for value in point)
        return foot_m[0] + x * cos - y * sin, foot_m[1] + x * sin + y * cos, foot_m[2] + z

    moved = tuple(replace(part, centre_m=move(part.centre_m), yaw_rad=yaw_rad) for part in parts)
    length, width, height = (float(size) for size in high - low)
    return SceneObject(kind, KINDS[kind][0], instance, moved, move(tuple((low + high) / 2)), (length, width, height), yaw_rad)
