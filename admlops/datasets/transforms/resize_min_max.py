"""Scale an image until it touches a pair of bounds."""

from __future__ import annotations

from admlops.datasets.transforms import geometry
from admlops.datasets.transforms.geometry import Results
from admlops.errors import ConfigError, nearest
from admlops.registry import TRANSFORMS

RESIZE_TYPES = ("min_max_pairs",)


@TRANSFORMS.register_module()
class ResizeMinMax:
    """Keep the aspect ratio; scale = min(height / h, width / w), sides rounded to the nearest pixel.

    What shrinks to less than a half is halved before it is interpolated, see ``geometry.resize``.
    With (540, 1140): 720x1280 and 1080x1920 become 540x960, 940x1824 becomes 540x1048, 1080x2280 becomes 540x1140.

    Args:
        resize_hw: The two bounds, (height, width) in px.
        resize_type: ``"min_max_pairs"``, the rule above.

    Raises:
        ConfigError: Unknown ``resize_type``.
    """

    def __init__(self, resize_hw: tuple[int, int], resize_type: str = "min_max_pairs") -> None:
        if resize_type not in RESIZE_TYPES:
            expected = f"one of {', '.join(RESIZE_TYPES)}"
            remedy = nearest(resize_type, RESIZE_TYPES)
            raise ConfigError("unknown resize_type", expected=expected, got=repr(resize_type), remedy=remedy)
        self.resize_hw = (int(resize_hw[0]), int(resize_hw[1]))

    def size_of(self, original_hw: tuple[int, int]) -> tuple[int, int]:
        """Compute the size that an image becomes.

        Args:
            original_hw: (height, width) in px.

        Returns:
            (height, width) in px.
        """
        h, w = original_hw
        scale = min(self.resize_hw[0] / h, self.resize_hw[1] / w)
        return max(1, round(h * scale)), max(1, round(w * scale))

    def __call__(self, results: Results) -> Results:
        """Resize the image and ``labels``.

        Args:
            results: Of a sample.

        Returns:
            The same dict.
        """
        geometry.resize(results, self.size_of(results["img_shape"]))
        return results
