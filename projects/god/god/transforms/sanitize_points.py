"""Drop points that say nothing, and count them."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import numpy as np

from admlops.datasets.transforms.geometry import Results
from admlops.errors import RecordError
from god.point_cloud import PointCloud
from god.registry import TRANSFORMS


@TRANSFORMS.register_module()
class SanitizePoints:
    """Drop points of which any value is NaN or infinite, then those on the vehicle that carries the sensor.

    One NaN would make every loss NaN. A sweep of which more than a share is not finite is refused rather than thinned out
    without a word: its dtype or number of features is likely recorded wrongly.

    Args:
        min_range_m: Radius of the ego disc about the sensor, in x and y; its cells are unknown in all labels.
        max_not_finite: Largest share of the points that may be NaN or infinite.
    """

    def __init__(self, min_range_m: float = 2.5, max_not_finite: float = 0.5) -> None:
        self.min_range_m = min_range_m
        self.max_not_finite = max_not_finite

    def __call__(self, results: Results) -> Results:
        """Drop points of ``cloud`` with all that belongs to them; count them in ``point_counts``.

        Args:
            results: Of a sample.

        Returns:
            The same dict.

        Raises:
            RecordError: Too many points are not finite; names the record.
        """
        cloud: PointCloud = results["cloud"]
        finite = reduce(np.logical_and, np.isfinite(cloud.points_N4.T))  # ten times as fast as all(axis=1)
        num_lost = len(cloud) - int(np.count_nonzero(finite))
        if num_lost > self.max_not_finite * len(cloud):
            raise RecordError(
                "too many points are not finite",
                where=results["record_where"],
                expected=f"at most {self.max_not_finite:.0%} with a NaN or infinite value",
                got=f"{num_lost} of {len(cloud)} points of {results['lidar_path']}",
                remedy="check lidar.dtype and num_features of the record, or raise max_not_finite of SanitizePoints",
            )
        if num_lost:
            cloud = cloud.select(finite)
        offset_m = cloud.points_N4[:, :2].astype(np.float64) - cloud.origin_3[:2]
        outside = (offset_m**2).sum(axis=1) >= self.min_range_m**2
        results["cloud"] = replace(cloud.select(outside), ego_radius_m=self.min_range_m)
        results["point_counts"] |= {"not_finite": num_lost, "ego": len(cloud) - len(results["cloud"])}
        return results
