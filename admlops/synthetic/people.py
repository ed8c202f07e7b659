"""People on foot and on bicycles, drawn as cut-outs that face the camera."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from admlops.synthetic.camera import FloatArray
from admlops.synthetic.canvas import Board, Canvas, Color

_TYRE: Color = (25.0, 25.0, 25.0)


@dataclass(frozen=True)
class Person:
    """Somebody on foot or on a bicycle.

    Attributes:
        foot_m: World point under the feet (3,).
        height_m: Standing height.
        view: "front", "rear" or "side".
        mirrored: Whether a side view looks to the left.
        phase: Of the walk or the pedals, radians.
        shirt: BGR.
        trousers: BGR.
        skin: BGR.
        hair: BGR.
        extra: "none", "bag", "skirt", "hat" or "backpack".
    """

    foot_m: FloatArray
    height_m: float
    view: str
    mirrored: bool
    phase: float
    shirt: Color
    trousers: Color
    skin: Color
    hair: Color
    extra: str


def draw_person(canvas: Canvas, person: Person) -> None:
    """Paint somebody on foot and note them."""
    board = Board.at(canvas, person.foot_m, squash=-1.0 if person.mirrored else 1.0)
    if board is None:
        return
    with canvas.instance("person", "person"):
        _draw_walker(board, person)


def _draw_walker(board: Board, person: Person) -> None:
    tall = person.height_m
    swing = math.sin(person.phase)
    hip, shoulder = 0.5 * tall, 0.8 * tall
    if person.view == "side":
        left_foot, right_foot = 0.2 * swing, -0.2 * swing
        half, arm = 0.1 * tall, 0.17 * swing
    else:
        left_foot, right_foot = -0.09 - 0.03 * swing, 0.09 - 0.03 * swing
        half, arm = 0.125 * tall, 0.05
    lift = max(0.0, math.cos(person.phase)) * 0.08
    for foot, up, shade in ((left_foot, 0.0, 0.85), (right_foot, lift, 1.0)):
        knee = (foot * 0.55 + 0.03 * (person.view == "side"), 0.27 * tall)
        start = 0.0 if person.view == "side" else math.copysign(0.06, foot)
        board.limb((start, hip), knee, 0.095 * tall, person.trousers, shade=shade)
        board.limb(knee, (foot, 0.05 + up), 0.075 * tall, person.trousers, shade=shade)
        board.limb((foot - 0.04, 0.045 + up), (foot + 0.1 * (person.view == "side"), 0.045 + up), 0.08, _TYRE)
    if person.view == "side":
        board.limb((0, shoulder * 0.96), (-arm, hip * 0.98), 0.06 * tall, person.shirt, shade=0.75)
    body = [(-half * 0.85, hip * 0.94), (half * 0.85, hip * 0.94), (half, shoulder * 0.93), (half * 0.6, shoulder * 1.03)]
    body += [(-half * 0.6, shoulder * 1.03), (-half, shoulder * 0.93)]
    board.polygon(body, person.shirt)
    if person.extra == "skirt":
        board.polygon([(-half, hip), (half, hip), (half * 1.5, hip * 0.6), (-half * 1.5, hip * 0.6)], person.trousers)
    if person.view == "side":
        board.limb((0, shoulder * 0.96), (arm, hip * 0.98), 0.06 * tall, person.shirt, shade=0.88)
        board.disk(arm, hip * 0.94, 0.045, person.skin)
    else:
        for side in (-1, 1):
            hand = (side * (half + arm), hip * (0.97 + 0.05 * swing * side))
            board.limb((side * half * 0.9, shoulder * 0.95), hand, 0.058 * tall, person.shirt, shade=0.85)
            board.disk(hand[0], hand[1] - 0.03, 0.045, person.skin)
    if person.extra == "bag":
        board.rectangle(half + 0.02, hip * 0.7, half + 0.2, hip * 0.95, person.trousers, shade=0.7)
    if person.extra == "backpack":
        if person.view == "side":
            board.rectangle(-half * 2.1, hip * 1.1, -half * 0.8, shoulder * 0.97, person.trousers, shade=0.8)
        elif person.view == "rear":
            board.rectangle(-half * 0.75, hip * 1.1, half * 0.75, shoulder * 0.97, person.trousers, shade=0.8, detail=True)
    _draw_head(board, person, 0.0, 0.91 * tall, 0.068 * tall)


def _draw_head(board: Board, person: Person, x: float, y: float, radius: float) -> None:
    board.limb((x, y - radius * 1.6), (x, y - radius * 0.6), radius * 0.9, person.skin, shade=0.8)
    board.disk(x, y, radius * 1.1, person.skin, stretch=0.82)
    if person.view == "rear":
        board.disk(x, y + radius * 0.1, radius * 1.12, person.hair, stretch=0.85)
    else:
        back = -radius * 0.25 if person.view == "side" else 0.0
        cap = [(x + back + radius * math.cos(a), y + radius * (0.15 + 1.05 * math.sin(a))) for a in np.linspace(0, math.pi, 9)]
        board.polygon(cap, person.hair)
    if person.extra == "hat":
        board.limb((x - radius * 1.2, y + radius * 0.5), (x + radius * 1.5, y + radius * 0.5), radius * 0.4, person.shirt)


def draw_cyclist(canvas: Canvas, person: Person, frame: Color) -> None:
    """Paint somebody on a bicycle and note them with the bicycle.

    Args:
        canvas: Painted on.
        person: The rider.
        frame: BGR of the bicycle.
    """
    board = Board.at(canvas, person.foot_m, squash=-1.0 if person.mirrored else 1.0)
    if board is None:
        return
    with canvas.instance("cyclist", "cyclist"):
        if person.view == "side":
            _draw_cyclist_side(board, person, frame)
        else:
            _draw_cyclist_end(board, person, frame)


def _draw_cyclist_side(board: Board, person: Person, frame: Color) -> None:
    wheel, base, k = 0.35, 0.54, person.height_m / 1.75
    saddle, crank, bar = (-0.2, 0.95), (-0.05, 0.32), (0.42, 1.05)
    for x in (-base, base):
        board.disk(x, wheel, wheel, None)
        _ring(board, x, wheel, wheel)
    far_foot = (crank[0] - 0.16 * math.cos(person.phase), crank[1] - 0.16 * math.sin(person.phase))
    near_foot = (crank[0] + 0.16 * math.cos(person.phase), crank[1] + 0.16 * math.sin(person.phase))
    hip, shoulder = (-0.2, 1.0 * k), (0.12, 1.46 * k)
    _leg(board, hip, far_foot, person, 0.7)
    for a, b in (((-base, wheel), crank), ((-base, wheel), saddle), (saddle, crank), (crank, (0.36, 0.85)),
                 (saddle, (0.36, 0.85)),
                 (bar, (base, wheel))):  # fmt: skip
        board.limb(a, b, 0.05, frame)
    board.limb((-0.3, 0.97), (-0.1, 0.97), 0.07, _TYRE)
    _leg(board, hip, near_foot, person, 1.0)
    across, lift = 0.13, 0.09
    body = [(hip[0] - across, hip[1]), (hip[0] + across, hip[1] - lift), (shoulder[0] + across * 0.9, shoulder[1] - lift)]
    body += [(shoulder[0], shoulder[1] + 0.05), (shoulder[0] - across, shoulder[1])]
    board.polygon(body, person.shirt)
    elbow = ((shoulder[0] + bar[0]) / 2 + 0.02, (shoulder[1] + bar[1]) / 2 - 0.08)
    board.limb((shoulder[0] + 0.02, shoulder[1] - 0.05), elbow, 0.1, person.shirt, shade=0.85)
    board.limb(elbow, bar, 0.075, person.skin)
    _draw_head(board, person, shoulder[0] + 0.1, shoulder[1] + 0.2 * k, 0.115 * k)
    _helmet(board, shoulder[0] + 0.1, shoulder[1] + 0.22 * k, person)


def _leg(board: Board, hip: tuple[float, float], foot: tuple[float, float], person: Person, shade: float) -> None:
    knee = ((hip[0] + foot[0]) / 2 + 0.2, (hip[1] + foot[1]) / 2 + 0.08)
    board.limb(hip, knee, 0.15, person.trousers, shade=shade)
    board.limb(knee, foot, 0.11, person.trousers, shade=shade)
    board.limb((foot[0] - 0.05, foot[1]), (foot[0] + 0.14, foot[1]), 0.07, _TYRE)


def _ring(board: Board, x: float, y: float, radius: float) -> None:
    """Paint a tyre as short bars, so that the background shows through the wheel."""
    angles = np.linspace(0, 2 * math.pi, 17)
    for a, b in zip(angles[:-1], angles[1:], strict=True):
        start, end = (
            (x + radius * 0.95 * math.cos(a), y + radius * 0.95 * math.sin(a)),
            (
                x + radius * 0.95 * math.cos(b),
                y + radius * 0.95 * math.sin(b),
            ),
        )
        board.limb(start, end, 0.055, _TYRE)
    for a in angles[:-1:4]:
        board.limb(
            (x, y), (x + radius * 0.9 * math.cos(a + 0.3), y + radius * 0.9 * math.sin(a + 0.3)), 0.018, (140.0, 140.0, 140.0)
        )


def _helmet(board: Board, x: float, y: float, person: Person) -> None:
    if person.extra in {"hat", "bag", "none"}:
        radius = 0.135
        dome = [(x + radius * math.cos(a), y + radius * 0.9 * math.sin(a)) for a in np.linspace(0, math.pi, 9)]
        board.polygon(dome, person.shirt, shade=1.15)


def _draw_cyclist_end(board: Board, person: Person, frame: Color) -> None:
    k = person.height_m / 1.75
    swing = 0.16 * math.sin(person.phase)
    board.disk(0.0, 0.35, 0.36, _TYRE, stretch=0.13)
    board.limb((0, 0.6), (0, 0.95), 0.05, frame)
    for side, lift in ((-1, swing), (1, -swing)):
        foot, knee = (side * 0.13, 0.3 + lift), (side * 0.17, 0.68 + lift * 0.5)
        board.limb((side * 0.1, 1.0), knee, 0.15, person.trousers, shade=0.9)
        board.limb(knee, foot, 0.11, person.trousers)
        board.limb((foot[0] - 0.05, foot[1]), (foot[0] + 0.05, foot[1]), 0.08, _TYRE)
    top = 1.48 * k
    is_front = person.view == "front"
    board.limb((-0.3, 1.04), (0.3, 1.04), 0.05, frame if is_front else _TYRE)
    board.polygon(
        [(-0.17, 0.95), (0.17, 0.95), (0.23, top - 0.08), (0.14, top), (-0.14, top), (-0.23, top - 0.08)], person.shirt
    )
    for side in (-1, 1):
        board.limb((side * 0.2, top - 0.08), (side * 0.33, top - 0.3), 0.1, person.shirt, shade=0.85)
        board.limb((side * 0.33, top - 0.3), (side * 0.28, 1.05), 0.08, person.skin, shade=0.95)
    _draw_head(board, person, 0.0, top + 0.16 * k, 0.115 * k)
    _helmet(board, 0.0, top + 0.18 * k, person)
    if is_front:
        board.disk(0.0, 0.98, 0.07, (230.0, 240.0, 245.0), detail=True)
        board.limb((0, 0.35), (0, 1.02), 0.05, frame)
    else:
        board.disk(0.0, 0.8, 0.05, (40.0, 30.0, 220.0))
