"""Variable group convolutions: the channels per group are fixed, the number of groups follows from the width.

Zhang et al., "VarGNet: Variable Group Convolutional Neural Network for Efficient Embedded Computing", arXiv 1907.05653; its
blocks as refined in Yan et al., "VarGFaceNet", arXiv 1910.04985, without squeeze-and-excitation and with ReLU instead of
PReLU, because neither sigmoid gates nor learned slopes are cheap in integers.

Shape letters: B batch, C channels, H and W rows and columns.
"""

from __future__ import annotations

from typing import Any

from mmengine.model import BaseModule
from torch import Tensor

from admlops.errors import ModelError
from admlops.layers.add import Add
from admlops.layers.conv_bn_act import ConvBnAct

ZERO_NORM_INIT = {"type": "Constant", "layer": "BatchNorm2d", "val": 0.0, "bias": 0.0}


class SeparableVarGConv(BaseModule):
    """A 3x3 group convolution that widens by ``factor``, then a pointwise convolution that mixes the groups.

    Each group reads ``group_base`` channels and writes ``group_base * factor``.

    Attributes:
        group: 3x3 group convolution ``in_channels -> in_channels * factor``, BN, ReLU.
        pointwise: 1x1 convolution ``in_channels * factor -> out_channels``, BN, ReLU if ``act``.

    Args:
        in_channels: Channels of the input, a multiple of ``group_base``.
        out_channels: Channels of the output.
        stride: Stride of the group convolution.
        group_base: Input channels of each group.
        factor: Widening between the two convolutions.
        act: Whether a ReLU follows the pointwise convolution.
        zero_init: Whether ``init_weights`` starts the last BN at 0, so that the output starts at 0.
        init_cfg: mmengine initialisation.

    Raises:
        ModelError: ``group_base`` does not divide ``in_channels``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        group_base: int = 8,
        factor: int = 2,
        act: bool = True,
        zero_init: bool = False,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if group_base < 1 or in_channels % group_base:
            raise ModelError(
                "The channels must be a multiple of the group base",
                expected=f"a multiple of {group_base}",
                got=in_channels,
                remedy="choose another group base or another width",
            )
        wide = in_channels * factor
        self.group = ConvBnAct(in_channels, wide, 3, stride, groups=in_channels // group_base)
        self.pointwise = ConvBnAct(wide, out_channels, 1, act=act, init_cfg=ZERO_NORM_INIT if zero_init else None)

    def forward(self, feat_BCHW: Tensor) -> Tensor:
        """Convolve within groups, then across them.

        Args:
            feat_BCHW: Feature map ``(B, in_channels, H, W)``.

        Returns:
            Feature map ``(B, out_channels, ceil(H / stride), ceil(W / stride))``.
        """
        mixed_BCHW: Tensor = self.pointwise(self.group(feat_BCHW))
        return mixed_BCHW


class VarGBlock(BaseModule):
    """Normal block: two separable variable group convolutions and an identity shortcut, at constant size and width.

    Attributes:
        first: Separable convolution with ReLU.
        second: Separable convolution without ReLU.
        add: Sum with the input, then ReLU.

    Args:
        channels: Channels of input and output.
        group_base: Input channels of each group.
        factor: Widening inside the separable convolutions.
        zero_init_residual: Whether ``init_weights`` starts the block as ``relu(x)``.
        init_cfg: mmengine initialisation.
    """

    def __init__(
        self,
        channels: int,
        group_base: int = 8,
        factor: int = 2,
        zero_init_residual: bool = True,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.first = SeparableVarGConv(channels, channels, 1, group_base, factor)
        self.second = SeparableVarGConv(channels, channels, 1, group_base, factor, act=False, zero_init=zero_init_residual)
        self.add = Add(act=True)

    def forward(self, feat_BCHW: Tensor) -> Tensor:
        """Refine a feature map.

        Args:
            feat_BCHW: Feature map ``(B, channels, H, W)``.

        Returns:
            Feature map of the same shape.
        """
        refined_BCHW: Tensor = self.add(self.second(self.first(feat_BCHW)), feat_BCHW)
        return refined_BCHW


class VarGDownBlock(BaseModule):
    """Downsampling block: halves the size and changes the width.

    Merged (the paper's): two parallel separable convolutions of stride 2 are summed, rectified and refined by a third, and a
    fourth of stride 2 is the shortcut. Not merged: one separable convolution of stride 2 instead of the parallel pair.

    Attributes:
        shortcut: Separable convolution of stride 2, without ReLU.
        first: Separable convolution of stride 2; without ReLU where merged.
        parallel: The second one of the pair, or None.
        merge: Sum of the pair, then ReLU, or None.
        second: Separable convolution of stride 1, without ReLU.
        add: Sum with the shortcut, then ReLU.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: Stride, 2 unless the block only widens.
        group_base: Input channels of each group.
        factor: Widening inside the separable convolutions.
        merged: Whether the parallel pair is used.
        zero_init_residual: Whether ``init_weights`` starts the block as ``relu(shortcut(x))``.
        init_cfg: mmengine initialisation.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 2,
        group_base: int = 8,
        factor: int = 2,
        merged: bool = True,
        zero_init_residual: bool = True,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.shortcut = SeparableVarGConv(in_channels, out_channels, stride, group_base, factor, act=False)
        self.first = SeparableVarGConv(in_channels, out_channels, stride, group_base, factor, act=not merged)
        self.parallel = SeparableVarGConv(in_channels, out_channels, stride, group_base, factor, act=False) if merged else None
        self.merge = Add(act=True) if merged else None
        self.second = SeparableVarGConv(
            out_channels, out_channels, 1, group_base, factor, act=False, zero_init=zero_init_residual
        )
        self.add = Add(act=True)

    def forward(self, feat_BCHW: Tensor) -> Tensor:
        """Halve a feature map.

        Args:
            feat_BCHW: Feature map ``(B, in_channels, H, W)``.

        Returns:
            Feature map ``(B, out_channels, ceil(H / stride), ceil(W / stride))``.
        """
        half_BCHW = self.first(feat_BCHW)
        if self.parallel is not None and self.merge is not None:
            half_BCHW = self.merge(half_BCHW, self.parallel(feat_BCHW))
        halved_BCHW: Tensor = self.add(self.second(half_BCHW), self.shortcut(feat_BCHW))
        return halved_BCHW
