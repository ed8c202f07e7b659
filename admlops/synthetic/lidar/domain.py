"""What training sees and what only validation sees: sensors, streets, and how much stands in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from admlops.synthetic.lidar.sensor import SensorKind
from admlops.synthetic.lidar.street import StreetKind

Count = tuple[int, int]


@dataclass(frozen=True)
class Domain:
    """What scenes are drawn from.

    Attributes:
        name: train or val.
        sensors: Layouts of sensors, which take turns.
        streets: Layouts of streets, which take turns.
        counts: Street to kind of object to the least and the largest number of them.
        num_debris: Least and largest number of pieces of debris.
    """

    name: str
    sensors: tuple[SensorKind, ...]
    streets: tuple[StreetKind, ...]
    counts: Mapping[str, Mapping[str, Count]]
    num_debris: Count


def _counts(**counts: Count) -> Mapping[str, Count]:
    return MappingProxyType(counts)


_COUNTS = MappingProxyType(
    {
        "urban": _counts(
            parked=(6, 18), moving=(2, 8), person=(4, 14), cyclist=(0, 4), pole=(6, 16), wall=(8, 16), tree=(2, 9), bush=(0, 6)
        ),
        "suburb": _counts(
            parked=(2, 10),
            moving=(1, 5),
            person=(1, 6),
            cyclist=(0, 3),
            pole=(4, 10),
            wall=(4, 10),
            thicket=(0, 3),
            tree=(3, 10),
            bush=(6, 14),
            hedge=(4, 9),
        ),
        "highway": _counts(
            moving=(5, 14),
            pole=(2, 6),
            guard_rail=(6, 14),
            gantry=(1, 2),
            thicket=(0, 5),
            tree=(0, 8),
            bush=(4, 14),
            wall=(0, 4),
        ),
        "rural": _counts(
            moving=(1, 4),
            person=(0, 2),
            cyclist=(0, 2),
            pole=(3, 8),
            thicket=(2, 7),
            tree=(6, 18),
            bush=(8, 20),
            hedge=(1, 5),
            guard_rail=(0, 4),
        ),
        "yard": _counts(
            parked=(8, 20),
            moving=(1, 4),
            person=(2, 8),
            cyclist=(0, 2),
            pole=(3, 8),
            wall=(4, 9),
            thicket=(0, 3),
            tree=(0, 5),
            bush=(3, 10),
            guard_rail=(0, 3),
        ),
    }
)

_DEGREES_64 = ((-25.5, -23.5), (1.5, 4.0))
_DEGREES_32 = ((-30.5, -25.0), (5.0, 11.0))

TRAIN = Domain(
    "train",
    sensors=(
        SensorKind(64, 960, _DEGREES_64, (1.0, 1.3), (1.5, 1.8)),
        SensorKind(64, 960, _DEGREES_64, (1.0, 1.3), (1.9, 2.1)),
        SensorKind(32, 1440, _DEGREES_32, (1.0, 1.3), (1.5, 2.1)),
    ),
    streets=(
        StreetKind("urban", (3.0, 7.0), (0.05, 0.18), 0.004, crossing=0.5, bump=0.15, island=0.2),
        StreetKind("urban", (3.0, 7.0), (0.05, 0.18), 0.004, crossing=0.5, bump=0.15, island=0.2),
        StreetKind("suburb", (2.6, 4.5), (0.03, 0.15), 0.012, crossing=0.4, bump=0.35, island=0.1),
        StreetKind("highway", (5.0, 11.0), (0.0, 0.0), 0.003),
        StreetKind("rural", (2.6, 4.0), (0.0, 0.0), 0.012, bump=0.05),
        StreetKind("yard", (2.8, 4.5), (0.04, 0.15), 0.006, crossing=0.3, bump=0.35, island=0.3),
    ),
    counts=_COUNTS,
    num_debris=(3, 8),
)
"""Streets and sensors of the training release."""

VAL = Domain(
    "val",
    sensors=(
        SensorKind(64, 960, ((-25.0, -23.5), (1.5, 3.0)), (1.3, 1.45), (1.8, 1.9)),
        SensorKind(64, 1000, ((-23.5, -22.0), (3.0, 5.0)), (1.3, 1.45), (1.8, 1.9)),
        SensorKind(32, 1440, ((-28.0, -24.0), (8.0, 12.0)), (1.3, 1.45), (1.8, 1.9)),
    ),
    streets=(
        StreetKind("urban", (3.4, 8.0), (0.08, 0.16), 0.006, crossing=0.6, bump=0.2, island=0.25),
        StreetKind("urban", (3.4, 8.0), (0.08, 0.16), 0.006, crossing=0.6, bump=0.2, island=0.25),
        StreetKind("suburb", (2.8, 5.0), (0.05, 0.14), 0.015, crossing=0.5, bump=0.3, island=0.1),
        StreetKind("highway", (5.5, 10.0), (0.0, 0.0), 0.004),
        StreetKind("rural", (2.8, 3.8), (0.0, 0.0), 0.015, bump=0.05),
        StreetKind("yard", (3.0, 4.2), (0.06, 0.14), 0.008, crossing=0.4, bump=0.3, island=0.3),
    ),
    counts=_COUNTS,
    num_debris=(3, 8),
)
"""Other streets than training's: beams crowd more at the horizon, bends may be tighter."""
