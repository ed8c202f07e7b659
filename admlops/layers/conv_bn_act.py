"""Convolution, normalisation and activation as one unit, the one that quantization folds and replaces."""

from __future__ import annotations

from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn

from admlops.errors import ModelError


class ConvBnAct(BaseModule):
    """``act(bn(conv(x)))`` with "same" padding for odd kernels: the output is ``ceil(size / stride)``.

    Attributes:
        conv: The convolution; it has a bias exactly where there is no normalisation.
        bn: The batch normalisation, or None (also once quantization has absorbed it).
        act: The ReLU, or None.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Side of the square kernel, odd.
        stride: Stride on both axes.
        groups: Groups of the convolution; must divide both channel counts.
        norm: Whether a batch normalisation follows.
        act: Whether a ReLU follows.
        init_cfg: mmengine initialisation, applied after the one of the modules around.

    Raises:
        ModelError: The kernel is even, or the groups do not divide the channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        groups: int = 1,
        norm: bool = True,
        act: bool = True,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if kernel_size % 2 == 0:
            raise ModelError("ConvBnAct needs an odd kernel, an even one shifts the map by half a pixel", got=kernel_size)
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ModelError(
                "The groups of a convolution must divide its channels",
                expected=f"a divisor of {in_channels} and of {out_channels}",
                got=groups,
            )
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, groups=groups, bias=not norm
        )
        self.bn = nn.BatchNorm2d(out_channels) if norm else None
        self.act = nn.ReLU(inplace=True) if act else None

    def forward(self, feat_BCHW: Tensor) -> Tensor:
        """Convolve, normalise, rectify.

        Args:
            feat_BCHW: Feature map ``(B, in_channels, H, W)``.

        Returns:
            Feature map ``(B, out_channels, ceil(H / stride), ceil(W / stride))``.
        """
        feat_BCHW = self.conv(feat_BCHW)
        if self.bn is not None:
            feat_BCHW = self.bn(feat_BCHW)
        if self.act is not None:
            feat_BCHW = self.act(feat_BCHW)
        return feat_BCHW
