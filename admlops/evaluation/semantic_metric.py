"""IoU and accuracy of a semantic segmentation task, in pixels of the original image.

Definition, with TP, FP, FN counted over all pixels of all samples that count (see ``confusion`` for which do):

- ``IoU`` of a class = TP / (TP + FP + FN); nan where the class is neither labelled nor predicted on any pixel that counts;
- ``mIoU`` = mean over the classes whose IoU is defined;
- ``accuracy`` = share of the pixels that are predicted right.

Result: ``<task>/mIoU``, ``<task>/accuracy``, ``<task>/<class>/IoU``. Details: ``ConfusionDetails``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from admlops.evaluation.confusion import IntArray, count_confusion, count_pairs, ratio, read_masks, true_and_false
from admlops.evaluation.task_metric import MeasuredSample, TaskMetric, mean_of_defined
from admlops.registry import METRICS
from admlops.task_spec import TaskKind, TaskSpec


@dataclass(frozen=True)
class ConfusionDetails:
    """Counts of pixels.

    Attributes:
        task: The task, K channels.
        confusion: (K, K + 1): row = label, column = prediction, column K = predicted a class that the sample's source does not
            annotate.
    """

    task: TaskSpec
    confusion: IntArray


@METRICS.register_module()
class SemanticMetric(TaskMetric):
    """IoU of one semantic task; see the module for the definition.

    Args:
        task: Name, ``TaskSpec`` or fields of a semantic task.
    """

    kinds = (TaskKind.SEMANTIC,)

    def measure(self, label: Mapping[str, Any], prediction: Mapping[str, Any], sample: MeasuredSample) -> IntArray:
        """Count the pixels of one sample.

        Args:
            label: With ``sem_seg`` and ``in_metric``.
            prediction: With ``data`` (1, H, W).
            sample: The sample.

        Returns:
            (K, K + 1) counts.
        """
        gt_HW, pred_HW, in_metric = read_masks(self.task, label, prediction, sample.where)
        return count_confusion(count_pairs(gt_HW, pred_HW), in_metric)

    def compute_metrics(self, results: list[IntArray]) -> dict[str, float]:
        """Sum the samples' counts and take the ratios.

        Args:
            results: (K, K + 1) counts of each labelled sample.

        Returns:
            Metrics without the task's prefix.
        """
        num_channels = self.task.num_channels
        confusion = sum(results, np.zeros((num_channels, num_channels + 1), dtype=np.int64))
        self.details = ConfusionDetails(self.task, confusion)
        hits, false_hits, misses = true_and_false(confusion)
        iou_per_class = ratio(hits, hits + false_hits + misses)
        metrics = {"mIoU": mean_of_defined(iou_per_class), "accuracy": float(ratio(hits.sum(), confusion.sum()))}
        return metrics | {f"{name}/IoU": float(iou) for name, iou in zip(self.task.channels, iou_per_class, strict=True)}
