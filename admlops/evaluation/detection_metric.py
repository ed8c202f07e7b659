"""Average precision of a detection task, in pixels of the original image.

Definition: COCO's, computed by faster-coco-eval. Predictions of one class are matched to boxes of that class in the order of
their scores, at most ``max_dets`` an image and class; precision is made monotone and averaged over 101 recalls (0, 0.01 ... 1).
``AP50`` asks for IoU >= 0.5, ``AP`` is the mean over IoU 0.50, 0.55 ... 0.95; the task's value is the mean over its classes.

What is left out:

- a sample in which the task is not labelled;
- of a sample, every class that is outside its ``in_metric`` (not annotated, not exhaustive, or in a category set): its boxes
  and its predictions. Boxes that are labelled with a category set are left out with their classes;
- boxes with ``ignore_flags``: COCO's crowd regions, neither missed nor found; predictions that lie in one
  (intersection / prediction's area >= the IoU threshold) are no false positives.

A class without a single box that counts has no AP (nan) and is not in the mean; a class with boxes but without predictions
has 0.

Result: ``<task>/AP50``, ``<task>/AP``, ``<task>/<class>/AP50``, ``<task>/<class>/AP``. Details: ``DetectionDetails``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from faster_coco_eval import COCO, COCOeval_faster

from admlops.errors import ConfigError
from admlops.evaluation.task_metric import UNDEFINED, MeasuredSample, TaskMetric, mean_of_defined, to_numpy
from admlops.registry import METRICS
from admlops.task_spec import TaskKind, TaskSpec

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DetectionDetails:
    """Precision and recall at IoU 0.5.

    Attributes:
        task: The task, K classes.
        recall: (R,) the recalls at which precision is sampled.
        precision: (K, R) monotone precision; nan for a class without AP.
        score: (K, R) score at which that recall is reached, 0 where it is not reached; nan for a class without AP.
        num_boxes: (K,) boxes that count, without ignored ones.
        num_images: (K,) images in whose metric the class is.
    """

    task: TaskSpec
    recall: FloatArray
    precision: FloatArray
    score: FloatArray
    num_boxes: IntArray
    num_images: IntArray


@dataclass(frozen=True)
class _ImageBoxes:
    """Boxes (N, 4) and predictions (M, 4), xyxy in original pixels, of the classes that are in the image's metric."""

    in_metric: npt.NDArray[np.bool_]
    gt_bboxes: npt.NDArray[np.float32]
    gt_labels: npt.NDArray[np.int16]
    gt_ignored: npt.NDArray[np.bool_]
    bboxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int16]


@METRICS.register_module()
class DetectionMetric(TaskMetric):
    """AP50 and AP of one detection task; see the module for the definition.

    Args:
        task: Name, ``TaskSpec`` or fields of a detection task.
        max_dets: Predictions of one class in one image that are counted, best first.
    """

    kinds = (TaskKind.DETECTION,)

    def __init__(self, task: str | TaskSpec | Mapping[str, Any], max_dets: int = 100) -> None:
        super().__init__(task)
        if max_dets < 1:
            raise ConfigError("DetectionMetric needs at least one detection an image", expected="max_dets >= 1", got=max_dets)
        self.max_dets = max_dets

    def measure(self, label: Mapping[str, Any], prediction: Mapping[str, Any], sample: MeasuredSample) -> _ImageBoxes:
        """Keep the boxes and predictions of the classes that are in the sample's metric.

        Args:
            label: With ``instances`` (``bboxes``, ``labels``, ``ignore_flags``) and ``in_metric``.
            prediction: With ``bboxes``, ``scores``, ``labels``.
            sample: The sample.

        Returns:
            The boxes as compact arrays.
        """
        in_metric = to_numpy(label["in_metric"]).astype(bool)
        instances = label["instances"]
        gt_labels = to_numpy(instances["labels"]).astype(np.int16).reshape(-1)
        labels = to_numpy(prediction["labels"]).astype(np.int16).reshape(-1)
        # Labels from K on are category sets; one more False makes them drop out without a second test.
        counts = np.append(in_metric, False)
        gt_keep = counts[np.minimum(gt_labels, len(in_metric))]
        keep = counts[np.minimum(labels, len(in_metric))]
        ignored = to_numpy(instances.get("ignore_flags", np.zeros(len(gt_labels), dtype=bool))).astype(bool)
        return _ImageBoxes(
            in_metric=in_metric,
            gt_bboxes=to_numpy(instances["bboxes"]).astype(np.float32).reshape(-1, 4)[gt_keep],
            gt_labels=gt_labels[gt_keep],
            gt_ignored=ignored[gt_keep],
            bboxes=to_numpy(prediction["bboxes"]).astype(np.float32).reshape(-1, 4)[keep],
            scores=to_numpy(prediction["scores"]).astype(np.float32).reshape(-1)[keep],
            labels=labels[keep],
        )

    def compute_metrics(self, results: list[_ImageBoxes]) -> dict[str, float]:
        """Run COCO's evaluation over all images.

        Args:
            results: One entry a labelled image.

        Returns:
            Metrics without the task's prefix.
        """
        evaluation = self._evaluate(results)
        precision: FloatArray = evaluation.eval["precision"][:, :, :, 0, 0]  # (T, R, K), -1 where undefined
        score: FloatArray = evaluation.eval["scores"][0, :, :, 0, 0]
        undefined = precision[0, 0] < 0
        ap_per_class = np.where(undefined, UNDEFINED, precision.mean(axis=(0, 1)))
        ap50_per_class = np.where(undefined, UNDEFINED, precision[0].mean(axis=0))
        num_classes = len(self.task.classes)
        num_boxes = np.zeros(num_classes, dtype=np.int64)
        num_images = np.zeros(num_classes, dtype=np.int64)
        for image in results:
            num_boxes += np.bincount(image.gt_labels[~image.gt_ignored], minlength=num_classes)
            num_images += image.in_metric
        self.details = DetectionDetails(
            task=self.task,
            recall=np.asarray(evaluation.params.recThrs, dtype=np.float64),
            precision=np.where(undefined[:, None], UNDEFINED, precision[0].T),
            score=np.where(undefined[:, None], UNDEFINED, score.T),
            num_boxes=num_boxes,
            num_images=num_images,
        )
        metrics = {"AP50": mean_of_defined(ap50_per_class), "AP": mean_of_defined(ap_per_class)}
        for name, ap50, ap in zip(self.task.classes, ap50_per_class, ap_per_class, strict=True):
            metrics |= {f"{name}/AP50": float(ap50), f"{name}/AP": float(ap)}
        return metrics

    def _evaluate(self, images: list[_ImageBoxes]) -> COCOeval_faster:
        truth: list[dict[str, Any]] = []
        found: list[dict[str, Any]] = []
        for image_id, image in enumerate(images, start=1):
            _append(truth, image_id, image.gt_bboxes, image.gt_labels, "iscrowd", image.gt_ignored.astype(int))
            _append(found, image_id, image.bboxes, image.labels, "score", image.scores.astype(np.float64))
        # One empty image where there is none keeps the library's path the same; it yields -1 everywhere.
        frame = {
            "images": [{"id": image_id} for image_id in range(1, max(len(images), 1) + 1)],
            "categories": [{"id": index, "name": name} for index, name in enumerate(self.task.classes)],
        }
        evaluation = COCOeval_faster(
            COCO({**frame, "annotations": truth}), COCO({**frame, "annotations": found}), "bbox", print_function=_silent
        )
        evaluation.params.areaRng = [[0.0, 1e10]]
        evaluation.params.areaRngLbl = ["all"]
        evaluation.params.maxDets = [self.max_dets]
        evaluation.evaluate()
        evaluation.accumulate()
        return evaluation


def _append(
    annotations: list[dict[str, Any]],
    image_id: int,
    bboxes: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int16],
    extra_name: str,
    extra: npt.NDArray[Any],
) -> None:
    xyxy = bboxes.astype(np.float64)
    size_wh = xyxy[:, 2:] - xyxy[:, :2]
    rows = zip(
        np.hstack([xyxy[:, :2], size_wh]).tolist(), size_wh.prod(axis=1).tolist(), labels.tolist(), extra.tolist(), strict=True
    )
    for bbox, area, label, value in rows:
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": label,
                "bbox": bbox,
                "area": area,
                "iscrowd": 0,
                extra_name: value,
            }
        )


def _silent(*_: object) -> None:
    """The library's progress lines have no place in a training log."""
