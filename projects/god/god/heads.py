"""The head of a grid: classes of the cells seen from above.

Shape letters: B batch, K classes, f fold, H and W rows and columns of the grid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement, PixelData
from torch import Tensor

from admlops.errors import ModelError
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
        margin: By how much the second of two logits must be larger to win.
        tower: The convolution before the logits.
        logits: 1x1 convolution to K * fold * fold logits.

    Args:
        task: The semantic task, on the cells of a grid.
        in_channels: Channels of the feature map.
        fold: Cells a side that a place of the feature map stands for, as the encoder has it.
        class_weights: Weight of each class; equal by default. A label's own weights are multiplied to them.
        dice_weight: Weight of the Dice loss of the classes.
        threshold: Probability above which the second of two classes wins; exports keep it.
        init_cfg: mmengine initialisation.

    Raises:
        ModelError: The threshold is none, or there are more than two classes to choose from.
    """

    kinds = (TaskKind.SEMANTIC,)

    def __init__(
        self,
        task: TaskSpec,
        in_channels: int = 32,
        fold: int = 2,
        class_weights: Sequence[float] | None = None,
        dice_weight: float = 1.0,
        threshold: float = 0.5,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(task, 1, class_weights or [1.0] * task.num_channels, dice_weight, init_cfg)
        if not 0 < threshold < 1 or (threshold != 0.5 and task.num_channels != 2):
            raise ModelError(
                f"{task.name}: no threshold of a head",
                expected="a probability between 0 and 1, and a task of two classes",
                got=f"{threshold}, {task.num_channels} classes",
                remedy="leave threshold away: the class of the largest logit wins",
            )
        self.threshold = threshold
        self.margin = math.log(threshold / (1 - threshold))
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
            Decoding ``argmax`` with the parameters ``fold`` and, where it is not 0, ``margin``.
        """
        tensor = TensorSpec(f"{self.task.name}.logits", self.task.num_channels * self.fold * self.fold, self.fold)
        parameters = {"fold": self.fold} | ({"margin": self.margin} if self.margin else {})
        return OutputSpec(self.task, (tensor,), "argmax", parameters)

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
        if self.margin:
            classes_BHW = (logits_BKHW[:, 1] - self.margin > logits_BKHW[:, 0]).to(torch.uint8)
        else:
            # On a CPU argmax over channels takes ten times as long.
            classes_BHW = logits_BKHW.max(dim=1).indices.to(torch.uint8)
        found = [PixelData(data=classes_HW[None]) for classes_HW in classes_BHW]
        if self.task.num_channels == 2:
            for element, score_HW in zip(found, logits_BKHW.softmax(dim=1)[:, 1], strict=True):
                element.score = score_HW[None]
        return found
