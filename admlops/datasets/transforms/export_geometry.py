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
    """Shrink by the pyramid's factor, then take the deployed model's window out of the image.

    Resize network: rows are cut off the top, columns padded on the right. 940x1824 -> 470x912 -> the top 22 rows cut -> 48
    columns padded -> 448x960.

    Crop network: ``ExportGeometry((448, 1216), pyramid_step=0, place_yx=(0.5, 0.5))`` cuts rows 136 to 583 and columns 32 to
    1247 out of 720x1280. Its far objects lie around the horizon, which a level camera has in its middle row; one that looks
    down has it higher: with the horizon in row r of h, ``place_yx[0] = (r - 224) / (h - 448)`` puts it in the window's middle.

    Pixels that are cut belong to no metric: masks are not compared there, boxes follow ``CutBoxRule`` (``PackMultiTask``).

    Args:
        input_hw: Input of the deployed model; ``None`` looks the original's size up in ``EXPORT_INPUTS_HW``.
        pyramid_step: Halvings of the image pyramid.
        place_yx: Parts, 0 to 1, of the superfluous rows and columns that are cut above and on the left of the window; a side
            that has too few is padded, below and on the right. ``None`` keeps the lowest rows and all columns, and refuses
            images for which that is impossible.

    Raises:
        ConfigError: ``place_yx`` is not within 0 and 1; no export size is known for an image; it is too small or too wide.
    """

    def __init__(
        self,
        input_hw: tuple[int, int] | None = None,
        pyramid_step: int = 1,
        place_yx: tuple[float, float] | None = None,
    ) -> None:
        if place_yx is not None and not all(0 <= part <= 1 for part in place_yx):
            raise ConfigError("ExportGeometry cannot place its window", expected="place_yx within 0 and 1", got=place_yx)
        self.input_hw = input_hw
        self.pyramid_step = pyramid_step
        self.place_yx = place_yx

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
        shrunk_hw = (original_hw[0] >> self.pyramid_step, original_hw[1] >> self.pyramid_step)
        if self.place_yx is None and (shrunk_hw[0] < input_hw[0] or shrunk_hw[1] > input_hw[1]):
            raise ConfigError(
                "the image does not fit the export input",
                where=results["record_where"],
                expected=f"after the pyramid at least {input_hw[0]} rows and at most {input_hw[1]} columns",
                got=f"{shrunk_hw[0]}x{shrunk_hw[1]}",
                remedy="give place_yx, to cut on all sides and pad what is too small",
            )
        place_yx = self.place_yx or (1.0, 0.0)
        top, left = (int(part * max(have - want, 0)) for part, have, want in zip(place_yx, shrunk_hw, input_hw, strict=True))
        geometry.resize(results, shrunk_hw)
        geometry.crop(results, (top, left), input_hw, CutBoxRule())
        geometry.pad(results, (int(input_hw[0]), int(input_hw[1])))
        return results
