"""Cast the rays of one turn: where each beam ends, on what, and what the sensor makes of it.

Places are in the sensor's frame; a ray is one of A azimuths and one of B elevations, and the parameter along it is the
horizontal range. The ground is cut once an azimuth: its profile is seen under a rising running maximum of slopes, and a
beam ends where that passes its own slope.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from admlops.point_class import PointClass
from admlops.synthetic.lidar.ground import Ground
from admlops.synthetic.lidar.point_labels import pack_labels
from admlops.synthetic.lidar.sensor import Sensor
from admlops.synthetic.lidar.solids import SceneObject, Solid

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.intp]

_FIRST_RANGE_M = 1.5
_RANGE_RATIO = 1.0125
_NUM_HALVINGS = 3
_GRAZING_LOSS = 0.35
_BRIGHT_RANGE_M = 60.0


@dataclass(frozen=True)
class Sweep:
    """One turn.

    Attributes:
        points_N4: (N, 4) x, y, z in m about the sensor and intensity 0..1; column after column.
        labels_N: (N,) class in the low 16 bits, instance in the high 16.
    """

    points_N4: FloatArray
    labels_N: npt.NDArray[np.uint32]


def cast_sweep(ground: Ground, objects: tuple[SceneObject, ...], sensor: Sensor, rng: np.random.Generator) -> Sweep:
    """Cast all rays of one turn.

    Args:
        ground: What everything stands on.
        objects: What stands there.
        sensor: What looks.
        rng: All chance comes from it.

    Returns:
        Points and labels of the rays that returned.
    """
    range_AB = ground_ranges(ground, sensor)
    owner_AB = np.full(range_AB.shape, -1, np.int32)
    owners: list[SceneObject] = []
    reflectivities: list[float] = []
    tan_B = np.tan(sensor.true_elevation_rad)
    for item in objects:
        for solid in item.solids:
            _cast_solid(solid, len(owners), sensor.azimuth_rad, tan_B, range_AB, owner_AB, rng)
            owners.append(item)
            reflectivities.append(solid.reflectivity)
    column_N, beam_N = np.nonzero(range_AB < sensor.max_range_m * np.cos(sensor.true_elevation_rad))
    range_N, owner_N = range_AB[column_N, beam_N], owner_AB[column_N, beam_N]
    azimuth_N = sensor.azimuth_rad[column_N]
    classes_N, instances_N, reflectivity_N, roughness_N = _look_up(ground, owners, reflectivities, range_N, azimuth_N, owner_N)
    distance_N = range_N / np.cos(sensor.true_elevation_rad[beam_N])
    intensity_N = _intensities(sensor, reflectivity_N, distance_N, beam_N, rng)
    lost = sensor.dropout + _GRAZING_LOSS * (distance_N / sensor.max_range_m) ** 2 * (owner_N < 0)
    kept = rng.random(len(range_N), np.float32) >= lost
    is_stray = rng.random(len(range_N), np.float32) < sensor.stray
    distance_N = distance_N + sensor.bias_m[beam_N]
    distance_N += np.float32(sensor.noise_m) * rng.standard_normal(len(range_N), np.float32)
    distance_N[is_stray] *= rng.uniform(0.05, 1, int(is_stray.sum())).astype(np.float32)
    classes_N[is_stray], instances_N[is_stray] = PointClass.UNKNOWN, 0
    elevation_N = sensor.elevation_rad[beam_N]
    level_N = distance_N * np.cos(elevation_N)
    z_N = distance_N * np.sin(elevation_N) + roughness_N * rng.standard_normal(len(range_N), np.float32)
    points_N4 = np.stack([level_N * np.cos(azimuth_N), level_N * np.sin(azimuth_N), z_N, intensity_N], axis=1)
    return Sweep(points_N4[kept].astype(np.float32), pack_labels(classes_N, instances_N)[kept])


def ground_ranges(ground: Ground, sensor: Sensor) -> FloatArray:
    """Find where rays end on bare ground.

    Args:
        ground: The height field.
        sensor: Whose rays.

    Returns:
        (A, B) horizontal ranges, m; infinite where a ray does not come down.
    """
    num_ranges = math.ceil(math.log(sensor.max_range_m / _FIRST_RANGE_M) / math.log(_RANGE_RATIO)) + 1
    range_K = (_FIRST_RANGE_M * _RANGE_RATIO ** np.arange(num_ranges)).astype(np.float32)
    cos_A, sin_A = np.cos(sensor.azimuth_rad), np.sin(sensor.azimuth_rad)
    height_AK = ground.height_at(cos_A[:, None] * range_K, sin_A[:, None] * range_K)
    slope_AK = np.maximum.accumulate(height_AK / range_K, axis=1).astype(np.float64)
    # One search for all columns: each has a span of its own on the axis of slopes.
    span_A = 1e3 * np.arange(len(cos_A))[:, None]
    tan_B = np.tan(sensor.true_elevation_rad)
    wanted_AB = np.clip(tan_B.astype(np.float64), -100, 100) + span_A
    found = np.searchsorted((slope_AK + span_A).ravel(), wanted_AB.ravel()).reshape(wanted_AB.shape)
    index_AB = found - num_ranges * np.arange(len(cos_A))[:, None]
    column, beam = np.nonzero((index_AB > 0) & (index_AB < num_ranges))
    index = index_AB[column, beam]
    x_1m, y_1m, tan = cos_A[column], sin_A[column], tan_B[beam]
    near_m, far_m = range_K[index - 1], range_K[index]
    near_over_m = tan * near_m - height_AK[column, index - 1]
    far_over_m = tan * far_m - height_AK[column, index]
    for _ in range(_NUM_HALVINGS):
        middle_m = (near_m + far_m) / 2
        over_m = tan * middle_m - ground.height_at(x_1m * middle_m, y_1m * middle_m)
        is_above = over_m > 0
        near_m, near_over_m = np.where(is_above, middle_m, near_m), np.where(is_above, over_m, near_over_m)
        far_m, far_over_m = np.where(is_above, far_m, middle_m), np.where(is_above, far_over_m, over_m)
    fall_m = np.maximum(near_over_m - far_over_m, np.float32(1e-9))
    range_AB = np.full(index_AB.shape, np.inf, np.float32)
    range_AB[column, beam] = near_m + (far_m - near_m) * np.clip(near_over_m / fall_m, 0, 1)
    return range_AB


def _cast_solid(
    solid: Solid,
    number: int,
    azimuth_A: FloatArray,
    tan_B: FloatArray,
    range_AB: FloatArray,
    owner_AB: npt.NDArray[np.int32],
    rng: np.random.Generator,
) -> None:
    columns = _columns_of(solid, azimuth_A)
    if not len(columns):
        return
    cos_A, sin_A = np.cos(azimuth_A[columns]), np.sin(azimuth_A[columns])
    first, last = _ellipsoid_span(solid, cos_A, sin_A, tan_B) if solid.is_round else _box_span(solid, cos_A, sin_A, tan_B)
    first = np.maximum(first, 0)
    if solid.free_path_m:
        first = first + np.float32(solid.free_path_m) * rng.standard_exponential(first.shape, np.float32)
    before = range_AB[columns]
    is_hit = (first <= last) & (first < before)
    range_AB[columns] = np.where(is_hit, first, before)
    owner_AB[columns] = np.where(is_hit, np.int32(number), owner_AB[columns])


def _columns_of(solid: Solid, azimuth_A: FloatArray) -> IntArray:
    """Columns whose rays can meet the circle around a solid."""
    x_m, y_m, _ = solid.centre_m
    distance_m = math.hypot(x_m, y_m)
    radius_m = math.hypot(solid.size_m[0], solid.size_m[1]) / 2
    if radius_m >= distance_m:
        return np.arange(len(azimuth_A))
    step = 2 * math.pi / len(azimuth_A)
    half = math.asin(radius_m / distance_m)
    middle = math.atan2(y_m, x_m) - float(azimuth_A[0])
    first, last = math.floor((middle - half) / step), math.ceil((middle + half) / step)
    return np.arange(first, last + 1) % len(azimuth_A)


def _box_span(solid: Solid, cos_A: FloatArray, sin_A: FloatArray, tan_B: FloatArray) -> tuple[FloatArray, FloatArray]:
    x_m, y_m, z_m = solid.centre_m
    cos, sin = math.cos(solid.yaw_rad), math.sin(solid.yaw_rad)
    half_l, half_w, half_h = (size / 2 for size in solid.size_m)
    with np.errstate(divide="ignore", invalid="ignore"):
        first_A, last_A = _slab(-(x_m * cos + y_m * sin), cos_A * cos + sin_A * sin, half_l)
        first_w, last_w = _slab(-(y_m * cos - x_m * sin), sin_A * cos - cos_A * sin, half_w)
        first_B, last_B = _slab(-z_m, tan_B, half_h)
    first_A, last_A = np.maximum(first_A, first_w), np.minimum(last_A, last_w)
    return np.maximum(first_A[:, None], first_B), np.minimum(last_A[:, None], last_B)


def _slab(start_m: float, direction: FloatArray, half_m: float) -> tuple[FloatArray, FloatArray]:
    one, other = np.float32(-half_m - start_m) / direction, np.float32(half_m - start_m) / direction
    return np.minimum(one, other), np.maximum(one, other)


def _ellipsoid_span(solid: Solid, cos_A: FloatArray, sin_A: FloatArray, tan_B: FloatArray) -> tuple[FloatArray, FloatArray]:
    x_m, y_m, z_m = solid.centre_m
    flat, tall = (2 / solid.size_m[0]) ** 2, (2 / solid.size_m[2]) ** 2
    square_B = np.float32(flat) + np.float32(tall) * tan_B * tan_B
    linear_AB = np.float32(flat) * (cos_A * np.float32(x_m) + sin_A * np.float32(y_m))[:, None] + np.float32(tall * z_m) * tan_B
    rest = np.float32(flat * (x_m * x_m + y_m * y_m) + tall * z_m * z_m - 1)
    root_AB = linear_AB * linear_AB - square_B * rest
    width_AB = np.sqrt(np.maximum(root_AB, 0))
    first, last = (linear_AB - width_AB) / square_B, (linear_AB + width_AB) / square_B
    return first, np.where(root_AB > 0, last, np.float32(-1))


def _look_up(
    ground: Ground,
    owners: list[SceneObject],
    reflectivities: list[float],
    range_N: FloatArray,
    azimuth_N: FloatArray,
    owner_N: npt.NDArray[np.int32],
) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
    """Class, instance, reflectivity and roughness of what each ray met."""
    strips = ground.strips
    strip_N = ground.strip_at(range_N * np.cos(azimuth_N), range_N * np.sin(azimuth_N))
    index_N = np.where(owner_N < 0, strip_N, owner_N + len(strips))
    classes = np.array([*(strip.point_class for strip in strips), *(item.point_class for item in owners)], np.intp)
    instances = np.array([*(0 for _ in strips), *(item.instance for item in owners)], np.intp)
    reflectivity = np.array([*(strip.reflectivity for strip in strips), *reflectivities], np.float32)
    roughness_m = np.array([*(strip.roughness_m for strip in strips), *(0.0 for _ in owners)], np.float32)
    return classes[index_N], instances[index_N], reflectivity[index_N], roughness_m[index_N]


def _intensities(
    sensor: Sensor, reflectivity_N: FloatArray, distance_N: FloatArray, beam_N: IntArray, rng: np.random.Generator
) -> FloatArray:
    speckle_N = 1 + np.float32(0.2) * rng.standard_normal(len(distance_N), np.float32)
    intensity_N = reflectivity_N * sensor.beam_gain[beam_N] * speckle_N * np.exp(-distance_N / np.float32(_BRIGHT_RANGE_M))
    clipped_N: FloatArray = np.clip(intensity_N * np.float32(sensor.has_intensity), 0, 1).astype(np.float32)
    return clipped_N
