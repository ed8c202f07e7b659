"""Vary light and colour at the price of a table look-up."""

from __future__ import annotations

import cv2
import numpy as np

from admlops.datasets.transforms.geometry import Results
from admlops.registry import TRANSFORMS

# YIQ (NTSC) of B, G, R: Rec. 601 luma, and the plane in which hue is an angle.
_YIQ_FROM_BGR = np.array([[0.114, 0.587, 0.299], [-0.322, -0.274, 0.596], [0.312, -0.523, 0.211]])
_BGR_FROM_YIQ = np.linalg.inv(_YIQ_FROM_BGR)


@TRANSFORMS.register_module()
class Photometric:
    """Brightness, contrast, gamma and channel gain in one table; hue and saturation in one 3x3 matrix. No float HSV.

    Each amount is drawn uniformly from [-x, x] (gain and gamma: factor exp of that). Padding stays grey.

    Args:
        brightness: Offset in grey levels.
        contrast: Relative change about mid-grey 128.
        gamma: Log of the exponent.
        saturation: Relative change.
        hue_rad: Angle by which colours turn; greys and lightness stay.
        channel_gain: Log of each channel's factor: the colour of the light.
        prob: Of applying it at all.
    """

    def __init__(
        self,
        brightness: float = 24.0,
        contrast: float = 0.25,
        gamma: float = 0.2,
        saturation: float = 0.4,
        hue_rad: float = 0.1,
        channel_gain: float = 0.06,
        prob: float = 0.9,
    ) -> None:
        self.brightness = brightness
        self.contrast = contrast
        self.gamma = gamma
        self.saturation = saturation
        self.hue_rad = hue_rad
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
        amounts = rng.uniform(-1.0, 1.0, size=8)
        if not applied:
            return results
        offset = amounts[0] * self.brightness
        slope = 1.0 + amounts[1] * self.contrast
        exponent = np.exp(amounts[2] * self.gamma)
        saturation = 1.0 + amounts[3] * self.saturation
        hue_rad = amounts[7] * self.hue_rad
        gains = np.exp(amounts[4:7] * self.channel_gain)
        levels = 255.0 * (np.arange(256) / 255.0) ** exponent
        levels = (levels[:, None] * gains - 128.0) * slope + 128.0 + offset
        table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)

        h, w = results["img_shape"]
        turn = saturation * np.array([[np.cos(hue_rad), -np.sin(hue_rad)], [np.sin(hue_rad), np.cos(hue_rad)]])
        chroma = np.block([[np.ones((1, 1)), np.zeros((1, 2))], [np.zeros((2, 1)), turn]])
        mixing = (_BGR_FROM_YIQ @ chroma @ _YIQ_FROM_BGR).astype(np.float32)
        changed = cv2.LUT(cv2.transform(results["img"][:h, :w], mixing), table[None])
        if changed.shape == results["img"].shape:
            results["img"] = changed
        else:
            results["img"] = results["img"].copy()
            results["img"][:h, :w] = changed
        return results
