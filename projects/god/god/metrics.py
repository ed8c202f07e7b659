"""Cells and objects of an obstacle grid: what the network finds, what it misses, and what is not there.

A cell counts where its label is a class of the sample's ``in_metric`` and the prediction is not 255; nothing else is looked at.
Counts are summed over all samples, then divided; what the data do not define is nan. Where a sample's source does not annotate
obstacles exhaustively, none of its cells counts; where it does not annotate free cells, they do not count, nor do the sweep's
false objects.

Cells, with positive = predicted obstacle:

- ``IoU`` = TP / (TP + FP + FN), ``precision`` = TP / (TP + FP), ``recall`` = TP / (TP + FN), ``F1`` = 2 TP / (2 TP + FP + FN);
- ``best_F1``: the highest F1 when a cell is positive where its score is at least ``best_threshold``, of i / 256 with i = 1 to
  255, the lowest of equals; nan without scores or without a labelled obstacle;
- ``num_labelled_cells``: cells that count.

Objects. An object is the label's obstacle cells that share a number in ``object_id``; those without a number (0, or no
``object_id``) form 8-connected components. Its size is the largest of its extents along x, y and height where the label's
``objects`` lists it (nan: a visible piece of something larger, in no group of sizes), else of its cells along x and y; its
distance is that of its nearest cell centre from the sensor.

- ``object_recall_any``: share of the objects of which one cell is positive; ``object_recall_50``: at least half of the cells;
- ``num_objects``: objects with a cell that counts;
- ``num_false_objects``, a sweep: 8-connected components of positive cells that count, of two cells or more, that touch no
  obstacle of the label dilated by one cell (3 x 3); ``num_false_objects_corridor``: those with a cell whose centre lies in the
  ego corridor, 0 <= x < 30 m and |y| < 1.5 m: ahead of the vehicle where x is (nuScenes: to its right);
- ``num_sweeps``: samples that are labelled for the task.

Groups: distances ``0-10m``, ``10-20m``, ``20-30m``, ``30-50m`` from the sensor (cells by their centres, objects by theirs,
false objects by their nearest; the upper end belongs to the next), sizes ``small`` (< 0.6 m), ``medium`` (< 2 m) and
``large``, and ``small_25m``: small objects nearer than 25 m.

Result: ``<task>/<metric>`` of everything, ``<task>/<group>/<metric>``; the same of the height rule (``baseline``) under
``<task>/height_rule`` and ``<task>/height_rule/<group>``, but for what needs scores. Details: ``ConfusionDetails``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from admlops.errors import ConfigError, ModelError
from admlops.evaluation import ConfusionDetails, TaskMetric
from admlops.evaluation.confusion import read_masks
from admlops.evaluation.task_metric import UNDEFINED, MeasuredSample, to_numpy
from admlops.task_spec import IGNORE_INDEX, TaskKind, TaskSpec
from god.baseline import HeightRule
from god.geometry import BevGrid
from god.registry import METRICS

IntArray = npt.NDArray[np.int64]
BoolMask = npt.NDArray[np.bool_]

OBSTACLE = 1
HEIGHT_RULE = "height_rule"
DISTANCE_EDGES_M = (0.0, 10.0, 20.0, 30.0, 50.0)
DISTANCE_GROUPS = tuple(f"{near:g}-{far:g}m" for near, far in zip(DISTANCE_EDGES_M, DISTANCE_EDGES_M[1:], strict=False))
SMALL_M, MEDIUM_M = 0.6, 2.0
SMALL_RANGE_M = 25.0
CORRIDOR_LENGTH_M, CORRIDOR_HALF_WIDTH_M = 30.0, 1.5
CELL_GROUPS = ("", *DISTANCE_GROUPS)
OBJECT_GROUPS = (*CELL_GROUPS, "small", "medium", "large", "small_25m")
NUM_SCORES = 256
FALSE_OBJECT_CELLS = 2


@dataclass(frozen=True)
class _Counts:
    """What one sweep says of one predicted mask; sums over sweeps have the same fields.

    Attributes:
        cells: (5, 2, 2) by group of ``CELL_GROUPS``, label, prediction.
        objects: (9, 3) by group of ``OBJECT_GROUPS``: all, with one cell found, with half of them found.
        false_objects: (6,) by group of ``CELL_GROUPS``, then those in the corridor.
    """

    cells: IntArray
    objects: IntArray
    false_objects: IntArray


@dataclass(frozen=True)
class _Sweep:
    """One entry a sweep.

    Attributes:
        network: Counts of the network's mask.
        height_rule: Counts of the baseline's; ``None`` where it is not asked for.
        scores: (2, 256) cells that count, by label and score.
        has_free: Whether false objects can be told: free cells are annotated.
    """

    network: _Counts
    height_rule: _Counts | None
    scores: IntArray
    has_free: bool


@dataclass(frozen=True)
class _Places:
    """Where the cells lie, (rows, cols) each.

    Attributes:
        distance_m: Of the cell centres from the sensor.
        group: Index into ``CELL_GROUPS``, 0 beyond the last bin.
        corridor: Whether the centre lies in the ego corridor.
    """

    distance_m: npt.NDArray[np.float64]
    group: npt.NDArray[np.int64]
    corridor: BoolMask


@dataclass(frozen=True)
class _Objects:
    """The M objects of a label.

    Attributes:
        flat: (C,) flat indices of their cells.
        number: (C,) index of the object of each cell.
        cells: (M,) cells of each.
        in_group: (9, M) whether each is in a group of ``OBJECT_GROUPS``.
    """

    flat: IntArray
    number: IntArray
    cells: IntArray
    in_group: BoolMask


@METRICS.register_module()
class BevGridMetric(TaskMetric):
    """Numbers of an obstacle grid; see the module for the definitions.

    Args:
        task: Name, ``TaskSpec`` or fields of a semantic task with the classes free and obstacle.
        grid: ``BevGrid`` of the masks, or its fields.
        baseline: Whether the height rule is measured on the same sweeps.
    """

    kinds = (TaskKind.SEMANTIC,)

    def __init__(
        self, task: str | TaskSpec | Mapping[str, Any], grid: BevGrid | Mapping[str, Any], baseline: bool = True
    ) -> None:
        super().__init__(task)
        if self.task.num_channels != 2:
            raise ConfigError(
                f"BevGridMetric cannot measure task {self.task.name!r}",
                expected="two classes, free and obstacle",
                got=", ".join(self.task.channels),
                remedy="SemanticMetric measures any number of classes",
            )
        self.grid = BevGrid.of_config(grid)
        self.height_rule = HeightRule(self.grid) if baseline else None

    def measure(self, label: Mapping[str, Any], prediction: Mapping[str, Any], sample: MeasuredSample) -> _Sweep:
        """Count the cells and objects of one sweep.

        Args:
            label: With ``sem_seg`` (``data``, optional ``object_id``), optional ``objects``, and ``in_metric``.
            prediction: With ``data`` (1, rows, cols) and optional ``score``.
            sample: With the ``origin`` of the sensor, and for the baseline with ``points`` and ``cell``.

        Returns:
            The counts.

        Raises:
            ModelError: The masks are not of the metric's grid.
            ConfigError: The baseline is asked for and there are no points.
        """
        gt_HW, pred_HW, in_metric = read_masks(self.task, label, prediction, sample.where)
        if gt_HW.shape != self.grid.shape:
            raise ModelError(
                f"{self.task.name}: the mask is not of the metric's grid",
                where=sample.where,
                expected=self.grid.shape,
                got=gt_HW.shape,
                remedy="give BevGridMetric the grid of the pipeline",
            )
        table = np.full(256, IGNORE_INDEX, np.uint8)
        if in_metric[OBSTACLE]:
            table[:2][in_metric] = np.arange(2)[in_metric]
        gt_HW = np.where(pred_HW == IGNORE_INDEX, np.uint8(IGNORE_INDEX), table[gt_HW])
        origin_x_m, origin_y_m = (float(value) for value in sample.meta["origin"][:2])
        places = _places(self.grid, origin_x_m, origin_y_m)
        has_free = bool(in_metric.all())
        objects = _objects_of(label, gt_HW, places, self.grid.cell_m)
        rule = None
        if self.height_rule is not None:
            if sample.inputs is None:
                raise ConfigError(
                    "the height rule needs the sweep's points",
                    where=sample.where,
                    remedy="hand over data_batch, or baseline=False",
                )
            found_HW = self.height_rule(to_numpy(sample.inputs["points"]), to_numpy(sample.inputs["cell"]))
            rule = _count(gt_HW, found_HW == OBSTACLE, places, objects, has_free)
        network = _count(gt_HW, pred_HW == OBSTACLE, places, objects, has_free)
        return _Sweep(network, rule, _count_scores(gt_HW, prediction.get("score")), has_free)

    def compute_metrics(self, results: list[_Sweep]) -> dict[str, float]:
        """Sum the sweeps' counts and take the ratios.

        Args:
            results: Counts of each labelled sweep.

        Returns:
            Metrics without the task's prefix.
        """
        with_free = sum(sweep.has_free for sweep in results)
        network = _sum([sweep.network for sweep in results])
        self.details = ConfusionDetails(self.task, np.hstack([network.cells[0], np.zeros((2, 1), np.int64)]))
        best = _best(sum((sweep.scores for sweep in results), np.zeros((2, NUM_SCORES), np.int64)))
        named = {"": _numbers(network, len(results), with_free, best)}
        if self.height_rule is not None:
            rule = _sum([sweep.height_rule for sweep in results if sweep.height_rule is not None])
            named[HEIGHT_RULE] = _numbers(rule, len(results), with_free)
        metrics: dict[str, float] = {}
        for group in OBJECT_GROUPS:  # the rule beside the network, group by group
            for of_whom, numbers in named.items():
                metrics |= {"/".join(filter(None, (of_whom, group, name))): value for name, value in numbers[group].items()}
        return metrics


@lru_cache(maxsize=8)
def _places(grid: BevGrid, origin_x_m: float, origin_y_m: float) -> _Places:
    # Free of rounding, so that a centre on a limit falls alike on either side of the sensor.
    x_m, y_m = (centres_m.round(6) for centres_m in grid.centres_m())
    distance_m = np.hypot(x_m[None] - origin_x_m, y_m[:, None] - origin_y_m)
    group = np.digitize(distance_m, DISTANCE_EDGES_M)
    corridor = (np.abs(y_m[:, None]) < CORRIDOR_HALF_WIDTH_M) & (x_m[None] >= 0) & (x_m[None] < CORRIDOR_LENGTH_M)
    return _Places(distance_m, np.where(group < len(CELL_GROUPS), group, 0), corridor)


def _objects_of(label: Mapping[str, Any], gt_HW: npt.NDArray[np.uint8], places: _Places, cell_m: float) -> _Objects:
    flat = np.flatnonzero(gt_HW == OBSTACLE)
    ids = label["sem_seg"].get("object_id")
    id_HW = np.zeros(gt_HW.shape, np.int64) if ids is None else to_numpy(ids).squeeze(0).astype(np.int64)
    _, component_HW = cv2.connectedComponents(((gt_HW == OBSTACLE) & (id_HW == 0)).astype(np.uint8), connectivity=8)
    key = np.where(id_HW > 0, id_HW, -component_HW.astype(np.int64)).reshape(-1)[flat]
    keys, number, cells = np.unique(key, return_inverse=True, return_counts=True)
    distance_m = _reduce(np.minimum, places.distance_m.reshape(-1)[flat], number, len(keys))
    size_m = np.zeros(len(keys))
    for index in np.unravel_index(flat, gt_HW.shape):
        extent = _reduce(np.maximum, index, number, len(keys)) - _reduce(np.minimum, index, number, len(keys)) + 1
        size_m = np.maximum(size_m, extent * cell_m)
    if (listed := label.get("objects")) is not None:
        place_of = {int(key): place for place, key in enumerate(keys) if key > 0}
        for listed_id, listed_m in zip(to_numpy(listed["ids"]).tolist(), to_numpy(listed["size_m"]).tolist(), strict=True):
            if listed_id in place_of:
                size_m[place_of[listed_id]] = listed_m
    bins = [
        (distance_m >= near) & (distance_m < far) for near, far in zip(DISTANCE_EDGES_M, DISTANCE_EDGES_M[1:], strict=False)
    ]
    small = size_m < SMALL_M
    sizes = [small, ~small & (size_m < MEDIUM_M), size_m >= MEDIUM_M]
    in_group = np.stack([np.ones(len(keys), bool), *bins, *sizes, small & (distance_m < SMALL_RANGE_M)])
    return _Objects(flat, number, cells, in_group)


def _reduce(operation: np.ufunc, values: npt.NDArray[Any], number: IntArray, count: int) -> npt.NDArray[np.float64]:
    start = np.inf if operation is np.minimum else -np.inf
    reduced = np.full(count, start)
    operation.at(reduced, number, values)
    return reduced


def _count(gt_HW: npt.NDArray[np.uint8], found_HW: BoolMask, places: _Places, objects: _Objects, has_free: bool) -> _Counts:
    counts_HW = gt_HW != IGNORE_INDEX
    index = 4 * places.group + 2 * gt_HW + found_HW
    cells = np.bincount(index[counts_HW], minlength=4 * len(CELL_GROUPS)).reshape(-1, 2, 2)
    # Group 0 held what lies beyond the last bin; from here on it holds everything.
    cells[0] = cells.sum(axis=0)

    hits = np.bincount(objects.number, found_HW.reshape(-1)[objects.flat], minlength=len(objects.cells))
    kinds = np.stack([np.ones_like(hits, bool), hits > 0, 2 * hits >= objects.cells])
    found_objects = (objects.in_group[:, None] & kinds).sum(axis=2)

    false_objects = np.zeros(len(CELL_GROUPS) + 1, np.int64)
    if has_free:
        positive = (found_HW & counts_HW).astype(np.uint8)
        number, component_HW, stats, _ = cv2.connectedComponentsWithStats(positive, connectivity=8)
        false = stats[:, cv2.CC_STAT_AREA] >= FALSE_OBJECT_CELLS
        false[0] = False
        false[component_HW[cv2.dilate((gt_HW == OBSTACLE).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0]] = False
        in_corridor = np.zeros(number, bool)
        in_corridor[component_HW[places.corridor]] = True
        flat = np.flatnonzero(positive)
        nearest_m = _reduce(np.minimum, places.distance_m.reshape(-1)[flat], component_HW.reshape(-1)[flat], number)
        bins = np.bincount(np.digitize(nearest_m[false], DISTANCE_EDGES_M), minlength=len(CELL_GROUPS))
        false_objects = np.array([false.sum(), *bins[1 : len(CELL_GROUPS)], (false & in_corridor).sum()])
    return _Counts(cells, found_objects, false_objects)


def _count_scores(gt_HW: npt.NDArray[np.uint8], score: Any) -> IntArray:
    if score is None:
        return np.zeros((2, NUM_SCORES), np.int64)
    counts_HW = gt_HW != IGNORE_INDEX
    bins = np.minimum((to_numpy(score).squeeze(0)[counts_HW] * NUM_SCORES).astype(np.int64), NUM_SCORES - 1)
    return np.bincount(gt_HW[counts_HW].astype(np.int64) * NUM_SCORES + bins, minlength=2 * NUM_SCORES).reshape(2, NUM_SCORES)


def _best(scores: IntArray) -> dict[str, float]:
    """Highest F1 and its threshold, of cells by label and score."""
    if not scores[OBSTACLE].any():
        return {"best_F1": UNDEFINED, "best_threshold": UNDEFINED}
    false_hits, hits = scores[:, ::-1].cumsum(axis=1)[:, ::-1]
    f1 = 2 * hits / (hits + false_hits + scores[OBSTACLE].sum())
    # From 0 on every cell would be an obstacle: no threshold that a head takes.
    best = 1 + int(f1[1:].argmax())
    return {"best_F1": float(f1[best]), "best_threshold": best / NUM_SCORES}


def _sum(counts: list[_Counts]) -> _Counts:
    return _Counts(
        sum((one.cells for one in counts), np.zeros((len(CELL_GROUPS), 2, 2), np.int64)),
        sum((one.objects for one in counts), np.zeros((len(OBJECT_GROUPS), 3), np.int64)),
        sum((one.false_objects for one in counts), np.zeros(len(CELL_GROUPS) + 1, np.int64)),
    )


def _numbers(
    counts: _Counts, num_sweeps: int, with_free: int, best: Mapping[str, float] | None = None
) -> dict[str, dict[str, float]]:
    """The ratios by group and name; ``with_free`` of the sweeps can tell false objects."""
    numbers: dict[str, dict[str, float]] = {group: {} for group in OBJECT_GROUPS}
    for group, ((free, false_hits), (misses, hits)) in zip(CELL_GROUPS, counts.cells.tolist(), strict=True):
        numbers[group] = {
            "IoU": _divide(hits, hits + false_hits + misses),
            "precision": _divide(hits, hits + false_hits),
            "recall": _divide(hits, hits + misses),
            "F1": _divide(2 * hits, 2 * hits + false_hits + misses),
            **(best if best and not group else {}),
            "num_labelled_cells": float(free + false_hits + misses + hits),
        }
    numbers[""]["num_sweeps"] = float(num_sweeps)
    for group, (total, found, half) in zip(OBJECT_GROUPS, counts.objects.tolist(), strict=True):
        numbers[group] |= {
            "object_recall_any": _divide(found, total),
            "object_recall_50": _divide(half, total),
            "num_objects": float(total),
        }
    *by_group, in_corridor = counts.false_objects.tolist()
    for group, total in zip(CELL_GROUPS, by_group, strict=True):
        numbers[group]["num_false_objects"] = _divide(total, with_free)
    numbers[""]["num_false_objects_corridor"] = _divide(in_corridor, with_free)
    return numbers


def _divide(numerator: int, denominator: int) -> float:
    return numerator / denominator if denominator else UNDEFINED
