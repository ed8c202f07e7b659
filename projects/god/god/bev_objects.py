"""Obstacles as things: connected components and instances, for weights in training and recall in metrics."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from admlops.datasets.task_annotation import SegmentationAnnotation
from god.rasterize import LabelledSweep, Mask

FULL_WEIGHT_M2 = 0.8
"""Obstacles of as large an area or more weigh 1 a cell, smaller ones the more the smaller they are."""

MAX_WEIGHT = 10.0

_AREA_CELL_M = 0.2

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ObjectTable:
    """The objects of a labelled grid, an object a row.

    Attributes:
        object_id: (rows, cols) int32, 0 = none; objects only where the label is 1.
        ids: (M,) int32, which of them occur.
        size_m: (M,) float32, the largest of an object's extents on x and y and of its height above the ground; nan where it is
            what is seen of something larger.
        distance_m: (M,) float32, from the sensor to the centre of the nearest cell.
    """

    object_id: npt.NDArray[np.int32]
    ids: npt.NDArray[np.int32]
    size_m: npt.NDArray[np.float32]
    distance_m: npt.NDArray[np.float32]


@dataclass(frozen=True)
class BevAnnotation(SegmentationAnnotation):
    """Cells of one task.

    Attributes:
        weight: (rows, cols) float32, weight of a cell in the loss; obstacle tasks in training only.
        objects: Obstacle tasks in evaluation only.
    """

    weight: npt.NDArray[np.float32] | None = None
    objects: ObjectTable | None = None


def weigh_obstacles(mask: Mask, cell_m: float) -> npt.NDArray[np.float32]:
    """Weigh the cells of small obstacles more: ``clip(0.8 m^2 / area of the 8-connected component, 1, 10)``.

    Components and their areas are those in cells of 0.2 m, of which several finer ones make up one: a sweep hits the sides of
    a thing, in cells of 5 cm a line with gaps. So it weighs the same whatever the grid.

    Args:
        mask: (rows, cols), 1 = obstacle.
        cell_m: Side of a cell, m.

    Returns:
        (rows, cols) float32, 1 elsewhere.
    """
    fold = max(1, round(_AREA_CELL_M / cell_m))
    rows, cols = mask.shape
    whole = np.pad(mask == 1, ((0, -rows % fold), (0, -cols % fold)))
    coarse = whole.reshape(whole.shape[0] // fold, fold, -1, fold).any(axis=(1, 3))
    _, component, stats, _ = cv2.connectedComponentsWithStats(coarse.astype(np.uint8), connectivity=8)
    area_m2 = stats[1:, cv2.CC_STAT_AREA] * (fold * cell_m) ** 2
    weights = np.append(1.0, np.clip(FULL_WEIGHT_M2 / area_m2, 1.0, MAX_WEIGHT)).astype(np.float32)
    weight = weights[component].repeat(fold, axis=0).repeat(fold, axis=1)[:rows, :cols]
    return np.where(mask == 1, weight, np.float32(1.0))


def list_objects(
    sweep: LabelledSweep,
    mask: Mask,
    instance: Ints,
    size_of_instance: npt.NDArray[np.float64] | None = None,
    has_instances: bool = True,
) -> ObjectTable:
    """Tell the objects apart: instances where the points have them, 8-connected components of what is left.

    Args:
        sweep: Points and their classes.
        mask: Labels of ``label_obstacles``.
        instance: (N,) number of each point's instance, 0 = none. A cell belongs to the instance of most of its points.
        size_of_instance: Size by number of instance, where the record knows it; else it is measured on the points.
        has_instances: Whether the source tells one thing from another. What it gives no number is then a wall or growth, whose
            visible pieces have no size.

    Returns:
        The objects, instances first.
    """
    flat_mask = np.append(mask.ravel() == 1, False)
    counted = sweep.is_obstacle & sweep.in_band & flat_mask[sweep.cell]
    cell, number = sweep.cell[counted], instance[counted]
    object_id = np.zeros(sweep.grid.num_cells, dtype=np.int32)
    has = number > 0
    known, compact = np.unique(number[has], return_inverse=True)
    pairs, votes = np.unique(cell[has] * (len(known) + 1) + compact + 1, return_counts=True)
    order = np.lexsort((-pairs, votes))  # the last one written wins: most votes, then the smallest number
    object_id[pairs[order] // (len(known) + 1)] = pairs[order] % (len(known) + 1)
    left = (flat_mask[:-1] & (object_id == 0)).reshape(mask.shape)
    num_components, component = cv2.connectedComponents(left.astype(np.uint8), connectivity=8)
    object_id = np.where(left.ravel(), component.ravel() + len(known), object_id).astype(np.int32)
    num = len(known) + num_components  # rows, row 0 = none
    size_m = _measure(sweep.xyz[counted], sweep.height_m[counted], object_id[cell], num)
    if size_of_instance is not None:
        size_m[1 : len(known) + 1] = size_of_instance[known]
    if has_instances:
        size_m[len(known) + 1 :] = np.nan
    ids = np.unique(object_id[object_id > 0])
    distance_m = _nearest(sweep, object_id, num)
    return ObjectTable(object_id.reshape(mask.shape), ids, size_m[ids].astype(np.float32), distance_m[ids].astype(np.float32))


def _measure(xyz: npt.NDArray[np.float32], height_m: npt.NDArray[np.float64], row: Ints, num: int) -> npt.NDArray[np.float64]:
    size_m = np.zeros(num)
    np.maximum.at(size_m, row, height_m)
    for axis in (0, 1):
        low, high = np.full(num, np.inf), np.full(num, -np.inf)
        np.minimum.at(low, row, xyz[:, axis])
        np.maximum.at(high, row, xyz[:, axis])
        size_m = np.maximum(size_m, high - low)
    return size_m


def _nearest(sweep: LabelledSweep, object_id: npt.NDArray[np.int32], num: int) -> npt.NDArray[np.float64]:
    x_m, y_m = sweep.grid.centres_m()
    cells = np.flatnonzero(object_id)
    away_m = np.hypot(x_m[cells % sweep.grid.cols] - sweep.origin_3[0], y_m[cells // sweep.grid.cols] - sweep.origin_3[1])
    nearest_m = np.full(num, np.inf)
    np.minimum.at(nearest_m, object_id[cells], away_m)
    return nearest_m
