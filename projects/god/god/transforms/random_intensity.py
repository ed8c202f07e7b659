"""Change how bright a sweep is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from admlops.datasets.transforms.geometry import Results
from god.point_cloud import PointCloud
from god.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomIntensity:
    """Multiply the intensities of a sweep by one factor, or erase them all: sensors differ in nothing as much.

    Args:
        erase_prob: Probability that all become 0.
        gain: Lowest and highest factor; the product is clipped at 1.
    """

    def __init__(self, erase_prob: float = 0.25, gain: tuple[float, float] = (0.7, 1.3)) -> None:
        self.erase_prob = erase_prob
        self.gain = gain

    def __call__(self, results: Results) -> Results:
        """Change column 3 of ``cloud``'s points.

        Args:
            results: Of a sample.

        Returns:
            The same dict.
        """
        rng = results["rng"]
        erase, factor = rng.random() < self.erase_prob, rng.uniform(*self.gain)
        cloud: PointCloud = results["cloud"]
        points_N4 = cloud.points_N4.copy()
        points_N4[:, 3] = 0.0 if erase else np.clip(points_N4[:, 3] * np.float32(factor), 0.0, 1.0)
        results["cloud"] = replace(cloud, points_N4=points_N4)
        return results
