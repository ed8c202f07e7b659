"""Who and what takes part in traffic: vehicles, people, cyclists, signs and lights, placed along a road."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from admlops.synthetic.camera import Camera, FloatArray
from admlops.synthetic.canvas import Canvas
from admlops.synthetic.palettes import Domain, Weather
from admlops.synthetic.people import Person, draw_cyclist, draw_person
from admlops.synthetic.road import Road
from admlops.synthetic.roadside import (
    BOARD_M,
    HOUSING_M,
    Sign,
    TrafficLight,
    draw_clutter,
    draw_lamp_post,
    draw_sign,
    draw_traffic_light,
)
from admlops.synthetic.vehicles import Vehicle, draw_vehicle, sample_kind, sample_size

SIGN_PX = (14.4, 0.34, 8.5, 38.0)
"""Sizes of signs at the network's input: median and spread (log-normal), least and largest. Far ones are hidden more often
than near ones, so what is visible has a slightly larger median."""
LIGHT_PX = (13.8, 0.34, 8.5, 38.0)
"""The same for traffic lights."""


@dataclass(frozen=True)
class Placed:
    """Something to paint.

    Attributes:
        depth_m: The order: far things first.
        draw: Paints it.
        shadow: (unused offset, half width, half length) of its shadow in metres, half length 0 = round; None = no shadow.
        foot_m: Where the shadow lies (3,).
        yaw_rad: How it is turned.
    """

    depth_m: float
    draw: Callable[[Canvas], None]
    shadow: tuple[float, float, float] | None
    foot_m: FloatArray | None = None
    yaw_rad: float = 0.0


def place_traffic(
    domain: Domain,
    road: Road,
    camera: Camera,
    scale: float,
    weather: Weather,
    rng: np.random.Generator,
) -> list[Placed]:
    """Draw everything that has a box, and the poles and clutter among it.

    Args:
        domain: Colours.
        road: Where it stands.
        camera: The view, for the sizes of small things.
        scale: Image pixels to pixels at the network's input.
        weather: Whether lamps are lit.
        rng: Source of chance.

    Returns:
        Things to paint, in no order.
    """
    placed = _place_vehicles(domain, road, weather, rng)
    placed += _place_people(domain, road, camera, rng)
    placed += _place_cyclists(domain, road, camera, rng)
    placed += _place_signs(domain, road, camera, scale, rng)
    placed += _place_lights(domain, road, camera, scale, rng)
    placed += _place_posts(domain, road, weather, rng)
    return placed


def _place_vehicles(domain: Domain, road: Road, weather: Weather, rng: np.random.Generator) -> list[Placed]:
    spots: list[tuple[float, float, float]] = []
    for lane in road.lanes:
        z = float(rng.uniform(8.5, 20)) if abs(lane.center_m) < 1 else float(rng.uniform(5, 18))
        chance = float(rng.uniform(0.5, 0.95))
        while z < 75:
            if rng.random() < chance:
                turn = road.heading(z) + (math.pi if lane.direction < 0 else 0.0) + float(rng.normal(0, 0.03))
                spots.append((z, lane.center_m + float(rng.normal(0, 0.25)), turn))
            z += float(rng.uniform(9, 18)) + z * 0.15
    for side, edge in ((-1, road.left_m), (1, road.right_m)):
        if rng.random() < 0.35:
            z = float(rng.uniform(6, 25))
            for _ in range(int(rng.integers(1, 4))):
                is_reversed = side < 0 and road.lanes[0].direction < 0
                spots.append((z, edge - side * 0.3, road.heading(z) + (math.pi if is_reversed else 0.0)))
                z += float(rng.uniform(6.5, 12))
    if road.crossing_m:
        for lane_part, turn in ((0.28, math.pi / 2), (0.72, -math.pi / 2)):
            if rng.random() < 0.7:
                z = road.crossing_m[0] + lane_part * (road.crossing_m[1] - road.crossing_m[0])
                spots.append((z, float(rng.uniform(-0.45, 0.45) * z), turn + float(rng.normal(0, 0.08))))
    placed = []
    taken: list[tuple[float, float]] = []
    for z, offset, turn in spots:
        if any(abs(z - other_z) < 6.5 and abs(offset - other_x) < 2.3 for other_z, other_x in taken):
            continue
        taken.append((z, offset))
        kind = sample_kind(rng)
        length, width, height = sample_size(kind, rng)
        if abs(math.cos(turn)) > 0.7 and z - length / 2 < 4.0 and abs(offset) < 2.5:
            continue
        vehicle = Vehicle(
            road.at(z, offset), turn, kind, length, width, height, domain.color("vehicle", rng), weather.is_dark,
            bool(rng.random() < 0.3), float(rng.uniform(*weather.sun)),
        )  # fmt: skip
        seed = int(rng.integers(1 << 31))

        def draw(canvas: Canvas, vehicle: Vehicle = vehicle, seed: int = seed) -> None:
            draw_vehicle(canvas, vehicle, np.random.default_rng(seed))

        placed.append(Placed(z, draw, (offset, width * 0.58, length * 0.55), vehicle.foot_m, turn))
    return placed


def _sample_person(domain: Domain, foot_m: FloatArray, rng: np.random.Generator, *, views: list[str]) -> Person:
    return Person(
        foot_m=foot_m,
        height_m=float(np.clip(rng.normal(1.7, 0.11), 1.25, 1.95)),
        view=views[int(rng.integers(len(views)))],
        mirrored=bool(rng.random() < 0.5),
        phase=float(rng.uniform(0, 2 * math.pi)),
        shirt=domain.color("cloth", rng),
        trousers=domain.color("cloth", rng),
        skin=domain.color("skin", rng),
        hair=domain.color("trunk", rng),
        extra=str(rng.choice(["none", "none", "bag", "skirt", "hat", "backpack"])),
    )


def _walking_offset(road: Road, rng: np.random.Generator) -> float:
    side = -1 if rng.random() < 0.5 else 1
    walk = road.sidewalk_left_m if side < 0 else road.sidewalk_right_m
    edge = road.left_m if side < 0 else road.right_m
    return edge + side * float(rng.uniform(0.15, max(walk - 0.2, 1.3)))


def _is_in_view(road: Road, camera: Camera, z: float, offset: float) -> bool:
    pixels, _ = camera.project(road.at(z, offset)[None])
    return bool(0.02 * camera.width_px < pixels[0, 0] < 0.98 * camera.width_px)


def _place_people(domain: Domain, road: Road, camera: Camera, rng: np.random.Generator) -> list[Placed]:
    placed = []
    groups = int(rng.integers(2, 6))
    for _ in range(groups):
        z = float(np.exp(rng.uniform(math.log(8), math.log(34))))
        offset, views = _walking_offset(road, rng), ["front", "rear", "side"]
        if rng.random() < 0.2:
            z, views = (road.crossing_m[0] - 3.0 if road.crossing_m else z), ["side"]
            offset = float(rng.uniform(road.left_m, road.right_m))
        if not _is_in_view(road, camera, z, offset):
            z = z * 1.6 + 4
        for k in range(1 + int(rng.random() < 0.3)):
            foot = road.at(z + 0.3 * k, offset + 0.75 * k)
            person = _sample_person(domain, foot, rng, views=views)

            def draw(canvas: Canvas, person: Person = person) -> None:
                draw_person(canvas, person)

            placed.append(Placed(z + 0.3 * k, draw, (offset, 0.33, 0.2), foot))
    return placed


def _place_cyclists(domain: Domain, road: Road, camera: Camera, rng: np.random.Generator) -> list[Placed]:
    placed = []
    for _ in range(int(rng.integers(1, 5))):
        z = float(np.exp(rng.uniform(math.log(9), math.log(34))))
        side = -1 if rng.random() < 0.4 else 1
        edge = road.left_m if side < 0 else road.right_m
        offset = edge - side * float(rng.uniform(-1.2, 1.0))
        views = ["rear", "rear", "side"] if side > 0 else ["front", "front", "rear", "side"]
        if rng.random() < 0.2:
            offset, views = float(rng.uniform(road.left_m, road.right_m)), ["side"]
        if not _is_in_view(road, camera, z, offset):
            z = z * 1.6 + 4
        rider = _sample_person(domain, road.at(z, offset), rng, views=views)
        frame = domain.color("vehicle", rng)

        def draw(canvas: Canvas, rider: Person = rider, frame: tuple[float, float, float] = frame) -> None:
            draw_cyclist(canvas, rider, frame)

        half = (0.75, 0.25) if rider.view == "side" else (0.3, 0.75)
        placed.append(Placed(z, draw, (offset, *half), rider.foot_m))
    return placed


def _depth_for(
    size_m: float,
    size_px: tuple[float, float, float, float],
    camera: Camera,
    scale: float,
    rng: np.random.Generator,
) -> float:
    """Distance at which something has a size drawn from ``SIGN_PX`` or ``LIGHT_PX``."""
    median, spread, least, largest = size_px
    wanted = float(np.clip(median * math.exp(rng.normal(0, spread)), least, largest))
    return size_m * camera.focal_px * scale / wanted


def _place_signs(domain: Domain, road: Road, camera: Camera, scale: float, rng: np.random.Generator) -> list[Placed]:
    placed = []
    for _ in range(int(rng.integers(3, 6))):
        z = _depth_for(BOARD_M, SIGN_PX, camera, scale, rng)
        side = 1 if rng.random() < 0.65 else -1
        edge = road.right_m if side > 0 else road.left_m
        sign = Sign(
            foot_m=road.at(z, edge + side * float(rng.uniform(0.3, 1.3))),
            shape=str(rng.choice(["round", "round", "triangle", "square", "wide", "octagon", "diamond"])),
            up_m=float(rng.uniform(1.9, 2.8)),
            face=domain.color("board_back", rng),
            rim=domain.color("rim", rng),
            ink=(25.0, 25.0, 25.0) if rng.random() < 0.6 else (235.0, 235.0, 235.0),
            pole=domain.color("pole", rng),
            squash=float(rng.uniform(0.75, 1.0)),
            second=str(rng.choice(["", "", "", "square", "round"])),
            glyph=int(rng.integers(5)),
        )

        def draw(canvas: Canvas, sign: Sign = sign) -> None:
            draw_sign(canvas, sign)

        placed.append(Placed(z, draw, None))
    return placed


def _place_lights(domain: Domain, road: Road, camera: Camera, scale: float, rng: np.random.Generator) -> list[Placed]:
    placed = []
    size = math.sqrt(HOUSING_M[0] * HOUSING_M[1])
    lit = int(rng.integers(3))
    for _ in range(int(rng.integers(2, 5))):
        z = _depth_for(size, LIGHT_PX, camera, scale, rng)
        side = 1 if rng.random() < 0.6 else -1
        edge = road.right_m if side > 0 else road.left_m
        has_arm = rng.random() < 0.4
        light = TrafficLight(
            foot_m=road.at(z, edge + side * float(rng.uniform(0.3, 0.9))),
            up_m=float(rng.uniform(4.6, 5.4)) if has_arm else float(rng.uniform(2.3, 3.2)),
            reaches_m=-side * float(rng.uniform(3.0, 6.5)) if has_arm else 0.0,
            heads=int(rng.integers(1, 3)) if has_arm else 1,
            lit=lit if rng.random() < 0.8 else int(rng.integers(3)),
            is_flat=bool(rng.random() < 0.15),
            housing=domain.color("housing", rng),
            pole=domain.color("pole", rng),
        )

        def draw(canvas: Canvas, light: TrafficLight = light) -> None:
            draw_traffic_light(canvas, light)

        placed.append(Placed(z, draw, None))
    return placed


def _place_posts(domain: Domain, road: Road, weather: Weather, rng: np.random.Generator) -> list[Placed]:
    """Street lamps at a regular distance, and clutter that must not be taken for anything."""
    placed = []
    color = domain.color("pole", rng)
    side = 1 if rng.random() < 0.5 else -1
    edge = road.right_m if side > 0 else road.left_m
    z, step, top, arm = (
        float(rng.uniform(7, 16)),
        float(rng.uniform(12, 22)),
        float(rng.uniform(5, 8)),
        float(rng.choice([0.0, 1.6])),
    )
    while z < 100:
        foot = road.at(z, edge + side * 0.6)

        def draw_post(canvas: Canvas, foot: FloatArray = foot) -> None:
            draw_lamp_post(canvas, foot, top, -side * arm, color, is_lit=weather.is_dark)

        if not road.is_crossing(z, 1.0):
            placed.append(Placed(z, draw_post, None))
        z += step
    for _ in range(int(rng.integers(1, 6))):
        kind = str(rng.choice(["cone", "bin", "bollard", "box", "billboard"]))
        z = float(rng.uniform(10, 45)) if kind == "billboard" else float(rng.uniform(7, 32))
        side = -1 if rng.random() < 0.5 else 1
        edge = road.left_m if side < 0 else road.right_m
        offset = edge + side * float(rng.uniform(3.5, 8) if kind == "billboard" else rng.uniform(0.2, 1.5))
        foot, paint = road.at(z, offset), domain.color("vehicle", rng)

        def draw(canvas: Canvas, foot: FloatArray = foot, kind: str = kind, paint: tuple[float, float, float] = paint) -> None:
            draw_clutter(canvas, foot, kind, paint)

        placed.append(Placed(z, draw, (offset, 0.3, 0.3), foot))
    return placed
