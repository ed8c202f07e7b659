"""Turn ``results`` into tensors for the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.structures import InstanceData, PixelData

from admlops.datasets.task_annotation import DetectionAnnotation, TaskAnnotation
from admlops.datasets.transforms.geometry import CutBoxRule, Results, cut_boxes
from admlops.registry import TRANSFORMS
from admlops.structures import MultiTaskDataSample, TaskLabel, shown_window
from admlops.structures.multi_task_data_sample import TaskElements

META_KEYS = ("sample_id", "source", "img_path", "ori_shape", "img_shape", "input_from_original")


@TRANSFORMS.register_module()
class PackMultiTask:
    """Last step of a pipeline: ``labels`` become ``gt``, ``original_labels`` become ``gt_original``.

    Where the input shows a part of the original only (``ExportGeometry``), boxes of ``gt_original`` follow ``CutBoxRule`` at
    the border of that part, as they do in training: what the network does not see belongs to no metric.
    """

    def __call__(self, results: Results) -> dict[str, Any]:
        """Pack a sample.

        Args:
            results: Of a sample.

        Returns:
            ``inputs`` (3, H, W) uint8 BGR tensor and ``data_samples``, a ``MultiTaskDataSample``.
        """
        sample = MultiTaskDataSample(metainfo={key: results[key] for key in META_KEYS})
        if "labels" in results:
            sample.gt = _to_elements(results["labels"])
        if "original_labels" in results:
            sample.gt_original = _to_elements(_shown_labels(results))
        planes = np.empty((3, *results["img"].shape[:2]), dtype=np.uint8)
        cv2.split(results["img"], list(planes))  # ten times as fast as copying a transposed array
        return {"inputs": torch.from_numpy(planes), "data_samples": sample}


def _shown_labels(results: Results) -> Mapping[str, TaskAnnotation]:
    labels: Mapping[str, TaskAnnotation] = results["original_labels"]
    height, width = results["ori_shape"]
    window = shown_window(results["input_from_original"], results["img_shape"], (height, width))
    if window == (0, 0, width, height):
        return labels
    # Masks need no cut: predictions are 255 where the input shows nothing.
    return {
        name: cut_boxes(label, window, CutBoxRule()) if isinstance(label, DetectionAnnotation) else label
        for name, label in labels.items()
    }


def _to_elements(labels: Mapping[str, TaskAnnotation]) -> TaskElements:
    return TaskElements(**{name: to_task_label(label) for name, label in labels.items()})


def to_task_label(label: TaskAnnotation) -> TaskLabel:
    """Pack the labels of one task.

    Args:
        label: On the way through the transforms.

    Returns:
        As tensors.
    """
    available = label.availability
    out = TaskLabel(
        class_labelled=torch.from_numpy(available.class_labelled),
        class_exhaustive=torch.from_numpy(available.class_exhaustive),
        category_sets=torch.from_numpy(available.category_sets),
        in_metric=torch.from_numpy(available.in_metric),
    )
    if isinstance(label, DetectionAnnotation):
        out.instances = InstanceData(
            bboxes=torch.from_numpy(label.bboxes),
            labels=torch.from_numpy(label.labels),
            ignore_flags=torch.from_numpy(label.ignore_flags),
        )
    else:
        out.sem_seg = PixelData(data=torch.from_numpy(np.ascontiguousarray(label.mask))[None])
    return out
