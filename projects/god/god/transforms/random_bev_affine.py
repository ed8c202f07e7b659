"""Turn, mirror, scale and shift a sweep."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from admlops.datasets.transforms.geometry import Results
from god.point_cloud import PointCloud
from god.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomBevAffine:
    """Mirror (y to -y), then turn about +z, then scale all three axes, then shift: points, sensor and polygons together.

    Args:
        rotation: Largest angle in rad; drawn evenly from both directions.
        flip: Probability of mirroring.
        scale: Lowest and highest factor.
        translation: Largest shift along x, y and z in m; z is the height of the sensor above the ground.
    """

    def __init__(
        self,
        rotation: float = np.pi,
        flip: float = 0.5,
        scale: tuple[float, float] = (0.95, 1.05),
        translation: tuple[float, float, float] = (0.0, 0.0, 0.0),
    ) -> None:
        self.rotation = rotation
        self.flip = flip
        self.scale = scale
        self.translation = translation

    def __call__(self, results: Results) -> Results:
        """Move ``cloud`` and set ``bev_from_points``.

        Args:
            results: Of a sample.

        Returns:
            The same dict.
        """
        rng = results["rng"]
        angle = rng.uniform(-self.rotation, self.rotation)
        mirror = -1.0 if rng.random() < self.flip else 1.0
        factor = rng.uniform(*self.scale)
        new_from_old = np.eye(4)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        new_from_old[:2, :2] = factor * turn @ np.diag([1.0, mirror])
        new_from_old[2, 2] = factor
        new_from_old[:3, 3] = rng.uniform(-1.0, 1.0, 3) * self.translation
        return move_sweep(results, new_from_old)


def move_sweep(results: Results, new_from_old: npt.NDArray[np.float64]) -> Results:
    """Move a sweep and note where it went.

    Args:
        results: Of a sample.
        new_from_old: (4, 4) similarity of x, y, z that leaves the z axis upright.

    Returns:
        The same dict.
    """
    cloud: PointCloud = results["cloud"]
    results["cloud"] = cloud.transform(new_from_old)
    results["bev_from_points"] = new_from_old[np.ix_([0, 1, 3], [0, 1, 3])] @ results["bev_from_points"]
    return results
