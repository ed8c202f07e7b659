"""A random road scene: what stands where, painted from far to near, and the labels that follow from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np

from admlops.synthetic import atmosphere, traffic
from admlops.synthetic.buildings import House, draw_backdrop, draw_house
from admlops.synthetic.camera import Camera, FloatArray
from admlops.synthetic.canvas import Canvas, Color, Image, Instance
from admlops.synthetic.palettes import Domain, Weather, sample_air
from admlops.synthetic.road import Lane, Road, draw_ground, lane_polylines, sample_lines
from admlops.synthetic.roadside import draw_fence, draw_tree
from admlops.synthetic.traffic import Placed

NETWORK_HW = (540, 1140)
"""The network's input: scenes are composed so that things have useful sizes there."""


@dataclass(frozen=True)
class ObjectBox:
    """A detection label: category, x1, y1, x2, y2 in pixels, and whether it is to be ignored."""

    category: str
    box: tuple[float, float, float, float]
    is_ignored: bool


@dataclass(frozen=True)
class RenderedScene:
    """A photo and everything that is known about it.

    Attributes:
        picture: (H, W, 3) BGR.
        classes: (H, W) index of seg_default, 255 = ignore.
        boxes: Of every detection class.
        polylines: Lane lines as a record holds them.
        weather: Name of the weather.
        canvas: Behind it, for tests.
    """

    picture: Image
    classes: Image
    boxes: list[ObjectBox]
    polylines: list[dict[str, object]]
    weather: str
    canvas: Canvas = field(repr=False)


def network_scale(height_px: int, width_px: int) -> float:
    """Factor of ``min_max_pairs`` resizing to the network's input."""
    return min(NETWORK_HW[0] / height_px, NETWORK_HW[1] / width_px)


def render_scene(domain: Domain, height_px: int, width_px: int, rng: np.random.Generator) -> RenderedScene:
    """Compose and paint one scene.

    Args:
        domain: What it is made from.
        height_px: Of the picture.
        width_px: Of the picture.
        rng: All chance comes from it.

    Returns:
        Photo and labels.
    """
    camera = _sample_camera(height_px, width_px, rng)
    weather = domain.weathers[int(rng.integers(len(domain.weathers)))]
    air, sky_top, sky_bottom = sample_air(weather, rng)
    canvas = Canvas(camera, air)
    road = _sample_road(rng)
    sun: Color | None = tuple(min(c * 1.25 + 20, 255.0) for c in sky_bottom) if weather.sun[0] > 0.2 else None  # type: ignore[assignment]
    atmosphere.draw_sky(canvas, sky_top, sky_bottom, float(rng.uniform(0.1, 0.9)), sun, rng)
    colors = {name: domain.color(name, rng) for name in ("terrain", "sidewalk", "asphalt")}
    colors["kerb"] = tuple(min(c * 1.25, 255.0) for c in colors["sidewalk"])  # type: ignore[assignment]
    kind = str(rng.choice(["trees", "town", "hills"]))
    material = {"trees": "vegetation", "town": "wall", "hills": "terrain"}[kind]
    draw_backdrop(canvas, road, kind, domain.color(material, rng), rng)
    draw_ground(canvas, road, colors, rng)

    placed = _place_surroundings(domain, road, weather, rng)
    placed += traffic.place_traffic(domain, road, camera, network_scale(height_px, width_px), weather, rng)
    shadows = _shadows(canvas, placed, weather, rng)
    atmosphere.texture_ground(canvas, shadows, 0.3 + float(rng.uniform(*weather.sun)) * 0.6, rng)
    for thing in sorted(placed, key=lambda item: -item.depth_m):
        thing.draw(canvas)
    atmosphere.texture_upright(canvas, rng)
    picture = atmosphere.develop(canvas, _sample_lens(weather, sky_bottom, rng), rng)
    boxes = _label_boxes(canvas)
    return RenderedScene(picture, canvas.classes, boxes, lane_polylines(canvas, road), weather.name, canvas)


def _sample_camera(height_px: int, width_px: int, rng: np.random.Generator) -> Camera:
    view = math.radians(rng.uniform(52, 72))
    focal = min(width_px / 2 / math.tan(view / 2), height_px * 1.75)
    pitch, roll = math.radians(rng.normal(2.0, 1.6)), math.radians(rng.normal(0, 1.0))
    return Camera(width_px, height_px, focal, float(rng.uniform(1.25, 1.9)), float(np.clip(pitch, -0.04, 0.1)), roll)


def _sample_road(rng: np.random.Generator) -> Road:
    wide = float(rng.uniform(3.1, 3.8))
    toward, away = [(0, 1), (1, 1), (1, 1), (1, 2), (2, 2), (0, 2), (0, 3), (2, 1)][int(rng.integers(8))]
    own = int(rng.integers(away))
    first = -(toward + own) * wide
    lanes = tuple(Lane(first + k * wide, -1 if k < toward else 1) for k in range(toward + away))
    shoulders = rng.uniform(0.3, 2.6, 2)
    left, right = lanes[0].center_m - wide / 2 - shoulders[0], lanes[-1].center_m + wide / 2 + shoulders[1]
    walks = [float(rng.uniform(1.8, 4.0)) if rng.random() < 0.85 else 0.0 for _ in range(2)]
    start = float(rng.uniform(16, 45))
    crossing = (start, start + float(rng.uniform(7, 10))) if rng.random() < 0.4 else None
    return Road(
        bend=float(rng.normal(0, 0.03)),
        curvature=float(rng.normal(0, 0.0022)),
        grade=float(rng.normal(0, 0.012)),
        hill_m=float(rng.normal(0, 0.6)),
        hill_length_m=float(rng.uniform(140, 320)),
        left_m=float(left),
        right_m=float(right),
        sidewalk_left_m=walks[0],
        sidewalk_right_m=walks[1],
        lanes=lanes,
        lines=sample_lines(lanes, wide, rng),
        crossing_m=crossing,
    )


def _place_surroundings(domain: Domain, road: Road, weather: Weather, rng: np.random.Generator) -> list[Placed]:
    placed: list[Placed] = []
    for side in (-1, 1):
        walk = road.sidewalk_left_m if side < 0 else road.sidewalk_right_m
        edge = (road.left_m if side < 0 else road.right_m) + side * walk
        has_fence = rng.random() < 0.62
        fence_gap = float(rng.uniform(0.3, 0.8))
        strip = float(rng.uniform(0.8, 5.0))
        if has_fence:
            placed += _place_fence(domain, road, edge + side * fence_gap, rng)
        is_town = rng.random() < 0.68
        if is_town:
            placed += _place_houses(domain, road, weather, edge + side * (strip + 0.9), side, rng)
        placed += _place_trees(domain, road, edge, side, strip if is_town else 14.0, rng)
    return placed


def _place_fence(domain: Domain, road: Road, offset: float, rng: np.random.Generator) -> list[Placed]:
    kind = domain.fences[int(rng.integers(len(domain.fences)))]
    color = domain.color("fence", rng)
    placed = []
    z, end = float(rng.uniform(2, 8)), float(rng.uniform(35, 100))
    step = float(rng.uniform(2.6, 4.2))
    while z < end:
        if not road.is_crossing(z, step):
            span = (z, z + step)

            def draw(canvas: Canvas, span: tuple[float, float] = span) -> None:
                draw_fence(canvas, road, offset, span, kind, color)

            placed.append(Placed(z + step / 2, draw, None))
        z += step
    return placed


def _place_houses(
    domain: Domain, road: Road, weather: Weather, offset: float, side: int, rng: np.random.Generator
) -> list[Placed]:
    placed = []
    z = float(rng.uniform(-2, 14))
    shades = (float(rng.uniform(0.75, 1.05)), float(rng.uniform(0.65, 1.0)))
    while z < 130:
        length = float(rng.uniform(8, 22))
        if road.crossing_m and z < road.crossing_m[1] + 2 and z + length > road.crossing_m[0] - 2:
            z = road.crossing_m[1] + 2.1
            continue
        storey = float(rng.uniform(2.8, 3.5))
        has_gable = rng.random() < 0.4
        house = House(
            offset_m=offset + side * float(rng.uniform(0, 2)),
            side=side,
            span_m=(max(z, 1.2), z + length),
            deep_m=float(rng.uniform(7, 14)),
            height_m=storey * int(rng.integers(1, 3) if has_gable else rng.integers(2, 6)) + 0.6,
            gable_m=float(rng.uniform(1.5, 3.2)) if has_gable else 0.0,
            wall=domain.color("wall", rng),
            roof=domain.color("trunk", rng) if rng.random() < 0.5 else domain.color("wall", rng),
            glass=tuple(float(c) for c in rng.uniform(45, 125, 3)),  # type: ignore[arg-type]
            pattern=domain.facades[int(rng.integers(len(domain.facades)))],
            storey_m=storey,
            window_m=(float(rng.uniform(0.9, 1.8)), float(rng.uniform(0.7, 1.8))),
            lit_part=float(rng.uniform(0.25, 0.6)) if weather.is_dark else 0.06,
            shades=shades,
        )
        seed = int(rng.integers(1 << 31))

        def draw(canvas: Canvas, house: House = house, seed: int = seed) -> None:
            draw_house(canvas, road, house, np.random.default_rng(seed))

        # What stands before a house's near corner is nearer, so the middle of the wall decides.
        placed.append(Placed(z + length, draw, None))
        z += length + float(rng.choice([0.0, rng.uniform(1, 9)]))
    return placed


def _place_trees(domain: Domain, road: Road, edge: float, side: int, strip: float, rng: np.random.Generator) -> list[Placed]:
    placed = []
    density = float(rng.uniform(5, 20))
    crown, trunk = domain.color("vegetation", rng), domain.color("trunk", rng)
    z = float(rng.uniform(4, 14))
    while z < 150:
        offset = edge + side * float(rng.uniform(0.7, max(strip, 1.0)))
        is_bush = rng.random() < 0.4
        height = float(rng.uniform(0.9, 1.8)) if is_bush else float(rng.uniform(4, 9))
        foot, seed = road.at(z, offset), int(rng.integers(1 << 31))

        def draw(
            canvas: Canvas, foot: FloatArray = foot, height: float = height, seed: int = seed, is_bush: bool = is_bush
        ) -> None:
            draw_tree(canvas, foot, height, crown, trunk, np.random.default_rng(seed), is_bush=is_bush)

        if not road.is_crossing(z, 2.0):
            placed.append(Placed(z, draw, (offset, height * 0.3, 0.0)))
        z += density * float(rng.uniform(0.4, 1.6)) * (1 + z / 60)
    return placed


def _shadows(canvas: Canvas, placed: list[Placed], weather: Weather, rng: np.random.Generator) -> Image:
    layer = np.zeros(canvas.classes.shape, np.uint8)
    lean = rng.uniform(-1.5, 1.5) if weather.sun[1] > 0.2 else 0.0
    angles = np.linspace(0, 2 * math.pi, 14, endpoint=False)
    for thing in placed:
        if thing.shadow is None or thing.depth_m > 90 or thing.foot_m is None:
            continue
        half_width, half_length, turn = (
            thing.shadow[1],
            thing.shadow[1] if thing.shadow[2] == 0 else thing.shadow[2],
            thing.yaw_rad,
        )
        right, ahead = half_width * np.cos(angles) + lean * 0.3, half_length * np.sin(angles)
        x = right * math.cos(turn) + ahead * math.sin(turn)
        z = ahead * math.cos(turn) - right * math.sin(turn)
        outline = thing.foot_m + np.stack([x, np.zeros_like(x), z], axis=1)
        pixels = canvas.camera.project_polygon(outline)
        if pixels is not None:
            cv2.fillPoly(layer, [np.round(pixels * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    blurred: Image = cv2.blur(layer, (max(canvas.camera.height_px // 120, 1),) * 2)
    return blurred


def _sample_lens(weather: Weather, sky: Color, rng: np.random.Generator) -> atmosphere.Lens:
    cast = 1 + rng.normal(0, 0.035, 3)
    return atmosphere.Lens(
        effect=weather.effect,
        glare=tuple(min(c * 1.1, 255.0) for c in sky),  # type: ignore[arg-type]
        glow=1.0 if weather.is_dark else 0.25,
        head_light=weather.name == "night",
        blur_px=float(rng.choice([0.0, rng.uniform(0.4, 0.9), rng.uniform(0.8, 1.4)], p=[0.5, 0.35, 0.15])),
        noise=float(rng.choice([rng.uniform(0.02, 0.12), rng.uniform(0.12, 0.4)], p=[0.7, 0.3])),
        vignette=float(rng.uniform(0, 0.35)),
        gamma=float(np.exp(rng.normal(0, 0.12))),
        cast=(float(cast[0]), float(cast[1]), float(cast[2])),
    )


def _label_boxes(canvas: Canvas) -> list[ObjectBox]:
    """Box what is visible of every instance; what is nearly hidden or tiny is marked ignore, what is hidden is left out."""
    scale = network_scale(*canvas.classes.shape)
    labels = []
    for thing in canvas.instances:
        label = _label_box(canvas, thing, scale)
        if label is not None:
            labels.append(label)
    return labels


def _label_box(canvas: Canvas, thing: Instance, scale: float) -> ObjectBox | None:
    mask = canvas.visible(thing)
    seen = int(mask.sum())
    if seen == 0:
        return None
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    x0, y0 = thing.roi[:2]
    box = (float(x0 + columns[0]), float(y0 + rows[0]), float(x0 + columns[-1] + 1), float(y0 + rows[-1] + 1))
    width, height = (box[2] - box[0]) * scale, (box[3] - box[1]) * scale
    if max(width, height) < 2:
        return None
    is_hidden = seen < 0.3 * thing.silhouette_px or seen * scale**2 < 12
    return ObjectBox(thing.category, box, bool(is_hidden or min(width, height) < 4 or thing.is_hard))
