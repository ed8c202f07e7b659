"""The ground of a scene: a height field about the sensor, made of strips along a bent road and across a crossing one.

Road coordinates of a place: ``along`` runs with the road, ``across`` is the lateral offset from its middle line. A profile
gives the height at each ``across``; a crossing road has a profile of its own over ``along``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from admlops.point_class import PointClass
from admlops.synthetic.lidar.point_labels import DRIVABLE

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.intp]

_STEP_M = 0.01
_REACH_M = 120.0
_DEEP_M = 4.8
_NUM_ENTRIES = int(2 * _REACH_M / _STEP_M) + 1


@dataclass(frozen=True)
class Strip:
    """A stretch of ground of one kind, between two offsets.

    Attributes:
        point_class: What its points are.
        width_m: From its inner edge, away from the road's middle.
        step_m: Height of the edge that it begins with: a kerb.
        slope: Rise per metre outwards.
        roughness_m: Standard deviation of a point's height.
        waviness_m: Amplitude of bumps some metres long.
        reflectivity: 0..1.
    """

    point_class: PointClass
    width_m: float
    step_m: float = 0.0
    slope: float = 0.0
    roughness_m: float = 0.006
    waviness_m: float = 0.004
    reflectivity: float = 0.25


class Profile:
    """Heights and strips across a road, in steps of one centimetre.

    Args:
        left: Strips towards negative offsets, from the middle outwards.
        right: Strips towards positive offsets, from the middle outwards.
    """

    def __init__(self, left: Sequence[Strip], right: Sequence[Strip]) -> None:
        self.sides = (tuple(left), tuple(right))
        self.strips = (*left, *right)
        self.height_m = np.zeros(_NUM_ENTRIES, np.float32)
        self.strip = np.zeros(_NUM_ENTRIES, np.uint8)
        middle = _NUM_ENTRIES // 2
        for first, side, direction in ((0, left, -1), (len(left), right, 1)):
            inner, height_m = 0, 0.0
            for i, strip in enumerate(side):
                is_last = i == len(side) - 1
                outer = middle if is_last else min(middle, inner + round(strip.width_m / _STEP_M))
                offsets = np.arange(inner, outer + 1)
                heights_m = height_m + strip.step_m + strip.slope * _STEP_M * (offsets - inner)
                self.height_m[middle + direction * offsets] = heights_m
                self.strip[middle + direction * offsets] = first + i
                inner, height_m = outer, float(heights_m[-1])
        self.waviness_m = np.array([strip.waviness_m for strip in self.strips], np.float32)[self.strip]
        is_drivable = np.array([strip.point_class in DRIVABLE for strip in self.strips])
        self.is_drivable = is_drivable[self.strip]

    @property
    def road_edges_m(self) -> tuple[float, float]:
        """Offsets of the road's left and right edge."""
        left_m, right_m = (sum(strip.width_m for strip in side if strip.point_class is PointClass.ROAD) for side in self.sides)
        return -left_m, right_m

    def parking_lot_m(self, side: int) -> tuple[float, float] | None:
        """Find a place that is deep enough to park across the road's direction.

        Args:
            side: 0 = left, 1 = right.

        Returns:
            Its inner and outer distance from the road's edge; None where there is none.
        """
        inner_m = 0.0
        for strip in self.sides[side]:
            if strip.point_class is PointClass.PARKING and strip.width_m > _DEEP_M:
                return inner_m, inner_m + strip.width_m
            inner_m += strip.width_m if strip.point_class is not PointClass.ROAD else 0.0
        return None

    @staticmethod
    def entry(offset_m: FloatArray) -> IntArray:
        """Index of the table's entry nearest to each offset."""
        index: IntArray = np.rint(offset_m * (1 / _STEP_M)).astype(np.intp)
        index += _NUM_ENTRIES // 2
        np.clip(index, 0, _NUM_ENTRIES - 1, out=index)
        return index


@dataclass(frozen=True)
class Patch:
    """A rectangle in road coordinates that lies higher: a speed bump (``strip`` None, rounded along the road) or an island.

    Attributes:
        along_m: First and last.
        across_m: First and last.
        height_m: Above the road.
        strip: What covers it; None = as around it.
    """

    along_m: tuple[float, float]
    across_m: tuple[float, float]
    height_m: float
    strip: Strip | None = None


@dataclass(frozen=True)
class Ground:
    """A height field.

    Attributes:
        sensor_height_m: Of the sensor above the road's middle line beside it; heights are about the sensor.
        profile: Across the road.
        heading_rad: Direction of the road.
        offset_m: Lateral place of the road's middle line at the sensor.
        bend: Curvature, 1/m.
        hill: Curvature of the road's height along it, 1/m.
        tilt: Slope of everything in x and y, as a tilted sensor sees it.
        crossing: Profile of a crossing road, over ``along``.
        crossing_m: Where along the road it is.
        patches: Bumps and islands.
        waves: (4, M) wave numbers in x and y (1/m), phase and amplitude; amplitudes add up to about 1.
    """

    sensor_height_m: float
    profile: Profile
    heading_rad: float = 0.0
    offset_m: float = 0.0
    bend: float = 0.0
    hill: float = 0.0
    tilt: tuple[float, float] = (0.0, 0.0)
    crossing: Profile | None = None
    crossing_m: float = 0.0
    patches: tuple[Patch, ...] = ()
    waves: FloatArray | None = None

    @property
    def strips(self) -> tuple[Strip, ...]:
        """All strips, in the order of the indices that ``strip_at`` gives."""
        crossing = () if self.crossing is None else self.crossing.strips
        return (*self.profile.strips, *crossing, *(patch.strip for patch in self.patches if patch.strip is not None))

    def to_road(self, x_m: FloatArray, y_m: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Map places to road coordinates.

        Args:
            x_m: Of any shape.
            y_m: Of the same shape.

        Returns:
            ``along`` and ``across``, m.
        """
        cos, sin = np.float32(math.cos(self.heading_rad)), np.float32(math.sin(self.heading_rad))
        along_m = x_m * cos + y_m * sin
        across_m = y_m * cos - x_m * sin - np.float32(self.offset_m)
        if self.bend:
            across_m -= along_m * along_m * np.float32(self.bend / 2)
        return along_m, across_m

    def from_road(self, along_m: float, across_m: float) -> tuple[float, float, float]:
        """Map road coordinates to a place.

        Args:
            along_m: Along the road.
            across_m: Across it.

        Returns:
            x, y in m and the road's direction there in rad.
        """
        cos, sin = math.cos(self.heading_rad), math.sin(self.heading_rad)
        side_m = across_m + self.offset_m + self.bend / 2 * along_m**2
        direction_rad = self.heading_rad + math.atan(self.bend * along_m)
        return along_m * cos - side_m * sin, along_m * sin + side_m * cos, direction_rad

    def height_at(self, x_m: FloatArray, y_m: FloatArray) -> FloatArray:
        """Compute heights about the sensor.

        Args:
            x_m: Of any shape.
            y_m: Of the same shape.

        Returns:
            Heights, m, of that shape.
        """
        along_m, across_m = self.to_road(x_m, y_m)
        entry = Profile.entry(across_m)
        z_m: FloatArray = self.profile.height_m[entry]
        waviness_m = self.profile.waviness_m[entry]
        if self.crossing is not None:
            other = Profile.entry(along_m - np.float32(self.crossing_m))
            is_other = _is_crossing(self.profile, self.crossing, entry, other)
            z_m = np.where(is_other, self.crossing.height_m[other], z_m)
            waviness_m = np.where(is_other, self.crossing.waviness_m[other], waviness_m)
        for patch in self.patches:
            self._raise_patch(z_m, patch, along_m, across_m)
        if self.hill:
            z_m += along_m * along_m * np.float32(self.hill / 2)
        if self.waves is not None:
            wave = np.zeros_like(z_m)
            for kx, ky, phase, amplitude in self.waves.T:
                wave += amplitude * np.sin(kx * x_m + ky * y_m + phase)
            z_m += waviness_m * wave
        z_m += np.float32(self.tilt[0]) * x_m + np.float32(self.tilt[1]) * y_m
        z_m -= np.float32(self.sensor_height_m)
        return z_m

    def strip_at(self, x_m: FloatArray, y_m: FloatArray) -> IntArray:
        """Find the strip that covers each place.

        Args:
            x_m: Of any shape.
            y_m: Of the same shape.

        Returns:
            Indices into ``strips``.
        """
        along_m, across_m = self.to_road(x_m, y_m)
        entry = Profile.entry(across_m)
        index: IntArray = self.profile.strip[entry].astype(np.intp)
        count = len(self.profile.strips)
        if self.crossing is not None:
            other = Profile.entry(along_m - np.float32(self.crossing_m))
            index = np.where(
                _is_crossing(self.profile, self.crossing, entry, other),
                count + self.crossing.strip[other].astype(np.intp),
                index,
            )
            count += len(self.crossing.strips)
        for patch in self.patches:
            if patch.strip is not None:
                index[_inside(patch, along_m, across_m)] = count
                count += 1
        return index

    @staticmethod
    def _raise_patch(z_m: FloatArray, patch: Patch, along_m: FloatArray, across_m: FloatArray) -> None:
        inside = _inside(patch, along_m, across_m)
        if patch.strip is not None:
            z_m[inside] += np.float32(patch.height_m)
            return
        first_m, last_m = patch.along_m
        relative = (along_m[inside] - (first_m + last_m) / 2) / ((last_m - first_m) / 2)
        z_m[inside] += np.float32(patch.height_m) * (1 - relative * relative).astype(np.float32)


def _is_crossing(main: Profile, crossing: Profile, entry: IntArray, other: IntArray) -> npt.NDArray[np.bool_]:
    # Where either road runs, it is road; elsewhere the lower of the two, so that corners join.
    is_lower = crossing.height_m[other] < main.height_m[entry]
    return ~main.is_drivable[entry] & (crossing.is_drivable[other] | is_lower)


def _inside(patch: Patch, along_m: FloatArray, across_m: FloatArray) -> npt.NDArray[np.bool_]:
    inside = (along_m >= patch.along_m[0]) & (along_m < patch.along_m[1])
    inside &= (across_m >= patch.across_m[0]) & (across_m < patch.across_m[1])
    return inside
