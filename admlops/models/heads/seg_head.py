"""Semantic segmentation and lanes: class logits at the stride of the finest level.

Shape letters: B batch, K channels, H and W rows and columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import Sequential
from mmengine.structures import BaseDataElement, PixelData
from torch import Tensor

from admlops.errors import ModelError
from admlops.layers import ConvBnAct, SeparableVarGConv
from admlops.models.heads.base_task_head import Feats
from admlops.models.heads.mask_head import MaskHead
from admlops.models.losses import masked_logits
from admlops.registry import MODELS
from admlops.structures import OutputSpec, TensorSpec
from admlops.task_spec import TaskKind, TaskSpec


@MODELS.register_module()
class SegHead(MaskHead):
    """A separable variable group convolution, a 3x3 group convolution and the class logits.

    The second block has no pointwise convolution of its own, the 1x1 to the logits mixes its groups: with it twelve classes
    would cost more than 15 % of the trunk.

    Attributes:
        tower: The convolutions before the logits.
        logits: 1x1 convolution to the K logits.

    Args:
        task: The semantic or lane task.
        in_channels: Channels of the feature map.
        stride: Input pixels a cell of the feature map.
        loss_stride: Input pixels a pixel of the loss; the stride divided by a power of two.
        group_base: Input channels of each group.
        foreground_weight: Weight of a lane pixel beside a background pixel's 1; by default 10 for lanes, 1 otherwise.
            With 4 lanes of 3 px were still all background where 10 had learned them.
        class_weights: Weight of each of the K channels instead.
        dice_weight: Weight of the Dice loss of the classes; by default 3 for lanes, 0 otherwise.
        init_cfg: mmengine initialisation.

    Raises:
        ModelError: ``class_weights`` are not K, or ``loss_stride`` does not divide ``stride``.
    """

    kinds = (TaskKind.SEMANTIC, TaskKind.LANE)

    def __init__(
        self,
        task: TaskSpec,
        in_channels: int = 32,
        stride: int = 4,
        loss_stride: int = 2,
        group_base: int = 8,
        foreground_weight: float | None = None,
        class_weights: Sequence[float] | None = None,
        dice_weight: float | None = None,
        init_cfg: Any = None,
    ) -> None:
        is_lane = task.kind is TaskKind.LANE
        if loss_stride < 1 or stride % loss_stride:
            raise ModelError("The loss's stride must divide the head's", expected=f"a divisor of {stride}", got=loss_stride)
        if foreground_weight is None:
            foreground_weight = 10.0 if is_lane else 1.0
        if dice_weight is None:
            dice_weight = 3.0 if is_lane else 0.0
        default = [1.0] * task.first_channel + [foreground_weight] * len(task.classes)
        super().__init__(task, loss_stride, class_weights or default, dice_weight, init_cfg)
        self.stride = stride
        self.tower = Sequential(
            SeparableVarGConv(in_channels, in_channels, 1, group_base, factor=1),
            ConvBnAct(in_channels, in_channels, 3, groups=in_channels // group_base),
        )
        start = {"type": "Normal", "layer": "Conv2d", "std": 0.01, "bias": 0.0}
        self.logits = ConvBnAct(in_channels, task.num_channels, 1, norm=False, act=False, init_cfg=start)

    def forward(self, feats: Feats) -> tuple[Tensor, ...]:
        """Compute the logits.

        Args:
            feats: One level, (B, C, H, W).

        Returns:
            Logits (B, K, H, W), alone in a tuple.
        """
        return (self.logits(self.tower(feats[0])),)

    def output_spec(self) -> OutputSpec:
        """Describe the raw output and its decoding.

        Returns:
            Decoding ``argmax``.
        """
        return OutputSpec(self.task, (TensorSpec(f"{self.task.name}.logits", self.task.num_channels, self.stride),), "argmax")

    def loss_logits(self, raw: Tensor, loss_hw: tuple[int, int]) -> Tensor:
        """Bring the logits to the resolution of the loss.

        Args:
            raw: Logits (B, K, H, W).
            loss_hw: Height and width of the targets.

        Returns:
            (B, K, *loss_hw) logits.
        """
        return self._upsample(raw, self.loss_stride, loss_hw)

    def _upsample(self, logits_BKHW: Tensor, stride: int, to_hw: tuple[int, int]) -> Tensor:
        """Interpolate by a whole factor and crop, so that cells stay where they are whatever the size."""
        scale = self.stride // stride
        if scale > 1:
            logits_BKHW = F.interpolate(logits_BKHW, scale_factor=scale, mode="bilinear", align_corners=False)
        return logits_BKHW[..., : to_hw[0], : to_hw[1]]

    def decode(self, logits_BKHW: Tensor, input_hw: tuple[int, int], allowed_K: Tensor) -> Tensor:
        """Take the best channel of each pixel; every operation exports.

        Args:
            logits_BKHW: Raw logits.
            input_hw: Height and width of the result.
            allowed_K: (K,) bool, channels that may win.

        Returns:
            (B, H, W) uint8 mask at input resolution.
        """
        logits_BKHW = self._upsample(masked_logits(logits_BKHW, allowed_K[None]), 1, input_hw)
        # On a CPU argmax over channels takes ten times as long.
        return logits_BKHW.max(dim=1).indices.to(torch.uint8)

    def interpret(
        self, raw: Sequence[Tensor], metas: Sequence[Mapping[str, Any]], input_hw: tuple[int, int], allowed_K: Tensor
    ) -> list[BaseDataElement]:
        """Segment.

        Args:
            raw: Logits (B, K, H, W), alone.
            metas: Metainfo a sample, unused.
            input_hw: Height and width of the padded batch, px.
            allowed_K: (K,) bool, channels that may win.

        Returns:
            ``PixelData`` a sample, over the whole padded input.
        """
        masks = self.decode(raw[0].float(), input_hw, allowed_K)
        return [PixelData(data=mask[None]) for mask in masks]
