"""Thin out a sweep."""

from __future__ import annotations

from admlops.datasets.transforms.geometry import Results
from god.point_cloud import PointCloud
from god.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomPointDrop:
    """Drop a random share of the points: rain, dark paint, sensors of fewer beams.

    Args:
        max_share: Largest share; drawn evenly from 0.
    """

    def __init__(self, max_share: float = 0.2) -> None:
        self.max_share = max_share

    def __call__(self, results: Results) -> Results:
        """Drop points of ``cloud`` with all that belongs to them; count them in ``point_counts``.

        Args:
            results: Of a sample.

        Returns:
            The same dict.
        """
        cloud: PointCloud = results["cloud"]
        share = results["rng"].uniform(0.0, self.max_share)
        results["cloud"] = cloud.select(results["rng"].random(len(cloud)) >= share)
        results["point_counts"] |= {"thinned": len(cloud) - len(results["cloud"])}
        return results
