"""Turn ``results`` into tensors for the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData

from admlops.datasets.transforms.geometry import Results
from admlops.datasets.transforms.pack_multi_task import to_task_label
from admlops.structures import MultiTaskDataSample, TaskLabel
from admlops.structures.multi_task_data_sample import TaskElements
from god.bev_objects import BevAnnotation
from god.geometry import BevGrid
from god.point_cloud import PointCloud
from god.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackBevInputs:
    """Last step of a pipeline: ``labels`` become ``gt``, ``original_labels`` become ``gt_original``.

    The grid is what an image is elsewhere: ``ori_shape`` and ``img_shape`` are its rows and columns.

    Args:
        grid: Of the network; a ``BevGrid`` or its fields.
    """

    def __init__(self, grid: BevGrid | Mapping[str, Any]) -> None:
        self.grid = BevGrid.of_config(grid)

    def __call__(self, results: Results) -> dict[str, Any]:
        """Pack a sample.

        Args:
            results: Of a sample.

        Returns:
            ``inputs``, a dict of ``points`` (N, 4) float32 and ``cell`` (N,) int64 (``num_cells`` outside of the grid), and
            ``data_samples``, a ``MultiTaskDataSample``.
        """
        cloud: PointCloud = results["cloud"]
        cell = self.grid.cell_of(cloud.points_N4)
        counts = results["point_counts"] | {"out_of_range": int(np.count_nonzero(cell == self.grid.num_cells))}
        sample = MultiTaskDataSample(
            metainfo={
                "sample_id": results["sample_id"],
                "source": results["source"],
                "lidar": results["lidar"],
                "lidar_path": results["lidar_path"],
                "grid": asdict(self.grid),
                "ori_shape": self.grid.shape,
                "img_shape": self.grid.shape,
                "input_from_original": np.eye(3),
                "origin": cloud.origin_3,
                "point_counts": counts,
                "bev_from_points": results["bev_from_points"],
            }
        )
        if "labels" in results:
            sample.gt = _to_elements(results["labels"])
        if "original_labels" in results:
            sample.gt_original = _to_elements(results["original_labels"])
        inputs = {"points": torch.from_numpy(cloud.points_N4), "cell": torch.from_numpy(cell)}
        return {"inputs": inputs, "data_samples": sample}


def _to_elements(labels: Mapping[str, BevAnnotation]) -> TaskElements:
    return TaskElements(**{name: _to_label(label) for name, label in labels.items()})


def _to_label(label: BevAnnotation) -> TaskLabel:
    packed = to_task_label(label)
    if label.weight is not None:
        packed.sem_seg.weight = torch.from_numpy(label.weight)[None]
    if label.objects is not None:
        packed.sem_seg.object_id = torch.from_numpy(label.objects.object_id)[None]
        packed.objects = InstanceData(
            ids=torch.from_numpy(label.objects.ids),
            size_m=torch.from_numpy(label.objects.size_m),
            distance_m=torch.from_numpy(label.objects.distance_m),
        )
    return packed
