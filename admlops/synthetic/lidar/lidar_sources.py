"""The sources of the lidar sample release: what each of them labels, and the records that follow.

``god_boxes`` knows objects as boxes and roads as polygons, ``coarse`` cannot tell road from parking; the others label points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from admlops.point_class import PointClass
from admlops.synthetic.lidar.cast import Sweep
from admlops.synthetic.lidar.ground import Ground, Patch, Profile
from admlops.synthetic.lidar.point_labels import DRIVABLE, INSTANCE_SHIFT
from admlops.synthetic.lidar.scene import Scene
from admlops.task_spec import LIDAR_TASKS

TAXONOMY = "rendered"
DRIVEABLE_SET = "driveable_surface"

_OBSTACLE = "obstacle"
_REACH_M = 60.0
_CORNER_STEP_M = 3.0

Polygon = list[list[float]]


@dataclass(frozen=True)
class LidarSource:
    """One entry of the release.

    Attributes:
        name: Of the entry.
        share: Part of the release's sweeps.
        tasks: Tasks that it labels and is released for.
        has_boxes: Objects are boxes and roads polygons; False = points are labelled.
        is_coarse: Road and parking are one class.
        is_about_ego: Points are about the ground below an ego vehicle's rear axle, not about the sensor.
    """

    name: str
    share: float
    tasks: tuple[str, ...]
    has_boxes: bool = False
    is_coarse: bool = False
    is_about_ego: bool = False


TRAIN_SOURCES: tuple[LidarSource, ...] = (
    LidarSource("joint", 0.36, tuple(LIDAR_TASKS)),
    LidarSource("god_only", 0.18, ("god_base",)),
    LidarSource("drivable_only", 0.16, ("drivable_2cls", "drivable_multi")),
    LidarSource("coarse", 0.15, ("god_base", "drivable_2cls", "drivable_multi"), is_coarse=True),
    LidarSource("god_boxes", 0.15, ("god_base", "drivable_2cls"), has_boxes=True, is_about_ego=True),
)
"""The training release."""

VAL_SOURCES: tuple[LidarSource, ...] = (LidarSource("val_full", 1.0, tuple(LIDAR_TASKS)),)
"""The validation release: everything is labelled."""


def sensor_origin(source: LidarSource, scene: Scene) -> tuple[float, float, float]:
    """Place of the sensor in the frame of the source's points.

    Args:
        source: Who records.
        scene: With what sensor.

    Returns:
        x, y, z, m.
    """
    return (1.35, 0.0, round(scene.sensor.height_m, 3)) if source.is_about_ego else (0.0, 0.0, 0.0)


def file_labels(source: LidarSource, labels_N: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Make the labels of points as this source's annotators would.

    Args:
        source: Who annotates.
        labels_N: (N,) what the points are.

    Returns:
        (N,) for the source's file.
    """
    if not source.is_coarse:
        return labels_N
    classes_N = labels_N & np.uint32((1 << INSTANCE_SHIFT) - 1)
    is_drivable = np.isin(classes_N, DRIVABLE)
    return np.where(is_drivable, labels_N - classes_N + np.uint32(PointClass.DRIVEABLE), labels_N)


def make_lidar_labels(source: LidarSource, scene: Scene, sweep: Sweep, point_labels: str) -> dict[str, dict[str, Any]]:
    """Make a record's labels.

    Args:
        source: Who annotates.
        scene: What there is.
        sweep: What of it was seen.
        point_labels: Path of the file of labelled points.

    Returns:
        Labels by task.
    """
    if source.has_boxes:
        origin = np.array(sensor_origin(source, scene))
        return {"god_base": _boxes(scene, sweep, origin), "drivable_2cls": _drivable_area(scene.ground, origin)}
    labels: dict[str, dict[str, Any]] = {task: {"point_labels": point_labels, "taxonomy": TAXONOMY} for task in source.tasks}
    if source.is_coarse:
        labels["drivable_multi"]["category_sets"] = {DRIVEABLE_SET: [part.name.lower() for part in DRIVABLE]}
    return labels


def _boxes(scene: Scene, sweep: Sweep, origin_m: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Boxes around what was seen and has a shape that a box describes; z is that of the centre."""
    seen = set(np.unique(sweep.labels_N >> INSTANCE_SHIFT).tolist())
    boxes = [
        [round(float(value), 3) for value in (*(np.array(item.centre_m) + origin_m), *item.size_m, item.yaw_rad)]
        for item in scene.objects
        if item.instance in seen and item.instance > 0 and item.kind != "gantry"
    ]
    return {"boxes_3d": boxes, "categories": [_OBSTACLE] * len(boxes)}


def _drivable_area(ground: Ground, origin_m: npt.NDArray[np.float64]) -> dict[str, Any]:
    polygons: list[Polygon] = []
    islands = [patch for patch in ground.patches if patch.strip is not None]
    for left_m, right_m in _drivable_intervals(ground.profile):
        cuts = sorted({-_REACH_M, _REACH_M, *(along for patch in islands for along in patch.along_m)})
        for first_m, last_m in zip(cuts[:-1], cuts[1:], strict=True):
            inside = [patch for patch in islands if patch.along_m[0] <= first_m and last_m <= patch.along_m[1]]
            for one_m, other_m in _around(left_m, right_m, inside):
                polygons.append(_outline(ground, (first_m, last_m), (one_m, other_m), origin_m))
    if ground.crossing is not None:
        for first_m, last_m in _drivable_intervals(ground.crossing):
            along_m = (first_m + ground.crossing_m, last_m + ground.crossing_m)
            polygons.append(_outline(ground, along_m, (-_REACH_M, _REACH_M), origin_m))
    return {"polygons": polygons, "categories": ["drivable"] * len(polygons)}


def _drivable_intervals(profile: Profile) -> list[tuple[float, float]]:
    """Offsets between which a profile may be driven on, m."""
    middle = len(profile.is_drivable) // 2
    reach = round(_REACH_M / 0.01)
    inside = profile.is_drivable[middle - reach : middle + reach + 1].astype(np.int8)
    edges = np.flatnonzero(np.diff(inside, prepend=0, append=0))
    return [((first - reach) * 0.01, (last - 1 - reach) * 0.01) for first, last in edges.reshape(-1, 2)]


def _around(left_m: float, right_m: float, islands: list[Patch]) -> list[tuple[float, float]]:
    """What islands leave of an interval across the road."""
    pieces = []
    for patch in sorted(islands, key=lambda patch: patch.across_m):
        pieces.append((left_m, min(right_m, patch.across_m[0])))
        left_m = max(left_m, patch.across_m[1])
    return [(one, other) for one, other in (*pieces, (left_m, right_m)) if other > one]


def _outline(
    ground: Ground, along_m: tuple[float, float], across_m: tuple[float, float], origin_m: npt.NDArray[np.float64]
) -> Polygon:
    count = max(2, round((along_m[1] - along_m[0]) / _CORNER_STEP_M) + 1)
    forth = np.linspace(*along_m, count)
    corners = [(along, across_m[0]) for along in forth] + [(along, across_m[1]) for along in forth[::-1]]
    places = (ground.from_road(float(along), across) for along, across in corners)
    return [[round(x + float(origin_m[0]), 3), round(y + float(origin_m[1]), 3)] for x, y, _ in places]
