"""Random streets: which strips lie beside each other, with which kerbs, slopes and roughness."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from admlops.point_class import PointClass
from admlops.synthetic.lidar.ground import FloatArray, Ground, Patch, Profile, Strip

Rng = np.random.Generator
Span = tuple[float, float]

_LINE_M = 0.14
_NUM_WAVES = 5
_LEVEL_SLOPE = 0.005
_GENTLE_BANKS = 0.55


@dataclass(frozen=True)
class StreetKind:
    """Ranges of the streets of one layout.

    Attributes:
        name: urban, suburb, highway, rural or yard.
        half_width_m: Of the carriageway.
        kerb_m: Height of kerbs.
        bend: Curvature, 1/m, to either side.
        crossing: Probability of a crossing road.
        bump: Probability of a speed bump.
        island: Probability of a traffic island.
    """

    name: str
    half_width_m: Span
    kerb_m: Span
    bend: float
    crossing: float = 0.0
    bump: float = 0.0
    island: float = 0.0


def sample_ground(kind: StreetKind, sensor_height_m: float, rng: Rng) -> Ground:
    """Draw the ground of a street.

    Args:
        kind: Its layout.
        sensor_height_m: Of the sensor above the road.
        rng: All chance comes from it.

    Returns:
        The height field.
    """
    roughness_m = float(np.exp(rng.uniform(math.log(0.003), math.log(0.012))))
    asphalt = Strip(PointClass.ROAD, 1, 0, 0, roughness_m, rng.uniform(0.001, 0.012), rng.uniform(0.12, 0.3))
    half_m = rng.uniform(*kind.half_width_m)
    crown = rng.uniform(0, 0.025)
    sides = [_side(kind, asphalt, half_m, crown, rng) for _ in range(2)]
    crossing, crossing_m = None, 0.0
    if rng.random() < kind.crossing:
        sides = [_level(side) for side in sides]
        other_m, crossing_m = rng.uniform(2.8, 5.5), float(rng.choice([-1, 1]) * rng.uniform(8, 35))
        crossing = Profile(*(_level(_side(kind, asphalt, other_m, 0.0, rng)) for _ in range(2)))
    patches = _sample_patches(kind, half_m, rng)
    bend = rng.uniform(-kind.bend, kind.bend)
    return Ground(
        sensor_height_m=sensor_height_m,
        profile=Profile(*sides),
        heading_rad=rng.normal(0, math.radians(4)),
        offset_m=rng.uniform(-0.55, 0.55) * half_m,
        bend=bend,
        hill=rng.normal(0, 3e-4),
        tilt=(math.tan(rng.normal(0, math.radians(0.7))), math.tan(rng.normal(0, math.radians(0.7)))),
        crossing=crossing,
        crossing_m=crossing_m,
        patches=patches,
        waves=_sample_waves(rng),
    )


def _sample_waves(rng: Rng) -> FloatArray:
    length_m = np.exp(rng.uniform(math.log(1.2), math.log(18), _NUM_WAVES))
    direction = rng.uniform(0, 2 * math.pi, _NUM_WAVES)
    # Longer waves are higher, as they are in spectra of road surfaces.
    amplitude = np.sqrt(length_m) / np.sqrt(length_m).sum()
    number, phase = 2 * math.pi / length_m, rng.uniform(0, 2 * math.pi, _NUM_WAVES)
    waves: FloatArray = np.stack([number * np.cos(direction), number * np.sin(direction), phase, amplitude]).astype(np.float32)
    return waves


def _sample_patches(kind: StreetKind, half_m: float, rng: Rng) -> tuple[Patch, ...]:
    patches = []
    if rng.random() < kind.bump:
        at_m, length_m = rng.choice([-1, 1]) * rng.uniform(5, 22), rng.choice([rng.uniform(0.4, 0.9), rng.uniform(2, 4)])
        patches.append(Patch((at_m - length_m / 2, at_m + length_m / 2), (-half_m, half_m), rng.uniform(0.05, 0.11)))
    if rng.random() < kind.island:
        at_m, length_m, width_m = rng.choice([-1, 1]) * rng.uniform(6, 25), rng.uniform(2, 9), rng.uniform(0.4, 0.9)
        paving = Strip(PointClass.OTHER_GROUND, 1, 0, 0, rng.uniform(0.004, 0.012), 0, rng.uniform(0.2, 0.5))
        patches.append(Patch((at_m - length_m / 2, at_m + length_m / 2), (-width_m, width_m), rng.uniform(0.1, 0.18), paving))
    return tuple(patches)


def _side(kind: StreetKind, asphalt: Strip, half_m: float, crown: float, rng: Rng) -> list[Strip]:
    """Strips from the middle of the road outwards; the last one has no end."""
    lane = replace(asphalt, slope=-crown)
    paint = replace(lane, width_m=_LINE_M, reflectivity=rng.uniform(0.4, 0.8))
    middle = rng.choice([0.07, half_m / 2])
    strips = [
        replace(lane, width_m=middle - _LINE_M / 2),
        paint,
        replace(lane, width_m=half_m - middle - 1.5 * _LINE_M - 0.2),
        paint,
        replace(lane, width_m=0.2),
    ]
    return strips + _SIDES[kind.name](kind, asphalt, rng)


def _level(side: list[Strip]) -> list[Strip]:
    """Where two roads meet, what lies beside them is at one height, or there would be cliffs."""
    return [replace(strip, slope=float(np.clip(strip.slope, -_LEVEL_SLOPE, _LEVEL_SLOPE))) for strip in side]


def _kerb(kind: StreetKind, rng: Rng) -> float:
    # One in six is lowered.
    return 0.0 if rng.random() < 0.16 else rng.uniform(*kind.kerb_m)


def _parking(asphalt: Strip, width_m: float, rng: Rng) -> Strip:
    return replace(
        asphalt,
        point_class=PointClass.PARKING,
        width_m=width_m,
        step_m=float(rng.choice([0.0, rng.uniform(-0.02, 0.03)])),
        slope=rng.uniform(-0.01, 0.025) * min(1.0, 5 / width_m),
        roughness_m=asphalt.roughness_m * rng.uniform(0.9, 1.6),
        reflectivity=rng.uniform(0.15, 0.35),
    )


def _sidewalk(kind: StreetKind, asphalt: Strip, width_m: float, rng: Rng) -> Strip:
    return Strip(
        PointClass.SIDEWALK,
        width_m,
        _kerb(kind, rng),
        rng.uniform(-0.005, 0.025),
        asphalt.roughness_m * rng.uniform(0.8, 1.5),
        rng.uniform(0.002, 0.012),
        rng.uniform(0.2, 0.45),
    )


def _grass(rng: Rng, width_m: float, slope: float, step_m: float = 0.0) -> Strip:
    return Strip(
        PointClass.TERRAIN, width_m, step_m, slope, rng.uniform(0.012, 0.045), rng.uniform(0.02, 0.1), rng.uniform(0.25, 0.5)
    )


def _gravel(rng: Rng, width_m: float, slope: float, step_m: float = 0.0) -> Strip:
    return Strip(
        PointClass.OTHER_GROUND,
        width_m,
        step_m,
        slope,
        rng.uniform(0.01, 0.028),
        rng.uniform(0.01, 0.04),
        rng.uniform(0.15, 0.4),
    )


def _bank(rng: Rng) -> list[Strip]:
    steepness = rng.uniform(0.03, 0.2) if rng.random() < _GENTLE_BANKS else rng.uniform(0.2, 0.5)
    return [_grass(rng, rng.uniform(2, 6), rng.choice([-1, 1]) * steepness), _grass(rng, 99, rng.uniform(-0.03, 0.05))]


def _urban(kind: StreetKind, asphalt: Strip, rng: Rng) -> list[Strip]:
    strips = [_parking(asphalt, rng.uniform(2.0, 2.6), rng)] if rng.random() < 0.45 else []
    walk = _sidewalk(kind, asphalt, rng.uniform(1.6, 4.5), rng)
    strips.append(walk)
    rest = rng.random()
    if rest < 0.35:
        strips.append(_grass(rng, rng.uniform(2, 8), rng.uniform(-0.02, 0.08), rng.uniform(0, 0.08)))
        return [*strips, *_bank(rng)] if rng.random() < 0.4 else strips
    if rest < 0.6:
        return [*strips, _gravel(rng, 99, rng.uniform(-0.01, 0.02), rng.uniform(0, 0.05))]
    if rest < 0.75:
        return [*strips, _parking(asphalt, 99, rng)]
    return [*strips, replace(walk, step_m=0, width_m=99)]


def _suburb(kind: StreetKind, asphalt: Strip, rng: Rng) -> list[Strip]:
    strips = [_parking(asphalt, rng.uniform(2.0, 5.0), rng)] if rng.random() < 0.3 else []
    if rng.random() < 0.8:
        strips.append(_sidewalk(kind, asphalt, rng.uniform(1.1, 2.4), rng))
    lawn = _grass(rng, rng.uniform(2, 8), rng.uniform(-0.03, 0.1), rng.uniform(0, 0.1))
    return [*strips, lawn, *(_bank(rng) if rng.random() < 0.6 else [])]


def _highway(kind: StreetKind, asphalt: Strip, rng: Rng) -> list[Strip]:
    shoulder = replace(asphalt, width_m=rng.uniform(0.8, 2.8), slope=-rng.uniform(0.01, 0.04))
    return [shoulder, _gravel(rng, rng.uniform(0.6, 2.2), -rng.uniform(0.03, 0.1)), *_bank(rng)]


def _rural(kind: StreetKind, asphalt: Strip, rng: Rng) -> list[Strip]:
    shoulder = _gravel(rng, rng.uniform(0.4, 1.5), -rng.uniform(0.02, 0.08))
    ditch = [_grass(rng, rng.uniform(0.8, 2), -rng.uniform(0.1, 0.35))] if rng.random() < 0.6 else []
    return [shoulder, *ditch, *_bank(rng)]


def _yard(kind: StreetKind, asphalt: Strip, rng: Rng) -> list[Strip]:
    strips = [_parking(asphalt, rng.uniform(5, 18), rng)]
    if rng.random() < 0.5:
        strips.append(_sidewalk(kind, asphalt, rng.uniform(1.2, 3), rng))
    if rng.random() < 0.6:
        # The bed of a railway: ballast on a low dam.
        strips += [_gravel(rng, rng.uniform(0.8, 1.4), rng.uniform(0.1, 0.4)), _gravel(rng, rng.uniform(3, 8), 0)]
    return [*strips, *_bank(rng)]


_SIDES = {"urban": _urban, "suburb": _suburb, "highway": _highway, "rural": _rural, "yard": _yard}
