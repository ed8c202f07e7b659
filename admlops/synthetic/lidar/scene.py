"""A random street scene: the ground, what stands on it, and the sweep of a sensor in its midst."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from admlops.point_class import PointClass
from admlops.synthetic.lidar import objects
from admlops.synthetic.lidar.cast import Sweep, cast_sweep
from admlops.synthetic.lidar.domain import Domain
from admlops.synthetic.lidar.ground import Ground
from admlops.synthetic.lidar.point_labels import INSTANCE_SHIFT
from admlops.synthetic.lidar.sensor import Sensor, sample_sensor
from admlops.synthetic.lidar.solids import SceneObject, Solid
from admlops.synthetic.lidar.street import sample_ground

Rng = np.random.Generator

_EGO_CLEARANCE_M = 3.2
_NUM_TRIES = 12
_SCENE_REACH_M = 70.0


@dataclass(frozen=True)
class Scene:
    """A scene.

    Attributes:
        street: Name of its layout.
        sensor: What looks at it.
        ground: What everything stands on.
        objects: What stands there.
    """

    street: str
    sensor: Sensor
    ground: Ground
    objects: tuple[SceneObject, ...]

    def sweep(self, rng: Rng) -> Sweep:
        """Cast the sensor's rays.

        Args:
            rng: All chance comes from it.

        Returns:
            Points and labels.
        """
        return cast_sweep(self.ground, self.objects, self.sensor, rng)

    def seen_kinds(self, sweep: Sweep) -> list[str]:
        """List the kinds of the counted objects of which the sweep holds points.

        Args:
            sweep: Of this scene.

        Returns:
            One kind an object.
        """
        seen = set(np.unique(sweep.labels_N >> INSTANCE_SHIFT).tolist())
        return [item.kind for item in self.objects if item.instance > 0 and item.instance in seen]


def sample_scene(domain: Domain, number: int, rng: Rng) -> Scene:
    """Draw a scene.

    Args:
        domain: What it is drawn from.
        number: Of the scene; streets and sensors take turns, so that a small set holds all of them.
        rng: All chance comes from it.

    Returns:
        The scene.
    """
    turn, place = divmod(number, len(domain.streets))
    street = domain.streets[place]
    # Every street meets every sensor, in turns that differ from street to street.
    sensor = sample_sensor(domain.sensors[(turn + place) % len(domain.sensors)], rng)
    crowd = _Crowd(sample_ground(street, sensor.height_m, rng), rng)
    counts = domain.counts[street.name]
    _put_ego(crowd)
    for kind in _PUT:
        low, high = counts.get(kind, (0, 0))
        for _ in range(int(rng.integers(low, high + 1))):
            _PUT[kind](crowd)
    wanted = int(rng.integers(domain.num_debris[0], domain.num_debris[1] + 1))
    while crowd.num_of("debris") < wanted:
        _put_debris(crowd)
    return Scene(street.name, sensor, crowd.ground, tuple(crowd.objects))


class _Crowd:
    """Objects placed so far; refuses those that would stand in another one or in the ego vehicle."""

    def __init__(self, ground: Ground, rng: Rng) -> None:
        self.ground = ground
        self.rng = rng
        self.objects: list[SceneObject] = []
        self.edges_m = ground.profile.road_edges_m
        self._discs: list[tuple[float, float, float]] = [(0.0, 0.0, _EGO_CLEARANCE_M)]

    def num_of(self, kind: str) -> int:
        return sum(item.kind == kind for item in self.objects)

    def add(self, kind: str, parts: objects.Parts, along_m: float, across_m: float, turn_rad: float = 0.0) -> bool:
        x_m, y_m, direction_rad = self.ground.from_road(along_m, across_m)
        size_m = [max(abs(part.centre_m[i]) * 2 + part.size_m[i] for part in parts) for i in range(2)]
        discs = _discs(x_m, y_m, direction_rad + turn_rad, size_m[0], size_m[1])
        if kind != "gantry":
            if any(math.hypot(x - u, y - v) < radius + other for x, y, radius in discs for u, v, other in self._discs):
                return False
            self._discs += discs
        z_m = float(self.ground.height_at(np.array([x_m], np.float32), np.array([y_m], np.float32))[0])
        instance = 1 + sum(item.instance > 0 for item in self.objects) if kind in objects.COUNTED else 0
        self.objects.append(objects.place(kind, parts, instance, (x_m, y_m, z_m), direction_rad + turn_rad))
        return True

    def try_to_add(self, kind: str, draw: Callable[[], tuple[objects.Parts, float, float, float]]) -> None:
        for _ in range(_NUM_TRIES):
            if self.add(kind, *draw()):
                return

    def side(self) -> int:
        return int(self.rng.integers(2))

    def beyond(self, side: int, away_m: float) -> float:
        """``across`` at a distance outside the road's edge of a side."""
        return self.edges_m[side] + (away_m if side else -away_m)

    def along(self, spread_m: float = 26.0) -> float:
        """Most things stand near; fewer far away."""
        return float(np.clip(self.rng.normal(0, spread_m), -_SCENE_REACH_M, _SCENE_REACH_M))

    def clear_of_crossing(self, along_m: float, margin_m: float) -> bool:
        return self.ground.crossing is None or abs(along_m - self.ground.crossing_m) > margin_m


def _discs(x_m: float, y_m: float, yaw_rad: float, length_m: float, width_m: float) -> list[tuple[float, float, float]]:
    count = max(1, round(length_m / max(width_m, 1.0)))
    steps = (np.arange(count) + 0.5) / count - 0.5
    radius_m = max(width_m, length_m / count) / 2 + 0.1
    return [(x_m + step * length_m * math.cos(yaw_rad), y_m + step * length_m * math.sin(yaw_rad), radius_m) for step in steps]


def _put_ego(crowd: _Crowd) -> None:
    """The roof below the sensor, which steep beams meet."""
    top_m = -float(crowd.rng.uniform(0.35, 0.7))
    size_m = (float(crowd.rng.uniform(1.6, 2.4)), 1.3, 0.3)
    roof = Solid((-0.3, 0.0, top_m - size_m[2] / 2), size_m, reflectivity=0.3)
    crowd.objects.append(SceneObject("ego", PointClass.UNKNOWN, 0, (roof,), roof.centre_m, size_m, 0.0))


def _put_wall(crowd: _Crowd) -> None:
    rng, side = crowd.rng, crowd.side()

    def draw() -> tuple[objects.Parts, float, float, float]:
        length_m, along_m = rng.uniform(5, 18), crowd.along(30)
        while not crowd.clear_of_crossing(along_m, 12 + length_m / 2):
            along_m = rng.uniform(-_SCENE_REACH_M, _SCENE_REACH_M)
        across_m = crowd.beyond(side, rng.uniform(4.5, 22))
        # Built outwards from the side that faces the road.
        return objects.wall(rng, length_m), along_m, across_m, 0.0 if side else math.pi

    crowd.try_to_add("wall", draw)


def _put_beside(kind: str, nearest_m: float, furthest_m: float, turns: bool = True) -> Callable[[_Crowd], None]:
    def put(crowd: _Crowd) -> None:
        rng, builder = crowd.rng, objects.KINDS[kind][1]

        def draw() -> tuple[objects.Parts, float, float, float]:
            side, along_m = crowd.side(), crowd.along()
            away_m = nearest_m + (furthest_m - nearest_m) * rng.random() ** 1.5
            turn = rng.uniform(-math.pi, math.pi) if turns else (math.pi / 2 if side == 0 else -math.pi / 2)
            return builder(rng), along_m, crowd.beyond(side, away_m), turn

        crowd.try_to_add(kind, draw)

    return put


def _put_long(kind: str, length_m: tuple[float, float], away_m: tuple[float, float]) -> Callable[[_Crowd], None]:
    def put(crowd: _Crowd) -> None:
        rng, builder = crowd.rng, objects.KINDS[kind][1]

        def draw() -> tuple[objects.Parts, float, float, float]:
            length, along_m = rng.uniform(*length_m), crowd.along(30)
            return builder(rng, length), along_m, crowd.beyond(crowd.side(), rng.uniform(*away_m)), 0.0

        crowd.try_to_add(kind, draw)

    return put


def _put_gantry(crowd: _Crowd) -> None:
    left_m, right_m = crowd.edges_m
    parts = objects.gantry(crowd.rng, right_m - left_m + 2)
    crowd.add("gantry", parts, crowd.rng.choice([-1, 1]) * crowd.rng.uniform(8, 55), (left_m + right_m) / 2)


def _put_parked(crowd: _Crowd) -> None:
    rng, kind = crowd.rng, "car" if crowd.rng.random() < 0.85 else "van"

    def draw() -> tuple[objects.Parts, float, float, float]:
        side = crowd.side()
        lot_m = crowd.ground.profile.parking_lot_m(side)
        if lot_m is not None and rng.random() < 0.7:
            away_m, turn = rng.uniform(lot_m[0] + 2.4, min(lot_m[1] - 2.4, lot_m[0] + 14)), math.pi / 2 + rng.normal(0, 0.05)
        else:
            away_m, turn = rng.uniform(-1.2, 1.3), rng.choice([0, math.pi]) + rng.normal(0, 0.03)
        return objects.KINDS[kind][1](rng), crowd.along(22), crowd.beyond(side, away_m), turn

    crowd.try_to_add(kind, draw)


def _put_moving(crowd: _Crowd) -> None:
    rng, kind = crowd.rng, "car" if crowd.rng.random() < 0.75 else "van"
    left_m, right_m = crowd.edges_m

    def draw() -> tuple[objects.Parts, float, float, float]:
        across_m = rng.uniform(left_m + 1.2, right_m - 1.2)
        return objects.KINDS[kind][1](rng), crowd.along(30), across_m, (0 if across_m > 0 else math.pi) + rng.normal(0, 0.04)

    crowd.try_to_add(kind, draw)


def _put_debris(crowd: _Crowd) -> None:
    """On the road or right beside it, most of it within 25 m."""
    rng = crowd.rng
    reach_m = rng.uniform(4, 25) if rng.random() < 0.8 else rng.uniform(25, 40)
    across_m = rng.uniform(crowd.edges_m[0] - 2.5, crowd.edges_m[1] + 2.5)
    away_m = across_m + crowd.ground.offset_m
    if abs(away_m) < reach_m:
        along_m = rng.choice([-1, 1]) * math.sqrt(reach_m**2 - away_m**2)
        crowd.add("debris", objects.debris(rng), along_m, across_m, rng.uniform(-math.pi, math.pi))


# What is long and fixed comes first, so that the rest finds a place beside it.
_PUT: dict[str, Callable[[_Crowd], None]] = {
    "wall": _put_wall,
    "thicket": _put_long("thicket", (8, 30), (6, 24)),
    "guard_rail": _put_long("guard_rail", (6, 24), (0.3, 2.0)),
    "gantry": _put_gantry,
    "hedge": _put_long("hedge", (3, 12), (2.5, 9)),
    "tree": _put_beside("tree", 1.0, 25),
    "pole": _put_beside("pole", 0.3, 6, turns=False),
    "parked": _put_parked,
    "moving": _put_moving,
    "cyclist": _put_beside("cyclist", -3, 2),
    "person": _put_beside("person", -2, 6),
    "bush": _put_beside("bush", 1.5, 18),
}
