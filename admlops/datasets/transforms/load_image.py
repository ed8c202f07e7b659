"""Read the image of a record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from admlops.datasets.transforms import geometry
from admlops.datasets.transforms.geometry import Results
from admlops.datasets.transforms.read_file import decode_image, read_bytes, recorded, resolve_path
from admlops.datasets.transforms.resize_min_max import ResizeMinMax
from admlops.registry import TRANSFORMS

_MAX_STEP = 8  # libjpeg makes no smaller pictures of blocks of 8x8


@TRANSFORMS.register_module()
class LoadImage:
    """Decode to (H, W, 3) uint8 BGR, as stored: a rotation noted in EXIF is not applied.

    Args:
        resize: A ``ResizeMinMax``, or a config of one, to apply at once, with ``labels`` where they are loaded before. Then
            a JPEG is decoded at a half, a quarter or an eighth where ``ResizeMinMax`` would halve it that often, for less
            time. It is the same picture but for a few grey levels, so metrics are better computed without.
    """

    def __init__(self, resize: ResizeMinMax | Mapping[str, Any] | None = None) -> None:
        self.resize: ResizeMinMax | None = TRANSFORMS.build(dict(resize)) if isinstance(resize, Mapping) else resize

    def __call__(self, results: Results) -> Results:
        """Set ``img``, ``img_path``, ``ori_shape``, ``img_shape`` and ``input_from_original``; move ``labels`` along.

        Args:
            results: Of a sample.

        Returns:
            The same dict.

        Raises:
            RecordError: The record has no image; the file is missing, truncated, no image, or not of the recorded size.
        """
        where = results["record_where"]
        image = recorded(results, "image")
        path = resolve_path(results["base_dir"], image["path"], results.get("profiles"))
        recorded_hw = (image["height"], image["width"])
        target_hw = recorded_hw if self.resize is None else self.resize.size_of(recorded_hw)
        step = _decode_step(recorded_hw, target_hw)
        results["img"] = decode_image(read_bytes(path, "image", where), path, where, recorded_hw, step)
        results["img_path"] = str(path)
        results["ori_shape"] = results["img_shape"] = recorded_hw
        results["input_from_original"] = np.eye(3)
        geometry.resize(results, target_hw)
        return results


def _decode_step(original_hw: tuple[int, int], target_hw: tuple[int, int]) -> int:
    step, hw = 1, original_hw
    while step < _MAX_STEP and geometry.can_halve(hw, target_hw):
        step, hw = step * 2, (hw[0] // 2, hw[1] // 2)
    return step
