"""Average precision of boxes seen from above, on the CPU: mmdet3d's own metrics of lidar boxes compile kernels for CUDA.

Definition: boxes and predictions of one class are matched by the IoU of their rectangles in x and y (turned by yaw, height left
out), predictions in the order of their scores, each with the box of highest IoU that is not matched yet and reaches the
threshold. Precision is made monotone and averaged over 40 recalls (1/40, 2/40 ... 1), as KITTI does since 2019. There are no
levels of difficulty: every labelled box counts, also one that the network's range leaves out.

What is left out: samples that do not label the task; of a sample, classes outside of its ``in_metric``; ignored boxes, and
predictions that match one of their class and nothing else.

Result: ``<task>/AP_bev``, ``<task>/<class>/AP_bev``, ``<task>/<class>/num_boxes``. A class without a box has no AP (nan).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from mmcv.ops import box_iou_rotated

from admlops.errors import ConfigError, nearest
from admlops.evaluation.task_metric import UNDEFINED, MeasuredSample, TaskMetric, mean_of_defined, to_numpy
from admlops.task_spec import TaskKind, TaskSpec
from god.registry import METRICS

RECALLS = 40


@dataclass(frozen=True)
class _Matches:
    """Predictions of one class in one sample that count, and how many boxes there were to be found."""

    scores: npt.NDArray[np.float64]
    found: npt.NDArray[np.bool_]
    num_boxes: int


@METRICS.register_module()
class BevBoxMetric(TaskMetric):
    """AP of one task's boxes seen from above; see the module for the definition.

    Args:
        task: Name, ``TaskSpec`` or fields of a detection task.
        iou: IoU that a match needs, by class.

    Raises:
        ConfigError: A class has no threshold, or a threshold no class.
    """

    kinds = (TaskKind.DETECTION,)

    def __init__(self, task: str | TaskSpec | Mapping[str, Any], iou: Mapping[str, float]) -> None:
        super().__init__(task)
        if odd := sorted(set(iou) ^ set(self.task.classes)):
            raise ConfigError(
                f"BevBoxMetric needs an IoU for each class: {odd[0]!r}",
                expected=", ".join(self.task.classes),
                got=", ".join(iou),
                remedy=nearest(odd[0], self.task.classes),
            )
        self.iou = [float(iou[name]) for name in self.task.classes]

    def process(self, data_batch: object, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Add one entry a sample.

        Args:
            data_batch: What the data loader gave.
            data_samples: ``Det3DDataSample.to_dict()`` of each sample, packed behind ``ToMmdet3d(frame="original")``.
        """
        name = self.task.name
        laid_out = []
        for sample in data_samples:
            label = sample.get("eval_ann_info")
            truth = {} if label is None else {name: label}
            laid_out.append({**sample, "gt_original": truth, "pred": {name: sample["pred_instances_3d"]}})
        super().process(data_batch, laid_out)

    def measure(self, label: Mapping[str, Any], prediction: Mapping[str, Any], sample: MeasuredSample) -> list[_Matches | None]:
        """Match the boxes of a sample, class by class.

        Args:
            label: ``bboxes_3d``, ``labels``, ``ignore_flags`` and ``in_metric``.
            prediction: ``bboxes_3d``, ``scores_3d`` and ``labels_3d``.
            sample: The sample.

        Returns:
            Matches of each class; None where the sample does not measure it.
        """
        truth, found = label["bboxes_3d"].bev.cpu(), prediction["bboxes_3d"].bev.cpu()
        scores, labels = to_numpy(prediction["scores_3d"]), to_numpy(prediction["labels_3d"])
        matches: list[_Matches | None] = []
        for number, threshold in enumerate(self.iou):
            if not label["in_metric"][number]:
                matches.append(None)
                continue
            of_class = label["labels"] == number
            order = np.flatnonzero(labels == number)
            order = order[np.argsort(-scores[order], kind="stable")]
            iou_PB = box_iou_rotated(found[torch.from_numpy(order)], truth[torch.from_numpy(of_class)]).numpy()
            matches.append(_match(iou_PB, scores[order], label["ignore_flags"][of_class], threshold))
        return matches

    def compute_metrics(self, results: list[list[_Matches | None]]) -> dict[str, float]:
        """Sum the samples up.

        Args:
            results: One entry a labelled sample.

        Returns:
            Metrics without the task's prefix.
        """
        metrics: dict[str, float] = {}
        precisions = []
        for number, name in enumerate(self.task.classes):
            matches = [entry[number] for entry in results]
            measured = [each for each in matches if each is not None]
            num_boxes = sum(each.num_boxes for each in measured)
            precisions.append(_average_precision(measured, num_boxes))
            metrics |= {f"{name}/AP_bev": precisions[-1], f"{name}/num_boxes": float(num_boxes)}
        return {"AP_bev": mean_of_defined(precisions), **metrics}


def _match(
    iou_PB: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], ignored: npt.NDArray[np.bool_], threshold: float
) -> _Matches:
    free = ~ignored
    found = np.zeros(len(scores), dtype=bool)
    counts = np.ones(len(scores), dtype=bool)
    for number, row in enumerate(iou_PB):
        reached = row >= threshold
        if (reached & free).any():
            free[np.argmax(np.where(reached & free, row, -1.0))] = False
            found[number] = True
        else:
            counts[number] = not (reached & ignored).any()
    return _Matches(scores[counts].astype(np.float64), found[counts], int(np.count_nonzero(~ignored)))


def _average_precision(matches: Sequence[_Matches], num_boxes: int) -> float:
    if num_boxes == 0:
        return UNDEFINED
    scores = np.concatenate([each.scores for each in matches])
    found = np.concatenate([each.found for each in matches])[np.argsort(-scores, kind="stable")]
    num_found = np.cumsum(found)
    precision = np.maximum.accumulate((num_found / np.arange(1, len(found) + 1))[::-1])[::-1]
    wanted = np.ceil(np.arange(1, RECALLS + 1) * num_boxes / RECALLS)
    first = np.searchsorted(num_found, wanted)
    reached = first < len(found)
    return float(precision[first[reached]].sum() / RECALLS)
