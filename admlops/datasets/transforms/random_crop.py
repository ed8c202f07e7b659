"""Cut a window of the training size out of an image."""

from __future__ import annotations

from admlops.datasets.transforms import geometry
from admlops.datasets.transforms.geometry import CutBoxRule, Results
from admlops.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomCrop:
    """Cut at a uniformly drawn place; pad what is smaller on the right and below (grey image, ignored masks).

    Boxes at the border follow ``geometry.CutBoxRule``: clipped; less than ``min_visible`` left: ignored; slivers below
    ``min_size_px``: dropped.

    Args:
        crop_hw: (height, width) in px.
        min_visible: See above.
        min_size_px: See above.
    """

    def __init__(self, crop_hw: tuple[int, int], min_visible: float = 0.3, min_size_px: float = 1.0) -> None:
        self.crop_hw = (int(crop_hw[0]), int(crop_hw[1]))
        self.rule = CutBoxRule(min_visible, min_size_px)

    def __call__(self, results: Results) -> Results:
        """Crop image and ``labels``, then pad.

        Args:
            results: Of a sample.

        Returns:
            The same dict.
        """
        h, w = results["img_shape"]
        top = int(results["rng"].integers(max(h - self.crop_hw[0], 0) + 1))
        left = int(results["rng"].integers(max(w - self.crop_hw[1], 0) + 1))
        geometry.crop(results, (top, left), self.crop_hw, self.rule)
        geometry.pad(results, self.crop_hw)
        return results
