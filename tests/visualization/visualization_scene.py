"""A made-up road with labels and predictions of all six tasks."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from mmengine.structures import InstanceData, PixelData

from admlops.structures import LabelAvailability, MultiTaskDataSample, TaskLabel
from admlops.structures.multi_task_data_sample import TaskElements
from admlops.task_spec import CAMERA_TASKS, TaskKind

BOXES = {
    "det_vehicle_sign": [
        (0, [380, 290, 470, 360]),
        (0, [560, 280, 700, 400]),
        (1, [770, 180, 800, 212]),
        (1, [300, 225, 312, 237]),
    ],
    "det_rear": [(0, [385, 295, 465, 358]), (1, [565, 285, 690, 395])],
    "det_person": [(0, [180, 300, 205, 370]), (0, [210, 305, 232, 368]), (0, [838, 290, 860, 352])],
    "det_cyclist_light": [(0, [760, 300, 810, 390]), (1, [500, 120, 508, 140]), (1, [516, 120, 524, 140])],
}


def make_image(height: int = 540, width: int = 960) -> np.ndarray:
    """BGR picture: sky, houses, road, grass, with some noise."""
    image = np.full((540, 960, 3), (200, 170, 140), np.uint8)
    cv2.rectangle(image, (0, 150), (330, 300), (90, 100, 120), -1)
    cv2.rectangle(image, (640, 120), (960, 290), (70, 90, 110), -1)
    cv2.rectangle(image, (0, 260), (960, 540), (60, 130, 90), -1)
    cv2.fillPoly(image, [np.array([[460, 250], [500, 250], [900, 540], [60, 540]])], (95, 95, 95))
    for boxes, color in zip(BOXES.values(), ((120, 60, 40), (40, 40, 90), (50, 70, 160), (30, 120, 200)), strict=True):
        for _, (x1, y1, x2, y2) in boxes:
            cv2.rectangle(image, (x1, y1), (x2, y2), color, -1)
    noise = np.random.default_rng(0).integers(0, 25, image.shape, dtype=np.uint8)
    return cv2.resize(cv2.add(image, noise), (width, height), interpolation=cv2.INTER_AREA)


def make_masks(shift: int = 0) -> dict[str, np.ndarray]:
    default = np.full((540, 960), 8, np.uint8)
    cv2.rectangle(default, (0, 150), (330 + shift, 300), 2, -1)
    cv2.rectangle(default, (640 - shift, 120), (960, 290), 2, -1)
    cv2.rectangle(default, (0, 260), (960, 540), 7, -1)
    cv2.fillPoly(default, [np.array([[400, 250], [560, 250], [960, 500], [960, 540], [0, 540], [0, 500]])], 1)
    cv2.fillPoly(default, [np.array([[460, 250], [500, 250], [900 + shift, 540], [60, 540]])], 0)
    for _, (x1, y1, x2, y2) in BOXES["det_vehicle_sign"][:2]:
        cv2.rectangle(default, (x1, y1), (x2 + shift, y2), 11, -1)
    lane = np.zeros((540, 960), np.uint8)
    for index, (top, bottom) in enumerate(((462, 80), (474, 330), (486, 610), (498, 880)), start=1):
        cv2.line(lane, (top, 252), (bottom + shift, 539), index, 6)
    return {"seg_default": default, "seg_lane": lane}


def make_label(task: str, keys: dict[str, object] | None = None) -> TaskLabel:
    spec = CAMERA_TASKS[task]
    known = LabelAvailability.from_label(spec, keys or {})
    label = TaskLabel()
    for name in ("class_labelled", "class_exhaustive", "category_sets", "in_metric"):
        setattr(label, name, torch.from_numpy(getattr(known, name)))
    if spec.kind is TaskKind.DETECTION:
        boxes = [(index, box) for index, box in BOXES[task] if known.class_labelled[index]]
        label.instances = InstanceData(
            bboxes=torch.tensor([box for _, box in boxes], dtype=torch.float32),
            labels=torch.tensor([index for index, _ in boxes]),
            ignore_flags=torch.tensor([i == 2 or box[0] == 770 for i, (_, box) in enumerate(boxes)]),
        )
    else:
        mask = make_masks()[task]
        if task == "seg_default":
            mask[500:, :200] = 255
        label.sem_seg = PixelData(data=torch.from_numpy(mask[None]))
    return label


def make_sample(unknown: tuple[str, ...] = ("det_rear",)) -> MultiTaskDataSample:
    sample = MultiTaskDataSample(metainfo={"sample_id": "000042", "source": "made_up", "ori_shape": (540, 960)})
    sample.gt_original, sample.pred = TaskElements(), TaskElements()
    keys = {"det_vehicle_sign": {"labelled_categories": ["traffic_sign"], "non_exhaustive_categories": ["traffic_sign"]}}
    rng = np.random.default_rng(1)
    for task, spec in CAMERA_TASKS.items():
        if task not in unknown:
            sample.gt_original.set_field(make_label(task, keys.get(task)), task)
        if spec.kind is TaskKind.DETECTION:
            boxes = [box for _, box in BOXES[task]]
            prediction = InstanceData(
                bboxes=torch.tensor(boxes, dtype=torch.float32) + torch.from_numpy(rng.normal(0, 2, (len(boxes), 4))).float(),
                scores=torch.linspace(0.95, 0.35, len(boxes)),
                labels=torch.tensor([index for index, _ in BOXES[task]]),
            )
        else:
            mask = make_masks(shift=8)[task]
            mask[:28] = 255
            prediction = PixelData(data=torch.from_numpy(mask[None]))
        sample.pred.set_field(prediction, task)
    return sample
