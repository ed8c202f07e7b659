"""Any dense head of mmdet as a branch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor

from admlops.models.heads.base_task_head import Feats, HeadTargets, Losses, label_of, valid_hw
from admlops.models.heads.stock_head import StockHead, StockTargets
from admlops.structures import MultiTaskDataSample
from admlops.task_spec import TaskKind


class StockDetectionHead(StockHead):
    """Adapter of ``mmdet.models.dense_heads.BaseDenseHead``: YOLOX, RTMDet, FCOS, ..."""

    kinds = (TaskKind.DETECTION,)

    def forward(self, feats: Feats) -> tuple[Tensor, ...]:
        """Compute the raw outputs.

        Args:
            feats: The branch's levels.

        Returns:
            The stock head's tensors, its lists flattened.
        """
        outputs = self.stock(feats)
        return tuple(level for output in outputs for level in (output if isinstance(output, list | tuple) else [output]))

    def _stock_sample(
        self, sample: MultiTaskDataSample, input_hw: tuple[int, int], is_labelled: bool, device: torch.device
    ) -> BaseDataElement:
        from mmdet.structures import DetDataSample

        label = label_of(sample, self.task) if is_labelled else None
        instances = InstanceData(
            bboxes=torch.zeros(0, 4, device=device),
            labels=torch.zeros(0, dtype=torch.long, device=device),
            ignore_flags=torch.zeros(0, dtype=torch.bool, device=device),
        )
        if label is not None:
            instances = label.instances
        result = DetDataSample(metainfo=det_meta(sample.metainfo, input_hw))
        ignored = instances.ignore_flags.bool()
        result.gt_instances = InstanceData(bboxes=instances.bboxes[~ignored], labels=instances.labels[~ignored])
        result.ignored_instances = InstanceData(bboxes=instances.bboxes[ignored], labels=instances.labels[ignored])
        return cast(BaseDataElement, result)

    def loss(self, feats: Feats, targets: HeadTargets, normalizers: Tensor) -> Losses:
        """Run the stock head's loss on the labelled samples.

        Args:
            feats: The branch's levels.
            targets: Of ``make_targets``.
            normalizers: Unused: these heads average their positives over the ranks themselves.

        Returns:
            The stock head's losses.
        """
        target = cast(StockTargets, targets)
        subset = tuple(feat[target.indices] for feat in feats)
        return self.weighted(self.stock.loss(subset, target.samples), target.weight)

    def interpret(
        self, raw: Sequence[Tensor], metas: Sequence[Mapping[str, Any]], input_hw: tuple[int, int], allowed_K: Tensor
    ) -> list[BaseDataElement]:
        """Detect with the stock head's post-processing.

        Args:
            raw: The stock head's tensors, its lists flattened.
            metas: Metainfo a sample.
            input_hw: Height and width of the padded batch, px.
            allowed_K: (K,) bool, classes that may be detected.

        Returns:
            ``InstanceData`` a sample, on the CPU.
        """
        levels = getattr(getattr(self.stock, "prior_generator", None), "num_levels", 1)
        # On the CPU and in float32: mmcv's NMS is built for nothing else.
        tensors = [tensor.float().cpu() for tensor in raw]
        outputs = [tensors[first : first + levels] for first in range(0, len(tensors), levels)]
        allowed_K = allowed_K.cpu()
        found = self.stock.predict_by_feat(*outputs, batch_img_metas=[det_meta(m, input_hw) for m in metas], rescale=False)
        results: list[BaseDataElement] = []
        for instances in found:
            keep = allowed_K[instances.labels]
            fields = {name: instances[name][keep] for name in ("bboxes", "scores", "labels")}
            results.append(InstanceData(**fields))
        return results


def det_meta(meta: Mapping[str, Any], input_hw: tuple[int, int]) -> dict[str, Any]:
    """Give mmdet's heads the metainfo that they read.

    Args:
        meta: Metainfo of our sample.
        input_hw: Height and width of the padded batch, px.

    Returns:
        Shapes in mmdet's names; no rescaling, the detector maps boxes to the original itself.
    """
    return {
        "img_shape": valid_hw(meta, input_hw),
        "ori_shape": tuple(meta.get("ori_shape", input_hw)),
        "pad_shape": input_hw,
        "batch_input_shape": input_hw,
        "scale_factor": (1.0, 1.0),
        "border": (0, 0, 0, 0),
    }
