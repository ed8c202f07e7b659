"""Read the sweep of a record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from admlops.datasets.transforms.geometry import Results
from admlops.datasets.transforms.read_file import read_bytes, recorded, resolve_path
from admlops.errors import RecordError, nearest
from god.point_cloud import PointCloud
from god.registry import TRANSFORMS

DTYPES = {"float16": "<f2", "float32": "<f4", "float64": "<f8"}
"""Types that a sweep may be stored in, little-endian."""


@TRANSFORMS.register_module()
class LoadPoints:
    """Read the file to (N, 4) float32 x, y, z, intensity; z becomes the height about the sensor, x and y stay as recorded.

    Intensity is 0 where the file has none, else ``intensity / intensity_max`` within 0..1. No point is dropped here, and
    what is not finite stays: see ``SanitizePoints``. A file of no points is a sweep like any other.
    """

    def __call__(self, results: Results) -> Results:
        """Set ``cloud``, ``lidar_path``, ``point_counts`` and ``bev_from_points``.

        Args:
            results: Of a sample.

        Returns:
            The same dict.

        Raises:
            RecordError: The record has no sweep, or the file is missing, of an unknown type or of a wrong size.
        """
        where = results["record_where"]
        lidar = recorded(results, "lidar")
        path = resolve_path(results["base_dir"], lidar["path"], results.get("profiles"))
        values = _decode(read_bytes(path, "sweep", where, may_be_empty=True), lidar, path, where)
        results["cloud"] = PointCloud.of_array(values, lidar["origin"], lidar.get("intensity_max", 1.0))
        results["lidar_path"] = str(path)
        results["point_counts"] = {"read": len(values)}
        results["bev_from_points"] = np.eye(3)
        return results


def _decode(content: bytes, lidar: Mapping[str, Any], path: object, where: object) -> npt.NDArray[np.floating[Any]]:
    if lidar["dtype"] not in DTYPES:
        raise RecordError(
            f"lidar.dtype: sweeps of {lidar['dtype']!r} cannot be read",
            where=where,
            expected=f"one of {', '.join(DTYPES)}",
            got=repr(lidar["dtype"]),
            remedy=nearest(lidar["dtype"], DTYPES),
        )
    dtype = np.dtype(DTYPES[lidar["dtype"]])
    point_bytes = dtype.itemsize * lidar["num_features"]
    if len(content) % point_bytes:
        raise RecordError(
            "sweep is no whole number of points",
            where=where,
            expected=f"a multiple of {point_bytes} bytes: {lidar['num_features']} values of {lidar['dtype']}",
            got=f"{path}, {len(content)} bytes",
            remedy="correct num_features or dtype of the record, or fetch the file again",
        )
    return np.frombuffer(content, dtype).reshape(-1, lidar["num_features"])
