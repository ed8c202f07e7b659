"""What stands along a road: poles, sign boards, traffic lights, fences, trees and clutter."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from admlops.synthetic.camera import FloatArray
from admlops.synthetic.canvas import CLUTTER, Board, Canvas, Color
from admlops.synthetic.road import Road

BOARD_M = 0.85
"""Size of a sign board: square root of its area, about."""
HOUSING_M = (0.42, 1.05)
"""Width and height of a traffic light's housing."""

_LAMPS: tuple[tuple[Color, Color], ...] = (
    ((40.0, 40.0, 245.0), (30.0, 25.0, 90.0)),
    ((40.0, 190.0, 250.0), (25.0, 70.0, 95.0)),
    ((150.0, 235.0, 70.0), (50.0, 80.0, 25.0)),
)


@dataclass(frozen=True)
class Sign:
    """A traffic sign on a pole.

    Attributes:
        foot_m: World point under the pole (3,).
        shape: "round", "triangle", "square", "wide", "octagon" or "diamond".
        up_m: Height of the lower edge of the lowest board.
        face: BGR.
        rim: BGR.
        ink: BGR.
        pole: BGR.
        squash: Cosine of the angle at which it is seen.
        second: Shape of a second board above, or "".
        glyph: Number of the pictogram.
    """

    foot_m: FloatArray
    shape: str
    up_m: float
    face: Color
    rim: Color
    ink: Color
    pole: Color
    squash: float
    second: str
    glyph: int


def draw_sign(canvas: Canvas, sign: Sign) -> None:
    """Paint a pole with one or two boards and note the boards."""
    board = Board.at(canvas, sign.foot_m, squash=sign.squash)
    if board is None:
        return
    top = sign.up_m + BOARD_M * (2.05 if sign.second else 0.9)
    with canvas.painting("pole"):
        pole = Board(canvas, board.foot_px, board.scale, board.depth_m)
        _draw_shaft(pole, 0.0, top, 0.15, sign.pole)
    for k, shape in enumerate([sign.shape, sign.second] if sign.second else [sign.shape]):
        with canvas.instance("traffic_sign", "sign"):
            _draw_board(board, shape, sign.up_m + BOARD_M * (0.5 + 1.1 * k), sign, sign.glyph + k)


def _draw_shaft(board: Board, x: float, top: float, width: float, color: Color) -> None:
    # Thin things vanish from a label at the network's input: nothing is thinner than four pixels of 540 rows.
    least = 4.2 * board.canvas.camera.height_px / 540 / board.scale
    width = min(max(width, least), 0.4)
    board.rectangle(x - width / 2, 0.0, x + width / 2, top, color, shade=0.9)
    board.rectangle(x - width / 2, 0.0, x - width / 8, top, color, shade=1.15, detail=True)


def _draw_board(board: Board, shape: str, y: float, sign: Sign, glyph: int) -> None:
    radius = BOARD_M / 2
    if shape == "wide":
        outline = [(-1.35, -0.75), (1.35, -0.75), (1.35, 0.75), (-1.35, 0.75)]
    elif shape == "square":
        outline = [(-0.92, -0.92), (0.92, -0.92), (0.92, 0.92), (-0.92, 0.92)]
    elif shape == "triangle":
        outline = [(-1.1, -0.85), (1.1, -0.85), (0, 1.05)]
    else:
        corners = {"round": 20, "octagon": 8, "diamond": 4}[shape]
        size = 1.2 if shape == "diamond" else 1.05
        turn = math.pi / 8 if shape == "octagon" else 0.0
        angles = [2 * math.pi * k / corners + turn for k in range(corners)]
        outline = [(size * math.cos(a), size * math.sin(a)) for a in angles]

    def scaled(factor: float) -> list[tuple[float, float]]:
        return [(px * radius * factor, y + py * radius * factor) for px, py in outline]

    is_filled = shape in {"octagon", "wide", "square"}
    board.polygon(scaled(1.0), sign.ink if is_filled else sign.rim)
    board.polygon(scaled(0.9 if is_filled else 0.76), sign.rim if shape == "octagon" else sign.face, detail=True)
    _draw_glyph(board, y if shape != "triangle" else y - 0.15 * radius, radius * 0.5, sign.ink, glyph)


def _draw_glyph(board: Board, y: float, size: float, ink: Color, glyph: int) -> None:
    def bar(x0: float, y0: float, x1: float, y1: float) -> None:
        board.rectangle(x0 * size, y + y0 * size, x1 * size, y + y1 * size, ink, detail=True)

    if glyph % 5 == 0:
        bar(-0.9, -0.25, 0.9, 0.25)
    elif glyph % 5 == 1:
        bar(-0.75, -0.8, -0.35, 0.8)
        bar(0.15, -0.8, 0.8, 0.8)
    elif glyph % 5 == 2:
        bar(-0.2, -0.8, 0.2, 0.4)
        board.polygon([(-0.6 * size, y + 0.2 * size), (0.6 * size, y + 0.2 * size), (0, y + 0.95 * size)], ink, detail=True)
    elif glyph % 5 == 3:
        bar(-0.2, -0.2, 0.2, 0.9)
        bar(-0.2, -0.8, 0.2, -0.45)
    else:
        bar(-1.1, 0.25, 0.8, 0.5)
        bar(-1.1, -0.45, 1.1, -0.2)


@dataclass(frozen=True)
class TrafficLight:
    """A traffic light on a pole or on an arm over the road.

    Attributes:
        foot_m: World point under the pole (3,).
        up_m: Height of the lower edge of the housing.
        reaches_m: Where the arm ends, metres to the right of the pole; 0 = housing on the pole.
        heads: Number of housings on the arm.
        lit: Which of the three lamps is lit, from the top.
        is_flat: Whether the lamps stand side by side.
        housing: BGR.
        pole: BGR.
    """

    foot_m: FloatArray
    up_m: float
    reaches_m: float
    heads: int
    lit: int
    is_flat: bool
    housing: Color
    pole: Color


def draw_traffic_light(canvas: Canvas, light: TrafficLight) -> None:
    """Paint a pole, its arm and its housings, and note the housings."""
    board = Board.at(canvas, light.foot_m)
    if board is None:
        return
    width, height = (HOUSING_M[1], HOUSING_M[0]) if light.is_flat else HOUSING_M
    top = light.up_m + (height if light.reaches_m == 0 else height * 0.7)
    with canvas.painting("pole"):
        _draw_shaft(board, 0.0, top, 0.2, light.pole)
        if light.reaches_m:
            end = light.reaches_m
            board.rectangle(min(0, end), top - 0.22, max(0, end), top, light.pole, shade=0.95)
    side = math.copysign(1.0, light.reaches_m)
    for k in range(light.heads):
        x = light.reaches_m - side * (k * max(2.6, width * 1.5) + width / 2) if light.reaches_m else 0.0
        with canvas.instance("traffic_light", "sign"):
            _draw_housing(board, x, light.up_m, width, height, light)


def _draw_housing(board: Board, x: float, y: float, width: float, height: float, light: TrafficLight) -> None:
    board.rectangle(x - width / 2, y, x + width / 2, y + height, light.housing)
    inset = 0.03
    board.rectangle(
        x - width / 2 + inset, y + inset, x + width / 2 - inset, y + height - inset, (22.0, 22.0, 22.0), detail=True
    )
    for k, (bright, dull) in enumerate(_LAMPS):
        part = (k + 0.5) / 3
        lamp_x, lamp_y = (x - width / 2 + width * part, y + height / 2) if light.is_flat else (x, y + height * (1 - part))
        is_lit = k == light.lit
        board.disk(lamp_x, lamp_y, 0.15, bright if is_lit else dull, detail=True, shines=is_lit, corners=12)
        if is_lit:
            board.canvas.shine(board.px([(lamp_x, lamp_y)])[0], 0.16 * board.scale, bright)


def draw_lamp_post(canvas: Canvas, foot_m: FloatArray, top_m: float, arm_m: float, color: Color, *, is_lit: bool) -> None:
    """Paint a street lamp; ``arm_m`` to the right, 0 = a plain mast."""
    board = Board.at(canvas, foot_m)
    if board is None:
        return
    with canvas.painting("pole"):
        _draw_shaft(board, 0.0, top_m, 0.22, color)
        board.rectangle(-0.2, 0.0, 0.2, 0.5, color, shade=0.8)
        if arm_m:
            board.limb((0.0, top_m - 0.1), (arm_m, top_m + 0.25), 0.16, color)
            glass: Color = (190.0, 235.0, 255.0) if is_lit else (170.0, 170.0, 165.0)
            end = arm_m * 1.25
            lamp = [(arm_m * 0.75, top_m + 0.12), (end, top_m + 0.2), (end, top_m + 0.38), (arm_m * 0.75, top_m + 0.32)]
            board.polygon(lamp, glass, shines=is_lit)
            if is_lit:
                canvas.shine(board.px([(arm_m, top_m + 0.2)])[0], 0.4 * board.scale, glass)


def draw_fence(canvas: Canvas, road: Road, offset_m: float, span_m: tuple[float, float], kind: str, color: Color) -> None:
    """Paint a piece of a fence along the road.

    Args:
        canvas: Painted on.
        road: That it follows.
        offset_m: Lateral position.
        span_m: Where it begins and ends along the road.
        kind: "rail", "planks", "bars" or "lattice".
        color: BGR.
    """
    near, far = span_m
    height = {"rail": 0.85, "planks": 1.5, "bars": 1.25, "lattice": 1.3}[kind]

    def wall(z0: float, z1: float, y0: float, y1: float, shade: float, *, detail: bool = False) -> None:
        corners = [road.at(z0, offset_m, y0), road.at(z1, offset_m, y0), road.at(z1, offset_m, y1), road.at(z0, offset_m, y1)]
        canvas.fill(corners, color, shade=shade, detail=detail)

    length = far - near
    with canvas.painting("fence"):
        if kind == "rail":
            wall(near, near + 0.2, 0.0, height * 0.9, 0.6)
            wall(near, far, 0.3, height, 0.8)
            wall(near, far, 0.58, 0.75, 1.15, detail=True)
            wall(near, far, 0.38, 0.46, 0.55, detail=True)
            return
        wall(near, far, 0.0, height, 0.55 if kind != "planks" else 0.9)
        count = 6 if kind == "planks" else 8
        for k in range(count):
            z0 = near + length * k / count
            if kind == "planks":
                wall(z0, z0 + length * 0.02, 0.0, height, 0.5, detail=True)
            elif kind == "bars":
                wall(z0, z0 + length * 0.055, 0.0, height, 1.1, detail=True)
            else:
                z1, thick = z0 + length / count, 0.12
                for y0, y1 in ((0.1, height), (height, 0.1)):
                    slat = [road.at(z0, offset_m, y0 - thick), road.at(z0, offset_m, y0), road.at(z1, offset_m, y1)]
                    slat.append(road.at(z1, offset_m, y1 - thick))
                    canvas.fill(slat, color, shade=1.1, detail=True)
        wall(near, far, height - 0.14, height, 1.15, detail=True)
        wall(near, far, 0.1, 0.22, 1.0, detail=True)


def draw_tree(
    canvas: Canvas,
    foot_m: FloatArray,
    height_m: float,
    crown: Color,
    trunk: Color,
    rng: np.random.Generator,
    *,
    is_bush: bool = False,
) -> None:
    """Paint a tree or a bush: a trunk and a crown of overlapping blobs, lit from above."""
    board = Board.at(canvas, foot_m)
    if board is None:
        return
    with canvas.painting("vegetation"):
        if is_bush:
            center, spread, rise = height_m * 0.45, height_m * 0.8, height_m * 0.4
        else:
            center, spread, rise = height_m * 0.68, height_m * rng.uniform(0.2, 0.34), height_m * 0.28
            board.limb((0, 0), (rng.normal(0, 0.1), center), 0.05 * height_m, trunk)
        for k in range(22):
            angle, reach = rng.uniform(0, 2 * math.pi), math.sqrt(rng.uniform(0, 1))
            x, y = spread * reach * math.cos(angle), center + rise * reach * math.sin(angle) * (1 if k > 5 else 0.6)
            radius = rng.uniform(0.28, 0.5) * min(spread, rise * 1.3) * (1.2 if k < 6 else 0.8)
            shade = 0.62 + 0.45 * (y - center + rise) / (2 * rise) + rng.normal(0, 0.07)
            _draw_blob(board, x, max(y, radius * 0.8) if is_bush else y, radius, crown, float(np.clip(shade, 0.35, 1.3)), rng)


def _draw_blob(board: Board, x: float, y: float, radius: float, color: Color, shade: float, rng: np.random.Generator) -> None:
    count = 13
    angles = (np.arange(count) + rng.uniform(-0.3, 0.3, count)) * (2 * math.pi / count)
    reach = radius * rng.uniform(0.75, 1.15, count)
    board.polygon(np.stack([x + reach * np.cos(angles), y + reach * np.sin(angles)], axis=1), color, shade=shade)


def draw_clutter(canvas: Canvas, foot_m: FloatArray, kind: str, color: Color) -> None:
    """Paint something that no task knows: "cone", "bin", "box" or "billboard". A "bollard" counts as a pole."""
    board = Board.at(canvas, foot_m)
    if board is None:
        return
    with canvas.painting("pole" if kind == "bollard" else CLUTTER):
        if kind == "cone":
            board.polygon([(-0.22, 0), (0.22, 0), (0.05, 0.75), (-0.05, 0.75)], (30.0, 90.0, 235.0))
            board.polygon([(-0.16, 0.28), (0.16, 0.28), (0.11, 0.48), (-0.11, 0.48)], (230.0, 230.0, 230.0), detail=True)
        elif kind == "bin":
            board.rectangle(-0.3, 0, 0.3, 0.95, color)
            board.rectangle(-0.34, 0.9, 0.34, 1.05, color, shade=0.7)
            board.rectangle(-0.2, 0.45, 0.2, 0.6, color, shade=1.3, detail=True)
        elif kind == "bollard":
            board.rectangle(-0.11, 0, 0.11, 0.95, color)
            board.rectangle(-0.11, 0.7, 0.11, 0.85, (225.0, 225.0, 225.0), detail=True)
        elif kind == "box":
            board.rectangle(-0.55, 0, 0.55, 0.7, color)
            board.rectangle(-0.55, 0.6, 0.55, 0.7, color, shade=1.2, detail=True)
        else:
            board.rectangle(-0.12, 0, 0.12, 3.2, (90.0, 90.0, 90.0))
            board.rectangle(-1.9, 2.6, 1.9, 4.8, (60.0, 60.0, 60.0))
            board.rectangle(-1.8, 2.7, 1.8, 4.7, color, detail=True)
            board.disk(-0.7, 3.8, 0.6, (color[2], color[0], color[1]), detail=True)
            board.rectangle(0.2, 3.1, 1.5, 3.3, (40.0, 40.0, 40.0), detail=True)
            board.rectangle(0.2, 3.6, 1.2, 3.8, (40.0, 40.0, 40.0), detail=True)
