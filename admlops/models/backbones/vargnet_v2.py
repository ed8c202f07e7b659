"""VarGNetV2, the trunk of the camera network: variable group convolutions at five strides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mmengine.model import BaseModule, ModuleList, Sequential
from torch import Tensor

from admlops.errors import ModelError, nearest
from admlops.layers import ConvBnAct, NetworkInput, VarGBlock, VarGDownBlock
from admlops.registry import MODELS

STRIDES: Final = (2, 4, 8, 16, 32)
WIDTHS_AT_1X: Final = (32, 32, 64, 128, 256)
"""Channels at each of the strides."""
REPEATS: Final = (3, 7, 4)
"""Blocks at strides 8, 16 and 32, the downsampling one included."""
MULTIPLIERS: Final = {"0.25x": 0.25, "0.5x": 0.5, "0.75x": 0.75, "1x": 1.0, "1.25x": 1.25, "1.5x": 1.5}

# Fan-in, because torch's fan-out ignores groups and would start the group convolutions far too small.
CONV_NORM_INIT: Final = (
    {"type": "Kaiming", "layer": "Conv2d", "mode": "fan_in", "nonlinearity": "relu"},
    {"type": "Constant", "layer": "BatchNorm2d", "val": 1.0, "bias": 0.0},
)


@MODELS.register_module()
class VarGNetV2(BaseModule):
    """VarGNetV2: constant channels per group, 3/7/4 blocks at strides 8, 16 and 32.

    Papers: VarGNet (arXiv 1907.05653); blocks, widths and repeats as in VarGFaceNet (arXiv 1910.04985 and its authors' code): a
    stem convolution, a head block, then per stage one merged downsampling block and normal blocks that widen by 2.

    Deviations from the published network: no squeeze-and-excitation and ReLU instead of PReLU (integers come next); the stem
    has stride 2 (for faces of 112 x 112: 1); the head block is a full downsampling block like the others, because our heads
    read its stride 4 (published: one path, widening by 1; ``paper_head=True``); what follows stride 32 (embedding or
    classifier) is left out. Published counts contain those parts, at 112 x 112 or 224 x 224, and aren't comparable. Group
    base 8, counted by :func:`~admlops.models.complexity.count_complexity`:

    ========  ===============================  ==============  ==========  =================
    arch      channels at 2, 4, 8, 16, 32      ``paper_head``  parameters  MACs of 512 x 960
    ========  ===============================  ==============  ==========  =================
    ``0.5x``  16, 16, 32, 64, 128              no              757,008     1,424,916,480
    ``0.5x``  16, 16, 32, 64, 128              yes             749,776     1,208,647,680
    ``1x``    32, 32, 64, 128, 256             no              2,339,360   3,903,651,840
    ``1x``    32, 32, 64, 128, 256             yes             2,322,336   3,392,471,040
    ========  ===============================  ==============  ==========  =================

    The names of the established configs read ``vargnet_v2_g<group_base>g<upscale_group_base>_<arch>``:
    ``vargnet_v2_g8g8_0_5x`` is this trunk with ``arch="0.5x", group_base=8`` below a
    :class:`~admlops.models.necks.VarGUNet` with ``upscale_group_base=8``, ``vargnet_v2_g8g4_0_5x`` below one with 4.

    Shapes: input ``(B, 3, H, W)``, any H and W; output at stride s ``(B, C_s, ceil(H / s), ceil(W / s))``.

    Attributes:
        out_channels: Channels of each output.
        out_strides: Stride of each output.

    Args:
        arch: Width multiplier, one of ``MULTIPLIERS``.
        group_base: Input channels of each group.
        out_indices: Which of the strides 2, 4, 8, 16, 32 to return, as ascending indices 0 to 4; the last one ends the trunk.
        in_channels: Channels of the picture.
        paper_head: Whether the head block (stride 4) is the light one of VarGFaceNet.
        zero_init_residual: Whether residual branches start at 0.
        init_cfg: mmengine initialisation, e.g. ``dict(type="Pretrained", checkpoint=...)``; Kaiming by default.

    Raises:
        ModelError: Unknown ``arch``, impossible ``out_indices``, or a width that the group base does not divide.
    """

    def __init__(
        self,
        arch: str = "0.5x",
        group_base: int = 8,
        out_indices: Sequence[int] = (1, 2, 3, 4),
        in_channels: int = 3,
        paper_head: bool = False,
        zero_init_residual: bool = True,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg or list(CONV_NORM_INIT))
        if arch not in MULTIPLIERS:
            raise ModelError(
                "VarGNetV2 has no such width",
                where="arch",
                expected=sorted(MULTIPLIERS),
                got=arch,
                remedy=nearest(arch, MULTIPLIERS),
            )
        out_indices = tuple(out_indices)
        if not out_indices or list(out_indices) != sorted(set(out_indices) & set(range(len(STRIDES)))):
            raise ModelError(
                "VarGNetV2 cannot return these strides",
                where="out_indices",
                expected="ascending indices 0 to 4, for strides 2, 4, 8, 16 and 32",
                got=out_indices,
            )
        widths = tuple(int(width * MULTIPLIERS[arch]) for width in WIDTHS_AT_1X)
        self.out_indices = out_indices
        self.out_channels = tuple(widths[index] for index in out_indices)
        self.out_strides = tuple(STRIDES[index] for index in out_indices)

        self.network_input = NetworkInput()
        self.stem = ConvBnAct(in_channels, widths[0], 3, stride=2)
        block_options: dict[str, Any] = {"group_base": group_base, "zero_init_residual": zero_init_residual}
        head_options: dict[str, Any] = {"factor": 1, "merged": False} if paper_head else {}
        stages = [VarGDownBlock(widths[0], widths[1], **head_options, **block_options)]
        for num_blocks, narrow, wide in zip(REPEATS, widths[1:], widths[2:], strict=False):
            down = VarGDownBlock(narrow, wide, **block_options)
            stages.append(Sequential(down, *(VarGBlock(wide, **block_options) for _ in range(num_blocks - 1))))
        # Stages that nobody reads would be parameters without gradient, an error under DDP.
        self.stages = ModuleList(stages[: out_indices[-1]])

    def forward(self, image_BCHW: Tensor) -> tuple[Tensor, ...]:
        """Extract features.

        Args:
            image_BCHW: Pictures ``(B, in_channels, H, W)``, ``(pixel - 128) / 128``.

        Returns:
            One feature map ``(B, C, ceil(H / stride), ceil(W / stride))`` per entry of ``out_indices``.
        """
        feat_BCHW = self.stem(self.network_input(image_BCHW))
        feats = [feat_BCHW]
        for stage in self.stages:
            feat_BCHW = stage(feat_BCHW)
            feats.append(feat_BCHW)
        return tuple(feats[index] for index in self.out_indices)
