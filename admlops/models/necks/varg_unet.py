"""The U-shaped neck: coarse features climb back to the finest stride and meet the trunk's on each floor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.model import BaseModule, ModuleList
from torch import Tensor

from admlops.errors import ModelError
from admlops.layers import Add, ConvBnAct, UpsampleTo, VarGBlock
from admlops.models.backbones.vargnet_v2 import CONV_NORM_INIT
from admlops.registry import MODELS


@MODELS.register_module()
class VarGUNet(BaseModule):
    """U-Net-like decoder (Ronneberger et al., arXiv 1505.04597) of variable group blocks, sums instead of concatenations.

    On each level, from the coarsest: a 1x1 convolution brings the trunk's map to ``out_channels``, the doubled coarser level is
    added, ReLU, then one normal block of VarGNet. In the sum only one operand is a bare convolution output (the other is the
    rectified coarser level), which is what keeps integer inference exact.

    Above ``VarGNetV2("0.5x")`` with 32 channels and ``upscale_group_base=8``: 62,720 parameters, 572,620,800 MACs for
    512 x 960; with ``upscale_group_base=4``: 44,288 and 384,614,400.

    Shapes: inputs ``(B, C_i, H_i, W_i)``, finest first, each size ``ceil`` of half the one before; outputs
    ``(B, out_channels, H_i, W_i)``. Heads read index 0 (stride 4); the coarser ones are there for heads with several levels.

    Args:
        in_channels: Channels of the trunk's maps, finest first (strides 4, 8, 16, 32).
        out_channels: Channels of all outputs.
        upscale_group_base: Input channels of each group in the blocks.
        zero_init_residual: Whether residual branches start at 0.
        init_cfg: mmengine initialisation; Kaiming by default.

    Raises:
        ModelError: No input level, or ``upscale_group_base`` does not divide ``out_channels``.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (16, 32, 64, 128),
        out_channels: int = 32,
        upscale_group_base: int = 8,
        zero_init_residual: bool = True,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg or list(CONV_NORM_INIT))
        if not in_channels:
            raise ModelError("VarGUNet needs at least one level", where="in_channels", got=in_channels)
        self.in_channels = tuple(in_channels)
        self.out_channels = out_channels
        coarsest = len(self.in_channels) - 1
        self.laterals = ModuleList(
            ConvBnAct(channels, out_channels, 1, act=level == coarsest) for level, channels in enumerate(self.in_channels)
        )
        self.upsamples = ModuleList(UpsampleTo() for _ in range(coarsest))
        self.fusions = ModuleList(Add(act=True) for _ in range(coarsest))
        self.blocks = ModuleList(
            VarGBlock(out_channels, upscale_group_base, zero_init_residual=zero_init_residual) for _ in self.in_channels
        )

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Fuse the levels from coarse to fine.

        Args:
            feats: The trunk's maps ``(B, in_channels[i], H_i, W_i)``, finest first.

        Returns:
            Fused maps ``(B, out_channels, H_i, W_i)``, finest first.

        Raises:
            ModelError: Another number of maps than the neck was built for.
        """
        if len(feats) != len(self.in_channels):
            raise ModelError(
                "VarGUNet got another number of feature maps than it was built for",
                expected=len(self.in_channels),
                got=len(feats),
                remedy="make the neck's in_channels agree with the trunk's out_indices",
            )
        coarsest = len(self.in_channels) - 1
        fused_BCHW = self.blocks[coarsest](self.laterals[coarsest](feats[coarsest]))
        outputs = [fused_BCHW]
        for level in reversed(range(coarsest)):
            lateral_BCHW = self.laterals[level](feats[level])
            climbed_BCHW = self.upsamples[level](fused_BCHW, lateral_BCHW)
            fused_BCHW = self.blocks[level](self.fusions[level](climbed_BCHW, lateral_BCHW))
            outputs.append(fused_BCHW)
        return tuple(reversed(outputs))
