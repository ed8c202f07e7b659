"""Sweeps of a few cells, as the evaluator hands them to a metric and the hooks to a visualizer."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData, PixelData

from admlops.structures import LabelAvailability, MultiTaskDataSample, TaskLabel
from admlops.structures.multi_task_data_sample import TaskElements
from admlops.task_spec import resolve_task
from god.geometry import BevGrid


def grid_of(rows: int, cols: int, cell_m: float = 1.0, x_min_m: float = 0.0) -> BevGrid:
    """Ahead of the sensor, as far to the left as to the right."""
    return BevGrid(x_min_m=x_min_m, y_min_m=-rows * cell_m / 2, cell_m=cell_m, rows=rows, cols=cols)


def make_label(task: str, gt: Any, object_id: Any = None, sizes_m: dict[int, float] | None = None, **keys: Any) -> TaskLabel:
    known = LabelAvailability.from_label(resolve_task(task), keys)
    label = TaskLabel()
    for name in ("class_labelled", "class_exhaustive", "category_sets", "in_metric"):
        label.set_field(torch.from_numpy(getattr(known, name)), name)
    label.sem_seg = PixelData(data=torch.from_numpy(np.asarray(gt, np.uint8)[None]))
    if object_id is not None:
        label.sem_seg.object_id = torch.from_numpy(np.asarray(object_id, np.int32)[None])
    if sizes_m is not None:
        label.objects = InstanceData(ids=torch.tensor(list(sizes_m)), size_m=torch.tensor(list(sizes_m.values())))
    return label


def make_sweep(
    gt: Any,
    pred: Any,
    *,
    task: str = "god_base",
    score: Any = None,
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
    sample_id: str = "a",
    grid: BevGrid | None = None,
    **label: Any,
) -> MultiTaskDataSample:
    found = PixelData(data=torch.from_numpy(np.asarray(pred, np.uint8)[None]))
    if score is not None:
        found.score = torch.from_numpy(np.asarray(score, np.float32)[None])
    sample = MultiTaskDataSample(metainfo={"sample_id": sample_id, "source": "unit", "origin": origin})
    if grid is not None:
        sample.set_metainfo({"grid": asdict(grid)})
    sample.gt_original = TaskElements()
    if gt is not None:
        sample.gt_original.set_field(make_label(task, gt, **label), task)
    sample.pred = TaskElements()
    sample.pred.set_field(found, task)
    return sample


def batch_of(grid: BevGrid, *sweeps: Any) -> dict[str, Any]:
    """What the data loader gives of lists of points x, y, z."""
    clouds = [np.asarray(points, np.float32).reshape(-1, 3) for points in sweeps]
    points = [torch.from_numpy(np.pad(cloud, ((0, 0), (0, 1)))) for cloud in clouds]
    return {"inputs": {"points": points, "cell": [torch.from_numpy(grid.cell_of(cloud)) for cloud in clouds]}}
