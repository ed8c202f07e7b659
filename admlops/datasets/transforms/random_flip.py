"""Mirror an image left to right."""

from __future__ import annotations

from admlops.datasets.transforms import geometry
from admlops.datasets.transforms.geometry import Results
from admlops.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomFlip:
    """Exchange left and right; none of the camera tasks' classes knows its side. Padding stays on the right.

    Args:
        prob: Of flipping.
    """

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = prob

    def __call__(self, results: Results) -> Results:
        """Flip image and ``labels`` or leave them.

        Args:
            results: Of a sample.

        Returns:
            The same dict.
        """
        if results["rng"].random() < self.prob:
            geometry.mirror(results)
        return results
