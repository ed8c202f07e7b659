"""Hand a sweep and its boxes over to the transforms and the models of mmdet3d."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
import torch
from mmdet3d.structures import Box3DMode, LiDARInstance3DBoxes
from mmdet3d.structures.points import LiDARPoints

from admlops.datasets.transforms.geometry import Results
from admlops.datasets.transforms.load_labels import FRAMES, label_value
from admlops.errors import ConfigError, RecordError, nearest
from admlops.structures import LabelAvailability
from admlops.task_spec import TaskSpec
from god.point_cloud import PointCloud
from god.registry import TRANSFORMS
from god.transforms.load_bev_evidence import find_in_boxes

CENTRE = (0.5, 0.5, 0.5)
"""Where a record's z is in a box; mmdet3d's own is the middle of the bottom face."""


@TRANSFORMS.register_module()
class ToMmdet3d:
    """Set the keys that mmdet3d's transforms read; place it behind ``SanitizePoints`` and before the first of them.

    A loss of mmdet3d takes everything that is no box for background, and cannot be told otherwise. So training refuses samples
    whose labels do not say that of every class; points that nobody labelled (outside of ``labelled_region``, in ignored boxes)
    are taken away, so that there is nothing to be taken for background. In evaluation those in ignored boxes stay, and the
    metric knows the boxes.

    Args:
        task: Name of its detection task, one of the data set's.
        frame: ``"input"`` gives boxes to the loss, ``"original"`` to the metric.

    Raises:
        ConfigError: Unknown frame.
    """

    def __init__(self, task: str, frame: str = "input") -> None:
        if frame not in FRAMES:
            raise ConfigError("unknown frame", expected="input or original", got=repr(frame), remedy=nearest(frame, FRAMES))
        self.task = task
        self.frame = frame

    def __call__(self, results: Results) -> Results:
        """Set ``points``, ``box_type_3d``, ``box_mode_3d``, and ``gt_bboxes_3d`` with ``gt_labels_3d``, or ``eval_ann_info``.

        Args:
            results: Of a sample, with ``cloud``.

        Returns:
            The same dict.

        Raises:
            RecordError: The labels are of another kind or, in training, do not cover every class; names the record.
            ConfigError: The points were moved before.
        """
        if not np.array_equal(results["bev_from_points"], np.eye(3)):
            raise ConfigError("ToMmdet3d comes after points were moved", remedy="move them with the transforms of mmdet3d")
        label = results["record_labels"].get(self.task)
        spec: TaskSpec = results["task_specs"][self.task]
        cloud: PointCloud = results["cloud"]
        results["eval_ann_info"] = None
        if self.frame == "input":
            _require_all_classes(spec, label, results["record_where"])
        if label is not None:
            cloud = self._add_labels(results, cloud, spec, label)
        results["point_counts"] |= {"unlabelled": len(results["cloud"]) - len(cloud)}
        results["cloud"] = cloud
        results["points"] = LiDARPoints(torch.from_numpy(cloud.points_N4), points_dim=4)
        results["box_type_3d"] = LiDARInstance3DBoxes
        results["box_mode_3d"] = Box3DMode.LIDAR
        return results

    def _add_labels(self, results: Results, cloud: PointCloud, spec: TaskSpec, label: Mapping[str, Any]) -> PointCloud:
        where = results["record_where"]
        if "boxes_3d" not in label:
            raise RecordError(
                f"{spec.name} cannot be told from labels of this kind", where=where, expected="boxes_3d", got=", ".join(label)
            )
        availability = LabelAvailability.from_label(spec, label, where)
        values = [label_value(spec, name, availability, where) for name in label["categories"]]
        labels = np.array(values, dtype=np.int64)
        ignored = np.array(label.get("ignore", [False] * len(labels)), dtype=bool)
        boxes_M7 = np.array(label["boxes_3d"], dtype=np.float64).reshape(-1, 7)
        boxes_M7[:, 2] -= results["lidar"]["origin"][2]
        if "labelled_region" in label:
            region = shapely.Polygon(label["labelled_region"])
            cloud = cloud.select(shapely.contains_xy(region, cloud.points_N4[:, :2].astype(np.float64)))
        if self.frame == "original":
            results["eval_ann_info"] = {
                "bboxes_3d": _to_boxes(boxes_M7),
                "labels": labels,
                "ignore_flags": ignored,
                "in_metric": availability.in_metric,
            }
            return cloud
        results["gt_bboxes_3d"] = _to_boxes(boxes_M7[~ignored])
        results["gt_labels_3d"] = labels[~ignored]
        return cloud.select(find_in_boxes(cloud.points_N4, boxes_M7, ignored) >= 0)


def _to_boxes(boxes_M7: npt.NDArray[np.float64]) -> Any:
    return LiDARInstance3DBoxes(torch.from_numpy(boxes_M7.astype(np.float32)), origin=CENTRE)


def _require_all_classes(spec: TaskSpec, label: Mapping[str, Any] | None, where: object) -> None:
    if label is None:
        covered: tuple[str, ...] = ()
    else:
        availability = LabelAvailability.from_label(spec, label, where)
        covered = tuple(name for name, known in zip(spec.classes, availability.in_metric, strict=True) if known)
    if covered != spec.classes:
        raise RecordError(
            f"{spec.name}: a model of mmdet3d would take what this sample does not label for background",
            where=where,
            expected=f"labels that cover every {', every '.join(spec.classes)}",
            got=f"only every {', every '.join(covered)}" if covered else "no class that is labelled exhaustively",
            remedy=f"take {spec.name!r} out of the task_tags of this entry of the release, or train fewer classes",
        )
