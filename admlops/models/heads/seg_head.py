"""Semantic segmentation and lanes: class logits at the stride of the finest level.

Shape letters: B batch, K channels, H and W rows and columns, V = 256 mask values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from mmengine.model import Sequential
from mmengine.structures import BaseDataElement, PixelData
from torch import Tensor

from admlops.errors import ModelError
from admlops.layers import ConvBnAct, SeparableVarGConv
from admlops.models.heads.base_task_head import BaseTaskHead, Feats, HeadTargets, Losses, label_of, valid_hw
from admlops.models.losses import dice_loss, masked_logits, set_cross_entropy
from admlops.registry import MODELS
from admlops.structures import MultiTaskDataSample, OutputSpec, TaskLabel, TensorSpec
from admlops.task_spec import IGNORE_INDEX, TaskKind, TaskSpec

NUM_VALUES = 256


@dataclass(frozen=True)
class SegTargets(HeadTargets):
    """Targets of a batch at the resolution of the loss.

    Attributes:
        values: (B, H, W) int64 mask values, 255 where nothing is known.
        sets: (B, V, K) bool, the channels that a pixel of value v of sample b may be; an empty row means no loss.
        labelled: (B, K) bool, the channels of the softmax.
        exhaustive: (B, K) bool, the channels whose background is trusted.
        weights: (B, V) weight of each mask value.
    """

    values: Tensor
    sets: Tensor
    labelled: Tensor
    exhaustive: Tensor
    weights: Tensor


@MODELS.register_module()
class SegHead(BaseTaskHead):
    """A separable variable group convolution, a 3x3 group convolution and the class logits.

    The second block has no pointwise convolution of its own, the 1x1 to the logits mixes its groups: with it twelve classes
    would cost more than 15 % of the trunk.

    A pixel's loss is ``-log(sum of the probabilities of the classes it may be)``: its class, the members of its category set,
    on a lane task's background also every class that may be missing there. Classes that a sample does not label take no part
    in its softmax. The sum is divided by the summed weight of the labelled pixels of all ranks.

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
        super().__init__(task, init_cfg)
        is_lane = task.kind is TaskKind.LANE
        if loss_stride < 1 or stride % loss_stride:
            raise ModelError("The loss's stride must divide the head's", expected=f"a divisor of {stride}", got=loss_stride)
        if class_weights is not None and len(class_weights) != task.num_channels:
            raise ModelError(
                f"{task.name}: class_weights has the wrong length",
                expected=f"{task.num_channels} weights, for {', '.join(task.channels)}",
                got=len(class_weights),
            )
        self.stride = stride
        self.loss_stride = loss_stride
        self.dice_weight = (3.0 if is_lane else 0.0) if dice_weight is None else dice_weight
        if foreground_weight is None:
            foreground_weight = 10.0 if is_lane else 1.0
        default = [1.0] * task.first_channel + [foreground_weight] * len(task.classes)
        self.register_buffer("class_weights_K", torch.tensor(class_weights or default), persistent=False)
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

    def make_targets(self, samples: Sequence[MultiTaskDataSample], input_hw: tuple[int, int]) -> SegTargets:
        """Subsample the masks and say which channels each value may be.

        Args:
            samples: The batch.
            input_hw: Height and width of the padded batch, px.

        Returns:
            The targets; normalizers are the summed weight of labelled pixels and the number of pairs of the Dice loss.
        """
        device = self.logits.conv.weight.device
        step, num_channels = self.loss_stride, self.task.num_channels
        shape = (len(samples), -(-input_hw[0] // step), -(-input_hw[1] // step))
        values = torch.full(shape, IGNORE_INDEX, dtype=torch.uint8, device=device)
        sets = torch.zeros(len(samples), NUM_VALUES, num_channels, dtype=torch.bool, device=device)
        # A sample without labels keeps all channels: its softmax is computed, and ignored.
        labelled = torch.ones(len(samples), num_channels, dtype=torch.bool, device=device)
        exhaustive = torch.zeros_like(labelled)
        for index, sample in enumerate(samples):
            label = label_of(sample, self.task)
            if label is None:
                continue
            height, width = valid_hw(sample.metainfo, input_hw)
            mask = label.sem_seg.data[0, :height:step, :width:step]
            values[index, : mask.shape[0], : mask.shape[1]] = mask
            sets[index], labelled[index] = self._value_sets(label)
            exhaustive[index] = label.class_exhaustive
        values_BHW = values.long()
        sizes_BV = sets.sum(dim=2)
        weights_BV = (sets * self.class_weights_K).sum(dim=2) / sizes_BV.clamp(min=1)
        if self.task.kind is TaskKind.LANE:
            weights_BV[:, 0] = self.class_weights_K[0] * (sizes_BV[:, 0] > 0)
        counts_BV = torch.stack([torch.bincount(row, minlength=NUM_VALUES) for row in values_BHW.flatten(1)])
        pairs_BK = (counts_BV[:, :num_channels] > 0) & exhaustive
        num_pairs = pairs_BK[:, self.task.first_channel :].sum().float()
        normalizers = torch.stack([(counts_BV * weights_BV).sum(), num_pairs])
        return SegTargets(normalizers, values_BHW, sets, labelled, exhaustive, weights_BV)

    def _value_sets(self, label: TaskLabel) -> tuple[Tensor, Tensor]:
        """Say which channels each mask value may be, and which take part in the softmax."""
        num_channels, sets_SK = self.task.num_channels, label.category_sets.bool()
        # Members of a set are known through it, also where the source labels none of them alone.
        in_softmax = label.class_labelled | sets_SK.any(dim=0)
        rows_VK = torch.zeros(NUM_VALUES, num_channels, dtype=torch.bool, device=sets_SK.device)
        rows_VK[:num_channels] = torch.diag(label.class_labelled)
        rows_VK[num_channels : num_channels + len(sets_SK)] = sets_SK
        if self.task.kind is TaskKind.LANE:
            rows_VK[0] |= in_softmax & ~label.class_exhaustive
        rows_VK[IGNORE_INDEX] = False
        return rows_VK, in_softmax

    def loss(self, feats: Feats, targets: HeadTargets, normalizers: Tensor) -> Losses:
        """Compute the losses.

        Args:
            feats: One level, (B, C, H, W).
            targets: Of ``make_targets``.
            normalizers: Weight of labelled pixels and Dice pairs over all ranks, divided by the ranks.

        Returns:
            ``loss_ce`` and, where it has a weight, ``loss_dice``.
        """
        target = cast(SegTargets, targets)
        logits_BKHW = self._upsample(self(feats)[0].float(), self.loss_stride, tuple(target.values.shape[1:]))
        logits_BKHW = masked_logits(logits_BKHW, target.labelled)
        loss_BHW = set_cross_entropy(logits_BKHW, target.values, target.sets)
        weights_BHW = target.weights.gather(1, target.values.flatten(1)).view_as(loss_BHW)
        losses = {"loss_ce": (loss_BHW * weights_BHW).sum() / normalizers[0]}
        if self.dice_weight:
            losses["loss_dice"] = self.dice_weight * self._dice(logits_BKHW, target) / normalizers[1]
        return losses

    def _dice(self, logits_BKHW: Tensor, target: SegTargets) -> Tensor:
        first, num_channels = self.task.first_channel, self.task.num_channels
        one_hot_BKHW = F.one_hot(target.values.clamp(max=num_channels), num_channels + 1).permute(0, 3, 1, 2)
        one_hot_BKHW = one_hot_BKHW[:, first:num_channels]
        known_BHW = target.sets.sum(dim=2).gather(1, target.values.flatten(1)).view_as(target.values) == 1
        # A set of one class is no pixel of that class in ``one_hot``, hence no background of it either.
        known_BHW &= target.values < num_channels
        counted_BK = (one_hot_BKHW.flatten(2).any(dim=2)) & target.exhaustive[:, first:]
        return dice_loss(logits_BKHW.softmax(dim=1)[:, first:], one_hot_BKHW, known_BHW, counted_BK)

    def _upsample(self, logits_BKHW: Tensor, stride: int, to_hw: tuple[int, ...]) -> Tensor:
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
