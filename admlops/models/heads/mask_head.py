"""What heads of masks share: which channels a pixel may be, its weight, and the losses.

Shape letters: B batch, K channels, H and W rows and columns, V = 256 mask values.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from admlops.errors import ModelError
from admlops.models.heads.base_task_head import BaseTaskHead, Feats, HeadTargets, Losses, label_of, valid_hw
from admlops.models.losses import dice_loss, masked_logits, set_cross_entropy
from admlops.structures import MultiTaskDataSample, TaskLabel
from admlops.task_spec import IGNORE_INDEX, TaskKind, TaskSpec

NUM_VALUES = 256


@dataclass(frozen=True)
class MaskTargets(HeadTargets):
    """Targets of a batch at the resolution of the loss.

    Attributes:
        values: (B, H, W) int64 mask values, 255 where nothing is known.
        sets: (B, V, K) bool, the channels that a pixel of value v of sample b may be; an empty row means no loss.
        labelled: (B, K) bool, the channels of the softmax.
        exhaustive: (B, K) bool, the channels whose background is trusted.
        weights: (B, H, W) weight of each pixel; 0 where nothing is known.
    """

    values: Tensor
    sets: Tensor
    labelled: Tensor
    exhaustive: Tensor
    weights: Tensor


class MaskHead(BaseTaskHead):
    """A head whose prediction is a class a pixel; subclasses say what the network computes and how it becomes logits.

    A pixel's loss is ``-log(sum of the probabilities of the classes it may be)``: its class, the members of its category set,
    on a lane task's background also every class that may be missing there. Classes that a sample does not label take no part
    in its softmax. The sum is divided by the summed weight of the labelled pixels of all ranks.

    Attributes:
        loss_stride: Input pixels a pixel of the loss.
        dice_weight: Weight of the Dice loss of the classes.

    Args:
        task: The semantic or lane task.
        loss_stride: Input pixels a pixel of the loss.
        class_weights: Weight of each of the K channels; a label's own weights (``sem_seg.weight``) are multiplied to them.
        dice_weight: Weight of the Dice loss of the classes.
        init_cfg: mmengine initialisation.

    Raises:
        ModelError: ``class_weights`` are not K.
    """

    def __init__(
        self, task: TaskSpec, loss_stride: int, class_weights: Sequence[float], dice_weight: float, init_cfg: Any = None
    ) -> None:
        super().__init__(task, init_cfg)
        if len(class_weights) != task.num_channels:
            raise ModelError(
                f"{task.name}: class_weights has the wrong length",
                expected=f"{task.num_channels} weights, for {', '.join(task.channels)}",
                got=len(class_weights),
            )
        self.loss_stride = loss_stride
        self.dice_weight = dice_weight
        self.class_weights_K: Tensor
        self.register_buffer("class_weights_K", torch.tensor(class_weights), persistent=False)

    @abstractmethod
    def loss_logits(self, raw: Tensor, loss_hw: tuple[int, int]) -> Tensor:
        """Bring the raw output to the resolution of the loss.

        Args:
            raw: The raw output, float32.
            loss_hw: Height and width of the targets.

        Returns:
            (B, K, *loss_hw) logits.
        """

    def make_targets(self, samples: Sequence[MultiTaskDataSample], input_hw: tuple[int, int]) -> MaskTargets:
        """Subsample the masks and say which channels each value may be.

        Args:
            samples: The batch.
            input_hw: Height and width of the padded batch, px.

        Returns:
            The targets; normalizers are the summed weight of labelled pixels and the number of pairs of the Dice loss.
        """
        device = self.class_weights_K.device
        step, num_channels = self.loss_stride, self.task.num_channels
        shape = (len(samples), -(-input_hw[0] // step), -(-input_hw[1] // step))
        values = torch.full(shape, IGNORE_INDEX, dtype=torch.uint8, device=device)
        sets = torch.zeros(len(samples), NUM_VALUES, num_channels, dtype=torch.bool, device=device)
        # A sample without labels keeps all channels: its softmax is computed, and ignored.
        labelled = torch.ones(len(samples), num_channels, dtype=torch.bool, device=device)
        exhaustive = torch.zeros_like(labelled)
        own_weights: dict[int, Tensor] = {}
        for index, sample in enumerate(samples):
            label = label_of(sample, self.task)
            if label is None:
                continue
            height, width = valid_hw(sample.metainfo, input_hw)
            mask = label.sem_seg.data[0, :height:step, :width:step]
            values[index, : mask.shape[0], : mask.shape[1]] = mask
            sets[index], labelled[index] = self._value_sets(label)
            exhaustive[index] = label.class_exhaustive
            if "weight" in label.sem_seg:
                own_weights[index] = label.sem_seg.weight[0, :height:step, :width:step]
        values_BHW = values.long()
        sizes_BV = sets.sum(dim=2)
        weights_BV = (sets * self.class_weights_K).sum(dim=2) / sizes_BV.clamp(min=1)
        if self.task.kind is TaskKind.LANE:
            weights_BV[:, 0] = self.class_weights_K[0] * (sizes_BV[:, 0] > 0)
        weights_BHW = weights_BV.gather(1, values_BHW.flatten(1)).view_as(values_BHW)
        for index, weight in own_weights.items():
            weights_BHW[index, : weight.shape[0], : weight.shape[1]] *= weight
        counts_BV = torch.stack([torch.bincount(row, minlength=NUM_VALUES) for row in values_BHW.flatten(1)])
        pairs_BK = (counts_BV[:, :num_channels] > 0) & exhaustive
        num_pairs = pairs_BK[:, self.task.first_channel :].sum().float()
        normalizers = torch.stack([weights_BHW.sum(), num_pairs])
        return MaskTargets(normalizers, values_BHW, sets, labelled, exhaustive, weights_BHW)

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
            feats: The branch's levels.
            targets: Of ``make_targets``.
            normalizers: Weight of labelled pixels and Dice pairs over all ranks, divided by the ranks.

        Returns:
            ``loss_ce`` and, where it has a weight, ``loss_dice``.
        """
        target = cast(MaskTargets, targets)
        height, width = target.values.shape[1:]
        logits_BKHW = masked_logits(self.loss_logits(self(feats)[0].float(), (height, width)), target.labelled)
        loss_BHW = set_cross_entropy(logits_BKHW, target.values, target.sets)
        losses = {"loss_ce": (loss_BHW * target.weights).sum() / normalizers[0]}
        if self.dice_weight:
            losses["loss_dice"] = self.dice_weight * self._dice(logits_BKHW, target) / normalizers[1]
        return losses

    def _dice(self, logits_BKHW: Tensor, target: MaskTargets) -> Tensor:
        first, num_channels = self.task.first_channel, self.task.num_channels
        one_hot_BKHW = F.one_hot(target.values.clamp(max=num_channels), num_channels + 1).permute(0, 3, 1, 2)
        one_hot_BKHW = one_hot_BKHW[:, first:num_channels]
        known_BHW = target.sets.sum(dim=2).gather(1, target.values.flatten(1)).view_as(target.values) == 1
        # A set of one class is no pixel of that class in ``one_hot``, hence no background of it either.
        known_BHW &= target.values < num_channels
        counted_BK = (one_hot_BKHW.flatten(2).any(dim=2)) & target.exhaustive[:, first:]
        return dice_loss(logits_BKHW.softmax(dim=1)[:, first:], one_hot_BKHW, known_BHW, counted_BK)
