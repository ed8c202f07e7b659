"""Doubling of a feature map to the size of the finer one that it joins."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from admlops.errors import ModelError


class UpsampleTo(nn.Module):
    """Nearest-neighbour doubling, cropped at the right and the bottom to the size of another map.

    A stride-2 convolution makes ``ceil(H / 2)`` rows of ``H``, so doubling gives ``H`` or ``H + 1`` of them: pictures need not
    be multiples of the network's stride (1140, 540, 1048). Nearest keeps integers and their scale.
    """

    def forward(self, feat_BCHW: Tensor, like_BCHW: Tensor) -> Tensor:
        """Double a map and crop it.

        Args:
            feat_BCHW: Coarse feature map ``(B, C, H, W)``.
            like_BCHW: Finer feature map ``(B, *, 2H or 2H - 1, 2W or 2W - 1)``; only its size is used.

        Returns:
            Feature map ``(B, C, H', W')`` of the finer map's size.

        Raises:
            ModelError: The other map isn't the next finer level.
        """
        height, width = like_BCHW.shape[-2:]
        doubled_height, doubled_width = 2 * feat_BCHW.shape[-2], 2 * feat_BCHW.shape[-1]
        if not (0 <= doubled_height - height <= 1 and 0 <= doubled_width - width <= 1):
            raise ModelError(
                "UpsampleTo doubles a map to the next finer level, these two are not neighbours",
                expected=f"a map of {doubled_height} x {doubled_width}, or one row or column less",
                got=f"{height} x {width}",
                remedy="pass neighbouring levels (strides s and s / 2) of the same picture",
            )
        doubled_BCHW = F.interpolate(feat_BCHW, scale_factor=2, mode="nearest")
        return doubled_BCHW[..., :height, :width]
