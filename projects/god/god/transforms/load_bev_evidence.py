"""Read what a record says of its points, before any of them is dropped or moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from admlops.datasets.transforms.geometry import Results
from admlops.datasets.transforms.load_labels import label_value
from admlops.datasets.transforms.read_file import read_bytes, resolve_path
from admlops.errors import ConfigError, RecordError
from admlops.point_class import PointClass
from admlops.structures import LabelAvailability
from admlops.task_spec import TaskSpec
from god.bev_evidence import BevEvidence, BevRule, either_value, payload_of
from god.point_cloud import PointCloud
from god.registry import TRANSFORMS
from god.taxonomy import taxonomy_named

_IGNORED = -1


@TRANSFORMS.register_module()
class LoadBevEvidence:
    """Read the labels of every labelled task: classes and instances of points, boxes as the points in them, polygons.

    What points carry moves with them, so the random transforms need to know nothing of labels.
    """

    def __call__(self, results: Results) -> Results:
        """Set ``evidence`` and add fields and polygons to ``cloud``.

        Args:
            results: Of a sample.

        Returns:
            The same dict.

        Raises:
            RecordError: Labels of a wrong kind, unknown taxonomy, class or integer, or more or fewer integers than points;
                names the record.
            ConfigError: Points were dropped or moved before, or a task is none of the grid.
        """
        cloud: PointCloud = results["cloud"]
        if len(cloud) != results["point_counts"]["read"] or not np.array_equal(results["bev_from_points"], np.eye(3)):
            raise ConfigError("LoadBevEvidence comes after points were dropped or moved", remedy="put it after LoadPoints")
        results["evidence"] = {}
        for name, label in results["record_labels"].items():
            task: TaskSpec = results["task_specs"][name]
            rule = BevRule.of_task(task)
            payload = payload_of(task, rule, label, results["record_where"])
            availability = LabelAvailability.from_label(task, label, results["record_where"])
            source = f"{label['point_labels']} {label['taxonomy']}" if payload == "point_labels" else name
            evidence = BevEvidence(task, rule, availability, payload, source)
            _LOADERS[payload](results, evidence, label)
        return results


def _load_points(results: Results, evidence: BevEvidence, label: Mapping[str, Any]) -> None:
    cloud: PointCloud = results["cloud"]
    if evidence.class_field not in cloud.fields:
        classes, instances = _read_point_labels(results, label)
        fields = {**cloud.fields, evidence.class_field: classes, evidence.instance_field: instances}
        results["cloud"] = cloud = replace(cloud, fields=fields)
    if evidence.rule is BevRule.GROUND_CLASSES and either_value(evidence.task, evidence.availability) is None:
        unclear = int(np.count_nonzero(cloud.fields[evidence.class_field] == PointClass.DRIVEABLE))
        if unclear:
            raise RecordError(
                f"{evidence.task.name}: taxonomy {label['taxonomy']!r} does not tell road from parking",
                where=results["record_where"],
                expected='category_sets with a set of road and parking, such as {"driveable": ["road", "parking"]}',
                got=f"{unclear} points that are either, and sets {list(evidence.availability.set_names)}",
                remedy="add the set to the record's label",
            )
    has_instances = taxonomy_named(label["taxonomy"], results["record_where"]).has_instances
    results["evidence"][evidence.task.name] = replace(evidence, has_instances=has_instances)


def _read_point_labels(results: Results, label: Mapping[str, Any]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    where = results["record_where"]
    taxonomy = taxonomy_named(label["taxonomy"], where)
    path = resolve_path(results["base_dir"], label["point_labels"], results.get("profiles"))
    content = read_bytes(path, "file of point labels", where, may_be_empty=True)
    dtype, num_points = np.dtype(taxonomy.dtype), len(results["cloud"])
    if len(content) != num_points * dtype.itemsize:
        raise RecordError(
            "point labels do not match the sweep",
            where=where,
            expected=f"{num_points} integers of {8 * dtype.itemsize} bits ({taxonomy.name}), one a point",
            got=f"{path}, {len(content)} bytes, {len(content) / dtype.itemsize:g} integers",
            remedy="correct the path or the taxonomy of the record, or fetch the file again",
        )
    return taxonomy.read(np.frombuffer(content, dtype), path, where)


def _load_boxes(results: Results, evidence: BevEvidence, label: Mapping[str, Any]) -> None:
    cloud: PointCloud = results["cloud"]
    boxes = np.array(label["boxes_3d"], dtype=np.float64).reshape(-1, 7)
    boxes[:, 2] -= results["lidar"]["origin"][2]
    ignore = np.array(label.get("ignore", [False] * len(boxes)), dtype=bool)
    instances = find_in_boxes(cloud.points_N4, boxes, ignore)
    polygons = dict(cloud.polygons)
    if "labelled_region" in label:
        polygons[evidence.region_name] = (np.array(label["labelled_region"], dtype=np.float64),)
    results["cloud"] = replace(cloud, fields={**cloud.fields, evidence.instance_field: instances}, polygons=polygons)
    sizes_m = np.concatenate([[0.0], boxes[:, 3:6].max(axis=1, initial=0.0)])
    results["evidence"][evidence.task.name] = replace(evidence, size_of_instance=sizes_m)


def find_in_boxes(
    points_N4: npt.NDArray[np.float32], boxes: npt.NDArray[np.float64], ignore: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """Find the box of each point; where boxes overlap, the last one, those that count before ignored ones.

    Args:
        points_N4: Points, m; NaN lies in no box.
        boxes: (M, 7) x, y, z of the centre, length, width, height, yaw, in the points' frame.
        ignore: (M,) bool, boxes that do not count.

    Returns:
        (N,) 1 + number of the box, 0 in none, -1 in an ignored one.
    """
    instances = np.zeros(len(points_N4), dtype=np.int64)
    for i in np.argsort(~ignore, kind="stable"):
        x, y, z, length, width, height, yaw = boxes[i]
        near = np.flatnonzero(np.abs(points_N4[:, 0] - x) <= np.hypot(length, width) / 2)
        offset = points_N4[near, :3] - (x, y, z)
        along = offset[:, 0] * np.cos(yaw) + offset[:, 1] * np.sin(yaw)
        across = offset[:, 1] * np.cos(yaw) - offset[:, 0] * np.sin(yaw)
        inside = (np.abs(along) <= length / 2) & (np.abs(across) <= width / 2) & (np.abs(offset[:, 2]) <= height / 2)
        instances[near[inside]] = _IGNORED if ignore[i] else i + 1
    return instances


def _load_polygons(results: Results, evidence: BevEvidence, label: Mapping[str, Any]) -> None:
    cloud: PointCloud = results["cloud"]
    values = tuple(
        label_value(evidence.task, name, evidence.availability, results["record_where"]) for name in label["categories"]
    )
    polygons = tuple(np.array(corners, dtype=np.float64) for corners in label["polygons"])
    results["cloud"] = replace(cloud, polygons={**cloud.polygons, evidence.source: polygons})
    results["evidence"][evidence.task.name] = replace(evidence, polygon_values=values)


_LOADERS = {"point_labels": _load_points, "boxes_3d": _load_boxes, "polygons": _load_polygons}
