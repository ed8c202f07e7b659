"""Houses along a road, with patterned walls and windows, and the backdrop at the horizon."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from admlops.synthetic.camera import FloatArray
from admlops.synthetic.canvas import BACKDROP, Canvas, Color
from admlops.synthetic.road import EDGE_OF_WORLD_M, Road

Wall = Callable[[float, float], FloatArray]
"""A point of a wall, by metres along it and metres up."""


@dataclass(frozen=True)
class House:
    """A house with one wall along the road.

    Attributes:
        offset_m: Lateral position of that wall.
        side: -1 left of the road, 1 right of it.
        span_m: Where it begins and ends along the road.
        deep_m: How far it reaches away from the road.
        height_m: Of the eaves.
        gable_m: Of the roof above them, 0 = flat.
        wall: BGR.
        roof: BGR.
        glass: BGR.
        pattern: "plain", "bands", "panels", "glass", "bricks" or "stripes".
        storey_m: Height of a storey.
        window_m: Width of a window and of the gap between two.
        lit_part: Part of the windows that are lit.
        shades: Light on the wall along the road and on the wall that faces the camera.
    """

    offset_m: float
    side: int
    span_m: tuple[float, float]
    deep_m: float
    height_m: float
    gable_m: float
    wall: Color
    roof: Color
    glass: Color
    pattern: str
    storey_m: float
    window_m: tuple[float, float]
    lit_part: float
    shades: tuple[float, float]


def draw_house(canvas: Canvas, road: Road, house: House, rng: np.random.Generator) -> None:
    """Paint a house: the wall that faces the camera, then the wall along the road.

    Args:
        canvas: Painted on.
        road: That the house stands at.
        house: What is painted.
        rng: Source of chance for its windows.
    """
    near, far = house.span_m
    corner = road.at(near, house.offset_m)
    along = road.at(far, house.offset_m) - corner
    along = along / np.linalg.norm(along)
    across = np.array([house.side * along[2], 0.0, -house.side * along[0]])
    up = np.array([0.0, 1.0, 0.0])

    def road_wall(a: float, b: float) -> FloatArray:
        return np.asarray(corner + a * along + b * up)

    def end_wall(a: float, b: float) -> FloatArray:
        return np.asarray(corner + a * across + b * up)

    top = house.height_m
    with canvas.painting("building"):
        if house.gable_m:
            ridge = [
                end_wall(house.deep_m / 2, top + house.gable_m),
                end_wall(house.deep_m / 2, top + house.gable_m) + along * (far - near),
            ]
            canvas.fill(
                [end_wall(-0.4, top - 0.2), ridge[0], ridge[1], end_wall(-0.4, top - 0.2) + along * (far - near)], house.roof
            )
        _draw_wall(canvas, house, end_wall, house.deep_m, house.shades[1], rng)
        if house.gable_m:
            gable = [end_wall(0, top), end_wall(house.deep_m, top), end_wall(house.deep_m / 2, top + house.gable_m)]
            canvas.fill(gable, house.wall, shade=house.shades[1])
        _draw_wall(canvas, house, road_wall, far - near, house.shades[0], rng)


def _draw_wall(canvas: Canvas, house: House, wall: Wall, length: float, shade: float, rng: np.random.Generator) -> None:
    def panel(a0: float, b0: float, a1: float, b1: float, color: Color, factor: float = 1.0, *, detail: bool = True) -> None:
        canvas.fill([wall(a0, b0), wall(a1, b0), wall(a1, b1), wall(a0, b1)], color, shade=shade * factor, detail=detail)

    top = house.height_m
    panel(0, -1.0, length, top, house.wall, detail=False)
    _draw_pattern(house, panel, length, rng)
    panel(0, 0, length, 0.5, house.wall, 0.7)
    if not house.gable_m:
        panel(0, top - 0.4, length, top, house.wall, 0.8)
    wide, gap = house.window_m
    columns = max(int((length - gap) / (wide + gap)), 1)
    margin = (length - columns * (wide + gap) + gap) / 2
    storeys = max(int(top / house.storey_m), 1)
    for row in range(storeys):
        low, high = row * house.storey_m + 0.32 * house.storey_m, row * house.storey_m + 0.8 * house.storey_m
        if house.pattern == "glass" and row:
            panel(0.2, low, length - 0.2, high, house.glass, 0.9)
            continue
        for column in range(columns):
            a0 = margin + column * (wide + gap)
            if row == 0 and column == columns // 2:
                panel(a0, 0.0, a0 + min(wide, 1.2), 2.2, house.roof, 0.8)
                continue
            is_lit = rng.random() < house.lit_part
            glass: Color = (120.0, 215.0, 250.0) if is_lit else house.glass
            glow = rng.uniform(1.6, 2.6) if is_lit and house.lit_part > 0.2 else rng.uniform(0.75, 1.15)
            panel(a0 - 0.1, low - 0.1, a0 + wide + 0.1, high + 0.1, house.wall, 1.2)
            panel(a0, low, a0 + wide, high, glass, glow)
            panel(a0 + wide / 2 - 0.05, low, a0 + wide / 2 + 0.05, high, house.wall, 1.1)


def _draw_pattern(house: House, panel: Callable[..., None], length: float, rng: np.random.Generator) -> None:
    top = house.height_m
    if house.pattern == "bands":
        for row in range(1, int(top / house.storey_m) + 1):
            panel(0, row * house.storey_m - 0.25, length, row * house.storey_m, house.wall, 1.2)
    elif house.pattern == "panels":
        for k in range(1, int(length / 2.4)):
            panel(k * 2.4 - 0.05, 0, k * 2.4 + 0.05, top, house.wall, 0.8)
        for k in range(1, int(top / 1.6)):
            panel(0, k * 1.6 - 0.04, length, k * 1.6 + 0.04, house.wall, 0.82)
    elif house.pattern == "stripes":
        for k in range(int(length / 1.3)):
            panel(k * 1.3, 0, k * 1.3 + 0.55, top, house.wall, 0.84)
    elif house.pattern == "bricks":
        for k in range(1, int(top / 0.45)):
            panel(0, k * 0.45, length, k * 0.45 + 0.07, house.wall, 1.18)
        for _ in range(int(length * 2)):
            a, b = rng.uniform(0, length - 0.9), int(rng.uniform(0, top / 0.45)) * 0.45
            panel(a, b + 0.07, a + 0.9, b + 0.45, house.wall, rng.uniform(0.75, 1.1))


def draw_backdrop(canvas: Canvas, road: Road, kind: str, color: Color, rng: np.random.Generator) -> None:
    """Paint what closes the view at the end of the world.

    Args:
        canvas: Painted on, before the ground.
        road: Its last height is the ground level there.
        kind: "trees", "town" or "hills".
        color: BGR.
        rng: Source of chance.
    """
    base = float(road.at(EDGE_OF_WORLD_M, 0)[1])
    distance, reach = EDGE_OF_WORLD_M * 0.98, 600.0
    with canvas.painting("building" if kind == "town" else "vegetation" if kind == "trees" else "terrain", BACKDROP):
        if kind == "town":
            x = -reach
            while x < reach:
                wide, high = rng.uniform(14, 45), rng.uniform(8, 48)
                canvas.fill(
                    [
                        (x, base - 40, distance),
                        (x + wide, base - 40, distance),
                        (x + wide, base + high, distance),
                        (x, base + high, distance),
                    ],
                    color,
                    shade=rng.uniform(0.7, 1.05),
                )
                x += wide * rng.uniform(0.7, 1.1)
            return
        columns = np.linspace(-reach, reach, 160)
        waves = sum(
            rng.uniform(0.3, 1) / k * np.sin(columns / 600 * np.pi * k * rng.uniform(0.8, 1.4) + rng.uniform(0, 6))
            for k in range(1, 7)
        )
        rough = rng.uniform(-1, 1, len(columns)) * (2.5 if kind == "trees" else 0.3)
        tall = (12 + 4 * waves + rough) if kind == "trees" else 34 + 16 * waves
        skyline = [(x, base + max(h, 1.0), distance) for x, h in zip(columns, tall, strict=True)]
        canvas.fill([(-reach, base - 40, distance), *skyline, (reach, base - 40, distance)], color, shade=0.85)
