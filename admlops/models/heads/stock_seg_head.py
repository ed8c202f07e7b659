"""Any decode head of mmseg as a branch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.structures import BaseDataElement, PixelData
from torch import Tensor

from admlops.errors import ModelError
from admlops.models.heads.base_task_head import Feats, HeadTargets, Losses, label_of, valid_hw
from admlops.models.heads.stock_head import StockHead, StockTargets
from admlops.models.losses import masked_logits
from admlops.structures import MultiTaskDataSample
from admlops.task_spec import IGNORE_INDEX, TaskKind, TaskSpec


class StockSegHead(StockHead):
    """Adapter of ``mmseg.models.decode_heads.decode_head.BaseDecodeHead``: FCN, ...

    Args:
        task: The task.
        stock: The built head, with one logit a class.
        skip_partial: Whether samples that label only some classes are skipped instead of refused.
        init_cfg: mmengine initialisation.

    Raises:
        ModelError: The number of classes is not the task's, or the head has a single logit.
    """

    kinds = (TaskKind.SEMANTIC, TaskKind.LANE)

    def __init__(self, task: TaskSpec, stock: BaseModule, skip_partial: bool = False, init_cfg: Any = None) -> None:
        super().__init__(task, stock, skip_partial, init_cfg)
        if stock.out_channels != task.num_channels:
            raise ModelError(
                f"{type(stock).__name__} has the wrong number of logits for {task.name!r}",
                expected=f"out_channels={task.num_channels}",
                got=stock.out_channels,
            )

    def forward(self, feats: Feats) -> tuple[Tensor, ...]:
        """Compute the logits.

        Args:
            feats: The branch's levels.

        Returns:
            Logits (B, K, H, W), alone in a tuple.
        """
        return (self.stock(feats),)

    def _stock_sample(
        self, sample: MultiTaskDataSample, input_hw: tuple[int, int], is_labelled: bool, device: torch.device
    ) -> BaseDataElement:
        from mmseg.structures import SegDataSample

        mask = torch.zeros(1, *input_hw, dtype=torch.long, device=device)
        label = label_of(sample, self.task) if is_labelled else None
        if label is not None:
            height, width = valid_hw(sample.metainfo, input_hw)
            mask = torch.full_like(mask, IGNORE_INDEX)
            mask[:, :height, :width] = label.sem_seg.data[:, :height, :width]
        result = SegDataSample(metainfo={"img_shape": input_hw, "pad_shape": input_hw})
        result.gt_sem_seg = PixelData(data=mask)
        return cast(BaseDataElement, result)

    def loss(self, feats: Feats, targets: HeadTargets, normalizers: Tensor) -> Losses:
        """Run the stock head's loss on the labelled samples.

        Args:
            feats: The branch's levels.
            targets: Of ``make_targets``.
            normalizers: Labelled samples over all ranks, divided by the ranks: these heads average over their own batch.

        Returns:
            The stock head's losses, without its accuracy.
        """
        target = cast(StockTargets, targets)
        subset = tuple(feat[target.indices] for feat in feats)
        factor = target.weight * len(target.indices) / normalizers[0]
        return self.weighted(self.stock.loss(subset, target.samples, train_cfg=None), factor)

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
        logits_BKHW = F.interpolate(raw[0].float(), input_hw, mode="bilinear", align_corners=self.stock.align_corners)
        masks = masked_logits(logits_BKHW, allowed_K[None]).max(dim=1).indices.to(torch.uint8)
        return [PixelData(data=mask[None]) for mask in masks]
