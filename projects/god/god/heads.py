"""The head of a grid: classes of the cells seen from above.

Shape letters: B batch, K classes, f fold, H and W rows and columns of the grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement, PixelData
from torch import Tensor

from admlops.layers import ConvBnAct
from admlops.models.heads import MaskHead
from admlops.models.heads.base_task_head import Feats
from admlops.models.losses import masked_logits
from admlops.structures import OutputSpec, TensorSpec
from admlops.task_spec import TaskKind, TaskSpec
from god.registry import MODELS


@MODELS.register_module()
class BevHead(MaskHead):
    """A 3x3 convolution, then the logits of the fold x fold cells that each place of the map stands for.

    The raw output keeps them as channels, ``class * fold * fold + row * fold + column``; bringing them to the grid
    (``pixel_shuffle``) and the argmax are decoding, outside of integers.

    Attributes:
        fold: Cells a side that a place of the feature map stands for.
        tower: The convolution before the logits.
        logits: 1x1 convolution to K * fold * fold logits.

    Args:
        task: The semantic task, on the cells of a grid.
        in_channels: Channels of the feature map.
        fold: Cells a side that a place of the feature map stands for, as the encoder has it.
        class_weights: Weight of each class; equal by default. A label's own weights are multiplied to them.
        dice_weight: Weight of the Dice loss of the classes.
        init_cfg: mmengine initialisation.
    """

    kinds = (TaskKind.SEMANTIC,)

    def __init__(
        self,
        task: TaskSpec,
        in_channels: int = 32,
        fold: int = 2,
        class_weights: Sequence[float] | None = None,
        dice_weight: float = 1.0,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(task, 1, class_weights or [1.0] * task.num_channels, dice_weight, init_cfg)
        self.fold = fold
        self.tower = ConvBnAct(in_channels, in_channels, 3)
        start = {"type": "Normal", "layer": "Conv2d", "std": 0.01, "bias": 0.0}
        num_logits = task.num_channels * fold * fold
        self.logits = ConvBnAct(in_channels, num_logits, 1, norm=False, act=False, init_cfg=start)

    def forward(self, feats: Feats) -> tuple[Tensor, ...]:
        """Compute the logits.

        Args:
            feats: One level, (B, C, H / f, W / f).

        Returns:
            Logits (B, K * f * f, H / f, W / f), alone in a tuple.
        """
        return (self.logits(self.tower(feats[0])),)

    def output_spec(self) -> OutputSpec:
        """Describe the raw output and its decoding.

        Returns:
            Decoding ``argmax`` with the parameter ``fold``.
        """
        tensor = TensorSpec(f"{self.task.name}.logits", self.task.num_channels * self.fold * self.fold, self.fold)
        return OutputSpec(self.task, (tensor,), "argmax", {"fold": self.fold})

    def loss_logits(self, raw: Tensor, loss_hw: tuple[int, int]) -> Tensor:
        """Bring the logits to the grid.

        Args:
            raw: Logits (B, K * f * f, H / f, W / f).
            loss_hw: Rows and columns of the grid.

        Returns:
            (B, K, *loss_hw) logits.
        """
        return F.pixel_shuffle(raw, self.fold)[..., : loss_hw[0], : loss_hw[1]]

    def interpret(
        self, raw: Sequence[Tensor], metas: Sequence[Mapping[str, Any]], input_hw: tuple[int, int], allowed_K: Tensor
    ) -> list[BaseDataElement]:
        """Classify the cells.

        Args:
            raw: Logits (B, K * f * f, H / f, W / f), alone.
            metas: Metainfo a sample, unused.
            input_hw: Rows and columns of the grid.
            allowed_K: (K,) bool, classes that may win.

        Returns:
            ``PixelData`` a sample: ``data`` (1, H, W) uint8; of a task of two classes ``score`` too, (1, H, W) float32, the
            probability of the second.
        """
        logits_BKHW = masked_logits(self.loss_logits(raw[0].float(), input_hw), allowed_K[None])
        # On a CPU argmax over channels takes ten times as long.
        classes_BHW = logits_BKHW.max(dim=1).indices.to(torch.uint8)
        found = [PixelData(data=classes_HW[None]) for classes_HW in classes_BHW]
        if self.task.num_channels == 2:
            for element, score_HW in zip(found, logits_BKHW.softmax(dim=1)[:, 1], strict=True):
                element.score = score_HW[None]
        return found
