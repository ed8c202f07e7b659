"""Give images of different sizes one size."""

from __future__ import annotations

from admlops.datasets.transforms import geometry
from admlops.datasets.transforms.geometry import Results
from admlops.errors import ConfigError
from admlops.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PadTo:
    """Pad on the right and below, with grey and ignored masks.

    Args:
        size_hw: To this (height, width) in px, or
        divisor: to the next multiples of this.

    Raises:
        ConfigError: Not exactly one of both is given, or an image is larger than ``size_hw``.
    """

    def __init__(self, size_hw: tuple[int, int] | None = None, divisor: int | None = None) -> None:
        if (size_hw is None) == (divisor is None):
            raise ConfigError("PadTo takes one target", expected="size_hw or divisor", got=(size_hw, divisor))
        self.size_hw = size_hw
        self.divisor = divisor

    def __call__(self, results: Results) -> Results:
        """Pad image and ``labels``.

        Args:
            results: Of a sample.

        Returns:
            The same dict.
        """
        h, w = results["img"].shape[:2]
        if self.divisor is not None:
            target = (-(-h // self.divisor) * self.divisor, -(-w // self.divisor) * self.divisor)
        else:
            target = (int(self.size_hw[0]), int(self.size_hw[1])) if self.size_hw else (h, w)
        if target[0] < h or target[1] < w:
            raise ConfigError("image larger than the padded size", where=results["record_where"], expected=target, got=(h, w))
        geometry.pad(results, target)
        return results
