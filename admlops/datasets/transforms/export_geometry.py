"""What a deployed model sees: the camera's image through the pyramid, cut and padded to a fixed input."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from admlops.datasets.transforms import geometry
from admlops.datasets.transforms.geometry import CutBoxRule, Results
from admlops.errors import ConfigError
from admlops.registry import TRANSFORMS

EXPORT_INPUTS_HW: Mapping[tuple[int, int], tuple[int, int]] = MappingProxyType(
    {(940, 1824): (448, 960), (1080, 1920): (512, 960), (1080, 2280): (512, 1140)}
)
"""Export input by original size, (height, width) in px, of the cameras that the resize network is deployed on."""


@TRANSFORMS.register_module()
class ExportGeometry:
    """Shrink by the pyramid's factor, cut rows off the top, pad columns on the right.

    940x1824 -> 470x912 -> the top 22 rows cut -> 48 columns padded -> 448x960. Rows that are cut belong to no metric.

    Args:
        input_hw: Input of the deployed model; ``None`` looks the original's size up in ``EXPORT_INPUTS_HW``.
        pyramid_step: Halvings of the image pyramid.

    Raises:
        ConfigError: No export size is known for an image, or the image is too small or too wide for it.
    """

    def __init__(self, input_hw: tuple[int, int] | None = None, pyramid_step: int = 1) -> None:
        self.input_hw = input_hw
        self.pyramid_step = pyramid_step

    def __call__(self, results: Results) -> Results:
        """Bring image and ``labels`` to the export input.

        Args:
            results: Of a sample.

        Returns:
            The same dict.
        """
        original_hw = tuple(results["ori_shape"])
        input_hw = self.input_hw or EXPORT_INPUTS_HW.get(original_hw)
        if input_hw is None:
            raise ConfigError(
                "no export input is known for this image size",
                where=results["record_where"],
                expected=f"one of {', '.join(f'{h}x{w}' for h, w in EXPORT_INPUTS_HW)} (h x w)",
                got=f"{original_hw[0]}x{original_hw[1]}",
                remedy="give ExportGeometry(input_hw=(h, w))",
            )
        half = (original_hw[0] >> self.pyramid_step, original_hw[1] >> self.pyramid_step)
        if half[0] < input_hw[0] or half[1] > input_hw[1]:
            raise ConfigError(
                "the image does not fit the export input",
                where=results["record_where"],
                expected=f"after the pyramid at least {input_hw[0]} rows and at most {input_hw[1]} columns",
                got=f"{half[0]}x{half[1]}",
            )
        geometry.resize(results, half)
        geometry.crop(results, (half[0] - input_hw[0], 0), (input_hw[0], half[1]), CutBoxRule())
        geometry.pad(results, (int(input_hw[0]), int(input_hw[1])))
        return results
