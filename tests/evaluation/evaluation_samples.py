"""Samples as mmengine's Evaluator hands them to a metric."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData, PixelData

from admlops.structures import LabelAvailability, MultiTaskDataSample, TaskLabel
from admlops.structures.multi_task_data_sample import TaskElements
from admlops.task_spec import resolve_task

Sample = dict[str, Any]


def _sample(sample_id: object, task: str, label: TaskLabel | None, prediction: object) -> Sample:
    sample = MultiTaskDataSample(metainfo={"sample_id": sample_id, "source": "unit"})
    sample.gt_original = TaskElements()
    sample.pred = TaskElements()
    if label is not None:
        sample.gt_original.set_field(label, task)
    sample.pred.set_field(prediction, task)
    return sample.to_dict()


def _label(task: str, keys: dict[str, Any]) -> TaskLabel:
    known = LabelAvailability.from_label(resolve_task(task), keys)
    label = TaskLabel()
    label.class_labelled = torch.from_numpy(known.class_labelled)
    label.class_exhaustive = torch.from_numpy(known.class_exhaustive)
    label.category_sets = torch.from_numpy(known.category_sets)
    label.in_metric = torch.from_numpy(known.in_metric)
    return label


def detection_sample(
    sample_id: object,
    task: str,
    boxes: list[tuple[int, list[float]]] | None,
    found: list[tuple[int, list[float], float]],
    ignored: list[bool] | None = None,
    **keys: object,
) -> Sample:
    label = None
    if boxes is not None:
        label = _label(task, keys)
        label.instances = InstanceData(
            bboxes=torch.tensor([box for _, box in boxes], dtype=torch.float32).reshape(-1, 4),
            labels=torch.tensor([index for index, _ in boxes], dtype=torch.int64),
            ignore_flags=torch.tensor(ignored or [False] * len(boxes), dtype=torch.bool),
        )
    prediction = InstanceData(
        bboxes=torch.tensor([box for _, box, _ in found], dtype=torch.float32).reshape(-1, 4),
        scores=torch.tensor([score for *_, score in found], dtype=torch.float32),
        labels=torch.tensor([index for index, *_ in found], dtype=torch.int64),
    )
    return _sample(sample_id, task, label, prediction)


def mask_sample(sample_id: object, task: str, mask: Any, found: Any, **keys: object) -> Sample:
    label = None
    if mask is not None:
        label = _label(task, keys)
        label.sem_seg = PixelData(data=torch.from_numpy(np.asarray(mask, dtype=np.uint8)[None]))
    return _sample(sample_id, task, label, PixelData(data=torch.from_numpy(np.asarray(found, dtype=np.uint8)[None])))
