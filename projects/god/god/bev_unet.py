"""The trunk: a U-net of plain 3x3 convolutions on the canvas, sums instead of concatenations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.model import BaseModule, ModuleList, Sequential
from torch import Tensor

from admlops.errors import ModelError
from admlops.layers import Add, ConvBnAct, FeatureInput, UpsampleTo
from admlops.models.backbones.vargnet_v2 import CONV_NORM_INIT
from god.registry import MODELS


@MODELS.register_module()
class BevUNet(BaseModule):
    """Ronneberger et al., arXiv 1505.04597, with sums; one operand of each is rectified, which keeps integers exact.

    Down: a level is two 3x3 convolutions, the first of stride 2 but for the finest. Up: a 1x1 convolution brings the coarser
    map to the finer level's channels; the doubled map and the level's lateral 1x1 convolution are summed; ReLU, and one 3x3
    convolution.

    Args:
        in_channels: Channels of the canvas.
        channels: Channels of the levels, the finest first.
        init_cfg: mmengine initialisation; Kaiming by default.

    Raises:
        ModelError: No level.
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int] = (32, 64, 96, 128),
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg or list(CONV_NORM_INIT))
        if not channels:
            raise ModelError("BevUNet needs at least one level", where="channels", got=channels)
        self.input = FeatureInput(in_channels)
        self.downs = ModuleList(
            Sequential(ConvBnAct(before, after, 3, stride=2 if level else 1), ConvBnAct(after, after, 3))
            for level, (before, after) in enumerate(zip((in_channels, *channels), channels, strict=False))
        )
        pairs = list(zip(channels, channels[1:], strict=False))
        self.reduces = ModuleList(ConvBnAct(coarse, fine, 1) for fine, coarse in pairs)
        self.laterals = ModuleList(ConvBnAct(fine, fine, 1, act=False) for fine, _ in pairs)
        self.upsamples = ModuleList(UpsampleTo() for _ in pairs)
        self.sums = ModuleList(Add(act=True) for _ in pairs)
        self.blocks = ModuleList(ConvBnAct(fine, fine, 3) for fine, _ in pairs)

    def forward(self, canvas_BCHW: Tensor) -> tuple[Tensor, ...]:
        """Compute the maps of all levels.

        Args:
            canvas_BCHW: Canvas ``(B, in_channels, H, W)``.

        Returns:
            Maps ``(B, channels[i], ceil(H / 2**i), ceil(W / 2**i))``, the finest first.
        """
        feat_BCHW = self.input(canvas_BCHW)
        levels = []
        for down in self.downs:
            feat_BCHW = down(feat_BCHW)
            levels.append(feat_BCHW)
        outputs = [feat_BCHW]
        for level in reversed(range(len(self.blocks))):
            lateral_BCHW = self.laterals[level](levels[level])
            climbed_BCHW = self.upsamples[level](self.reduces[level](feat_BCHW), lateral_BCHW)
            feat_BCHW = self.blocks[level](self.sums[level](climbed_BCHW, lateral_BCHW))
            outputs.append(feat_BCHW)
        return tuple(reversed(outputs))
