"""Tiny networks and batches that the tests of models share."""

from __future__ import annotations

import numpy as np
import torch
from mmengine.logging import MMLogger
from mmengine.structures import InstanceData, PixelData

from admlops.structures import LabelAvailability, MultiTaskDataSample, TaskLabel
from admlops.structures.multi_task_data_sample import TaskElements
from admlops.task_spec import CAMERA_TASKS, TaskKind


def silence_init_weights():
    """Outside a Runner mmengine prints three lines a parameter."""
    MMLogger.get_current_instance().setLevel("ERROR")


def make_label(task_name, boxes=(), codes=(), ignore=None, mask=None, **keys):
    task = CAMERA_TASKS[task_name]
    availability = LabelAvailability.from_label(task, keys)
    label = TaskLabel(
        class_labelled=torch.from_numpy(availability.class_labelled),
        class_exhaustive=torch.from_numpy(availability.class_exhaustive),
        category_sets=torch.from_numpy(availability.category_sets),
        in_metric=torch.from_numpy(availability.in_metric),
    )
    if task.kind is TaskKind.DETECTION:
        label.instances = InstanceData(
            bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            labels=torch.tensor(codes, dtype=torch.long),
            ignore_flags=torch.tensor(ignore if ignore is not None else [False] * len(codes), dtype=torch.bool),
        )
    else:
        label.sem_seg = PixelData(data=torch.as_tensor(mask, dtype=torch.uint8)[None])
    return label


def make_sample(labels, hw=(64, 96), ori_shape=None, input_from_original=None, sample_id="s"):
    sample = MultiTaskDataSample(
        metainfo={
            "sample_id": sample_id,
            "source": "test",
            "ori_shape": ori_shape or hw,
            "img_shape": hw,
            "input_from_original": np.eye(3) if input_from_original is None else input_from_original,
        }
    )
    sample.gt = TaskElements()
    sample.gt.set_data(labels)
    return sample


def random_labels(seed, tasks=tuple(CAMERA_TASKS), hw=(64, 96)):
    rng = np.random.default_rng(seed)
    labels = {}
    for name in tasks:
        task = CAMERA_TASKS[name]
        if task.kind is TaskKind.DETECTION:
            low = rng.uniform(0, [hw[1] - 40, hw[0] - 40], (3, 2))
            boxes = np.concatenate([low, low + rng.uniform(6, 38, (3, 2))], axis=1)
            labels[name] = make_label(name, boxes.tolist(), rng.integers(0, task.num_channels, 3).tolist())
        else:
            labels[name] = make_label(name, mask=rng.integers(0, task.num_channels, hw))
    return labels


def detector_config(tasks=tuple(CAMERA_TASKS), **overrides):
    branches = {}
    for name in tasks:
        is_detection = CAMERA_TASKS[name].kind is TaskKind.DETECTION
        branches[name] = {"head": {"type": "CenterLtrbHead" if is_detection else "SegHead"}}
    return {
        "type": "MultiTaskDetector",
        "backbone": {"type": "VarGNetV2", "arch": "0.5x"},
        "neck": {"type": "VarGUNet", "in_channels": (16, 32, 64, 128), "out_channels": 32},
        "branches": branches,
        **overrides,
    }
