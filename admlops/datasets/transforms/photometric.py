"""Vary light and colour at the price of a table look-up."""

from __future__ import annotations

import cv2
import numpy as np

from admlops.datasets.transforms.geometry import Results
from admlops.registry import TRANSFORMS

# Rec. 601 luma of B, G, R.
_LUMA = np.array([0.114, 0.587, 0.299], dtype=np.float32)


@TRANSFORMS.register_module()
class Photometric:
    """Brightness, contrast, gamma and channel gain in one table; saturation in one 3x3 colour matrix. No float HSV.

    Each amount is drawn uniformly from [-x, x] (gain and gamma: factor exp of that). Padding stays grey.

    Args:
        brightness: Offset in grey levels.
        contrast: Relative change about mid-grey 128.
        gamma: Log of the exponent.
        saturation: Relative change.
        channel_gain: Log of each channel's factor: the colour of the light.
        prob: Of applying it at all.
    """

    def __init__(
        self,
        brightness: float = 24.0,
        contrast: float = 0.25,
        gamma: float = 0.2,
        saturation: float = 0.4,
        channel_gain: float = 0.06,
        prob: float = 0.9,
    ) -> None:
        self.brightness = brightness
        self.contrast = contrast
        self.gamma = gamma
        self.saturation = saturation
        self.channel_gain = channel_gain
        self.prob = prob

    def __call__(self, results: Results) -> Results:
        """Change the image where it is not padding.

        Args:
            results: Of a sample.

        Returns:
            The same dict.
        """
        rng = results["rng"]
        applied = rng.random() < self.prob
        amounts = rng.uniform(-1.0, 1.0, size=7)
        if not applied:
            return results
        offset = amounts[0] * self.brightness
        slope = 1.0 + amounts[1] * self.contrast
        exponent = np.exp(amounts[2] * self.gamma)
        saturation = np.float32(1.0 + amounts[3] * self.saturation)
        gains = np.exp(amounts[4:7] * self.channel_gain)
        levels = 255.0 * (np.arange(256) / 255.0) ** exponent
        levels = (levels[:, None] * gains - 128.0) * slope + 128.0 + offset
        table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)

        h, w = results["img_shape"]
        mixing = saturation * np.eye(3, dtype=np.float32) + (np.float32(1.0) - saturation) * _LUMA
        changed = cv2.LUT(cv2.transform(results["img"][:h, :w], mixing), table[None])
        if changed.shape == results["img"].shape:
            results["img"] = changed
        else:
            results["img"] = results["img"].copy()
            results["img"][:h, :w] = changed
        return results
