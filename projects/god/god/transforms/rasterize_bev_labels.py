"""Turn labelled points into labelled cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from admlops.datasets.transforms.geometry import Results
from admlops.datasets.transforms.load_labels import FRAMES
from admlops.errors import ConfigError, nearest
from admlops.task_spec import IGNORE_INDEX
from god.bev_evidence import BevEvidence, BevRule
from god.bev_objects import BevAnnotation, list_objects, weigh_obstacles
from god.geometry import BevGrid
from god.point_cloud import PointCloud
from god.rasterize import (
    LabelledSweep,
    Mask,
    classes_of_boxes,
    fill_polygon,
    label_drivable,
    label_ground_classes,
    label_obstacles,
    label_polygons,
)
from god.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RasterizeBevLabels:
    """Label the cells of every task that the record labels, from the points as they are now. Rules: ``rasterize``.

    Args:
        grid: Of the labels, the same as in ``PackBevInputs``; a ``BevGrid`` or its fields.
        frame: ``"input"`` fills ``labels``, with weights for the loss: after the random transforms. ``"original"`` fills
            ``original_labels``, with objects for the metrics: the sweep must lie as recorded.

    Raises:
        ConfigError: Unknown frame.
    """

    def __init__(self, grid: BevGrid | Mapping[str, Any], frame: str = "input") -> None:
        if frame not in FRAMES:
            raise ConfigError("unknown frame", expected="input or original", got=repr(frame), remedy=nearest(frame, FRAMES))
        self.grid = BevGrid.of_config(grid)
        self.frame = frame

    def __call__(self, results: Results) -> Results:
        """Set ``labels`` or ``original_labels``.

        Args:
            results: Of a sample.

        Returns:
            The same dict.

        Raises:
            ConfigError: The sweep was moved, and ``frame`` is ``original``.
        """
        if self.frame == "original" and not np.array_equal(results["bev_from_points"], np.eye(3)):
            raise ConfigError(
                "RasterizeBevLabels(frame='original') comes after a transform that moves the points",
                remedy="evaluate without random transforms",
            )
        cloud: PointCloud = results["cloud"]
        sweeps: dict[str, LabelledSweep] = {}
        labels = {}
        for name, evidence in results["evidence"].items():
            if evidence.source not in sweeps:
                sweeps[evidence.source] = self._sweep_of(cloud, evidence)
            labels[name] = self._annotate(cloud, evidence, sweeps[evidence.source])
        results[FRAMES[self.frame]] = labels
        return results

    def _sweep_of(self, cloud: PointCloud, evidence: BevEvidence) -> LabelledSweep:
        xyz = cloud.points_N4[:, :3]
        if evidence.payload == "point_labels":
            classes = cloud.fields[evidence.class_field]
        else:
            instance = cloud.fields.get(evidence.instance_field, np.zeros(len(cloud), dtype=np.int64))
            classes = classes_of_boxes(self.grid, xyz, instance > 0, instance < 0)
        return LabelledSweep(self.grid, xyz, classes, cloud.origin_3, cloud.ego_radius_m)

    def _annotate(self, cloud: PointCloud, evidence: BevEvidence, sweep: LabelledSweep) -> BevAnnotation:
        mask = evidence.drop_unlabelled(self._label(cloud, evidence, sweep))
        annotation = BevAnnotation(mask, evidence.availability)
        if evidence.rule is not BevRule.OBSTACLES:
            return annotation
        if self.frame == "input":
            return replace(annotation, weight=weigh_obstacles(mask, self.grid.cell_m))
        instance = cloud.fields[evidence.instance_field]
        return replace(
            annotation, objects=list_objects(sweep, mask, instance, evidence.size_of_instance, evidence.has_instances)
        )

    def _label(self, cloud: PointCloud, evidence: BevEvidence, sweep: LabelledSweep) -> Mask:
        if evidence.payload == "polygons":
            return label_polygons(sweep, cloud.polygons[evidence.source], evidence.polygon_values, evidence.background)
        if evidence.rule is BevRule.DRIVABLE:
            return label_drivable(sweep)
        if evidence.rule is BevRule.GROUND_CLASSES:
            return label_ground_classes(sweep, evidence.values_of_classes)
        mask = label_obstacles(sweep, with_low_rays=evidence.payload == "point_labels")
        for corners in cloud.polygons.get(evidence.region_name, ()):
            mask[~fill_polygon(self.grid, corners)] = IGNORE_INDEX
        return mask
