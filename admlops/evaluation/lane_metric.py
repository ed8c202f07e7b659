"""IoU and F1 of a lane task, in pixels of the original image.

Lanes are thin (8 px per 720 rows), so that a marking found 4 px beside the truth loses two thirds of its IoU. Three protocols,
all summed over all samples before the ratio is taken; background is in no mean:

- ``IoU`` = TP / (TP + FP + FN) and ``F1`` = 2 TP / (2 TP + FP + FN) of a class's pixels; ``confusion`` says which pixels
  count;
- ``F1_tol``: a predicted pixel is right where a labelled pixel of its class lies within ``tolerance_px`` per 720 image rows
  (Euclidean distance), a labelled pixel is found where a predicted one does; precision = share of the predicted pixels that
  are right, recall = share of the labelled pixels that are found, F1 = their harmonic mean;
- ``any_lane``: the same three with all lane classes taken as one. A label of a category set or of a non-exhaustive class is a
  lane here; a predicted lane on background is wrong only where its class is exhaustively annotated, else the pixel is left out.

``mIoU``, ``F1``, ``F1_tol`` of the task are means over the lane classes for which they are defined; a class that is neither
labelled nor predicted has nan. ``accuracy`` = share of all pixels, background included, that are predicted right; background
on which a class is predicted that the source does not annotate exhaustively is left out.

Result: ``<task>/mIoU``, ``F1``, ``F1_tol``, ``accuracy``; ``<task>/<class>/IoU``, ``F1``, ``F1_tol``; the same three under
``<task>/any_lane``. Details: ``ConfusionDetails``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from admlops.errors import ConfigError
from admlops.evaluation.confusion import (
    FloatArray,
    IntArray,
    count_confusion,
    count_pairs,
    ratio,
    read_masks,
    true_and_false,
)
from admlops.evaluation.semantic_metric import ConfusionDetails
from admlops.evaluation.task_metric import MeasuredSample, TaskMetric, mean_of_defined, to_numpy
from admlops.registry import METRICS
from admlops.task_spec import IGNORE_INDEX, TaskKind, TaskSpec

BoolMask = npt.NDArray[np.bool_]

ANY_LANE = "any_lane"
"""Stands for a class name in the keys of the class-agnostic numbers."""

REFERENCE_ROWS = 720
"""Image rows for which lane widths and tolerances are given."""


@dataclass(frozen=True)
class _LaneCounts:
    """Pixel counts of one sample; row 0 of the tolerant counts is "any lane", row c is class c.

    Attributes:
        confusion: (K, K + 1).
        any_lane: (3,) true positives, false positives, false negatives.
        tolerant: (K, 4) predicted pixels that are right, predicted, labelled pixels that are found, labelled.
    """

    confusion: IntArray
    any_lane: IntArray
    tolerant: IntArray


@METRICS.register_module()
class LaneMetric(TaskMetric):
    """IoU, F1 and tolerant F1 of one lane task; see the module for the definitions.

    Args:
        task: Name, ``TaskSpec`` or fields of a lane task.
        tolerance_px: Distance at which a lane pixel still counts as found, per 720 rows of the original image.
    """

    kinds = (TaskKind.LANE,)

    def __init__(self, task: str | TaskSpec | Mapping[str, Any], tolerance_px: float = 4.0) -> None:
        super().__init__(task)
        if tolerance_px < 0:
            raise ConfigError("LaneMetric needs a tolerance", expected="tolerance_px >= 0", got=tolerance_px)
        self.tolerance_px = tolerance_px

    def measure(self, label: Mapping[str, Any], prediction: Mapping[str, Any], sample: MeasuredSample) -> _LaneCounts:
        """Count the pixels of one sample.

        Args:
            label: With ``sem_seg``, ``in_metric`` and ``class_exhaustive``.
            prediction: With ``data`` (1, H, W).
            sample: The sample.

        Returns:
            The counts.
        """
        gt_HW, pred_HW, in_metric = read_masks(self.task, label, prediction, sample.where)
        pairs = count_pairs(gt_HW, pred_HW)
        exhaustive = to_numpy(label["class_exhaustive"]).astype(bool)
        some_lane, last = slice(1, IGNORE_INDEX), self.task.num_channels
        hits, misses = pairs[some_lane, 1:last].sum(), pairs[some_lane, 0].sum()
        any_lane = np.array([hits, pairs[0, 1:last][exhaustive[1:]].sum(), misses], dtype=np.int64)

        radius_px = self.tolerance_px * gt_HW.shape[0] / REFERENCE_ROWS
        tolerant = np.zeros((last, 4), dtype=np.int64)
        seen = pred_HW != IGNORE_INDEX
        gt_lane = (gt_HW != 0) & (gt_HW != IGNORE_INDEX)
        pred_lane = (pred_HW != 0) & seen
        tolerant[0] = _count_near(gt_lane, pred_lane, seen, gt_lane | _table(exhaustive)[pred_HW] & (gt_HW == 0), radius_px)
        in_metric_HW = _table(in_metric)[gt_HW]
        for channel in np.flatnonzero(in_metric[1:]) + 1:
            if pairs[channel].any() or pairs[:, channel].any():
                tolerant[channel] = _count_near(gt_HW == channel, pred_HW == channel, seen, in_metric_HW, radius_px)
        return _LaneCounts(count_confusion(pairs, in_metric), any_lane, tolerant)

    def compute_metrics(self, results: list[_LaneCounts]) -> dict[str, float]:
        """Sum the samples' counts and take the ratios.

        Args:
            results: Counts of each labelled sample.

        Returns:
            Metrics without the task's prefix.
        """
        num_channels = self.task.num_channels
        confusion = sum((one.confusion for one in results), np.zeros((num_channels, num_channels + 1), dtype=np.int64))
        # Whether a lane lies where a source does not annotate its class, nobody knows: neither right nor wrong.
        confusion[0, num_channels] = 0
        self.details = ConfusionDetails(self.task, confusion)
        hits, false_hits, misses = true_and_false(confusion)
        # Row 0, background's place, holds "any lane" from here on.
        counts = np.stack([hits, false_hits, misses], axis=1)
        counts[0] = sum((one.any_lane for one in results), np.zeros(3, dtype=np.int64))
        hits_K, errors_K = counts[:, 0], counts[:, 1] + counts[:, 2]
        columns = {
            "IoU": ratio(hits_K, hits_K + errors_K),
            "F1": ratio(2 * hits_K, 2 * hits_K + errors_K),
            "F1_tol": _tolerant_f1(sum((one.tolerant for one in results), np.zeros((num_channels, 4), dtype=np.int64))),
        }
        metrics = {"mIoU" if name == "IoU" else name: mean_of_defined(column[1:]) for name, column in columns.items()}
        metrics["accuracy"] = float(ratio(hits.sum(), confusion.sum()))
        for index, class_name in enumerate((ANY_LANE, *self.task.classes)):
            metrics |= {f"{class_name}/{name}": float(column[index]) for name, column in columns.items()}
        return metrics


def _table(flags: BoolMask) -> BoolMask:
    table = np.zeros(256, dtype=bool)
    table[: len(flags)] = flags
    return table


def _count_near(
    gt: BoolMask, pred: BoolMask, gt_counts: BoolMask, pred_counts: BoolMask, radius_px: float
) -> tuple[int, int, int, int]:
    """Row of ``_LaneCounts.tolerant``; ``gt_counts`` and ``pred_counts`` say where ``gt`` and ``pred`` are counted."""
    x, y, width, height = cv2.boundingRect((gt | pred).astype(np.uint8))
    cut = (slice(y, y + height), slice(x, x + width))
    gt, pred = gt[cut], pred[cut]
    counted_gt, counted_pred = gt & gt_counts[cut], pred & pred_counts[cut]
    return (
        int((counted_pred & _grow(gt, radius_px)).sum()),
        int(counted_pred.sum()),
        int((counted_gt & _grow(pred, radius_px)).sum()),
        int(counted_gt.sum()),
    )


def _grow(mask: BoolMask, radius_px: float) -> BoolMask:
    """All pixels whose centre lies within ``radius_px`` of the centre of a pixel of the mask."""
    reach = int(radius_px)
    if reach == 0 or not mask.any():
        return mask
    offset = np.arange(-reach, reach + 1)
    disc = (offset[:, None] ** 2 + offset[None] ** 2 <= radius_px**2).astype(np.uint8)
    grown: BoolMask = cv2.dilate(mask.astype(np.uint8), disc).astype(bool)
    return grown


def _tolerant_f1(tolerant: IntArray) -> FloatArray:
    right, predicted, found, labelled = tolerant.T.astype(np.float64)
    precision = right / np.maximum(predicted, 1)
    recall = found / np.maximum(labelled, 1)
    harmonic = 2 * precision * recall / np.maximum(precision + recall, np.finfo(np.float64).tiny)
    return np.where(predicted + labelled > 0, harmonic, np.nan)
