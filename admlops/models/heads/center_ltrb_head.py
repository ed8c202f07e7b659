"""Anchor-free detection without NMS: a centre heat map a class, and distances to the four sides.

After Liu et al., "Training-Time-Friendly Network for Real-Time Object Detection" (TTFNet), arXiv 1909.00700: Gaussian samples
around the centre learn the box by GIoU, which learns in far fewer iterations than one cell an object (CenterNet, arXiv
1904.07850). Unlike there the distances are exponents, so that 8 and 500 px are learned with the same relative precision.

Shape letters: B batch, K classes, H and W rows and columns of cells, D detections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

import torch
import torch.nn.functional as F
from mmengine.model import Sequential
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor

from admlops.layers import ConvBnAct, SeparableVarGConv
from admlops.models.heads.base_task_head import BaseTaskHead, Feats, HeadTargets, Losses, label_of, valid_hw
from admlops.models.heads.center_targets import CenterTargets, make_center_targets
from admlops.models.losses import center_heatmap_loss, giou_loss, masked_logits, set_cell_loss
from admlops.registry import MODELS
from admlops.structures import MultiTaskDataSample, OutputSpec, TensorSpec
from admlops.task_spec import TaskKind, TaskSpec

PRIOR_BIAS = -3.7
"""Logit of a class before training: a probability of 2.4 %, or the background of thousands of cells drowns the first steps."""

MAX_EXPONENT = 5.0
"""Largest raw distance: 148 times ``distance_px``."""


@MODELS.register_module()
class CenterLtrbHead(BaseTaskHead):
    """Two separable variable group convolutions, then class logits (K) and distances to left, top, right, bottom (4).

    The loss leaves out, per sample and class, what nobody labelled: see ``center_targets``.

    Attributes:
        tower: The separable convolutions.
        heatmap: 1x1 convolution to the K class logits.
        ltrb: 1x1 convolution to the four raw distances.

    Args:
        task: The detection task.
        in_channels: Channels of the feature map.
        stride: Input pixels a cell of the feature map.
        num_blocks: Separable convolutions.
        group_base: Input channels of each group of theirs.
        distance_px: Distance that a raw value of 0 stands for, px.
        box_weight: Weight of the GIoU loss beside the heat map's.
        score_threshold: Detections below are dropped.
        max_detections: Largest number of detections a picture.
        init_cfg: mmengine initialisation.
    """

    kinds = (TaskKind.DETECTION,)

    def __init__(
        self,
        task: TaskSpec,
        in_channels: int = 32,
        stride: int = 4,
        num_blocks: int = 2,
        group_base: int = 8,
        distance_px: float = 16.0,
        box_weight: float = 5.0,
        score_threshold: float = 0.02,
        max_detections: int = 100,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(task, init_cfg)
        self.stride = stride
        self.distance_px = distance_px
        self.box_weight = box_weight
        self.score_threshold = score_threshold
        self.max_detections = max_detections
        blocks = [SeparableVarGConv(in_channels, in_channels, 1, group_base, factor=1) for _ in range(num_blocks)]
        self.tower = Sequential(*blocks)
        prior = {"type": "Normal", "layer": "Conv2d", "std": 0.01, "bias": PRIOR_BIAS}
        centered = {"type": "Normal", "layer": "Conv2d", "std": 0.01, "bias": 0.0}
        self.heatmap = ConvBnAct(in_channels, task.num_channels, 1, norm=False, act=False, init_cfg=prior)
        self.ltrb = ConvBnAct(in_channels, 4, 1, norm=False, act=False, init_cfg=centered)

    def forward(self, feats: Feats) -> tuple[Tensor, ...]:
        """Compute the raw outputs.

        Args:
            feats: One level, (B, C, H, W).

        Returns:
            Class logits (B, K, H, W) and raw distances (B, 4, H, W).
        """
        feat_BCHW = self.tower(feats[0])
        return self.heatmap(feat_BCHW), self.ltrb(feat_BCHW)

    def output_spec(self) -> OutputSpec:
        """Describe the raw outputs and their decoding.

        Returns:
            Decoding ``center_ltrb``.
        """
        parameters = {
            "distance_px": self.distance_px,
            "max_exponent": MAX_EXPONENT,
            "max_detections": float(self.max_detections),
            "score_threshold": self.score_threshold,
        }
        tensors = (
            TensorSpec(f"{self.task.name}.heatmap", self.task.num_channels, self.stride),
            TensorSpec(f"{self.task.name}.ltrb", 4, self.stride),
        )
        return OutputSpec(self.task, tensors, "center_ltrb", MappingProxyType(parameters))

    def make_targets(self, samples: Sequence[MultiTaskDataSample], input_hw: tuple[int, int]) -> CenterTargets:
        """Draw heat maps and boxes.

        Args:
            samples: The batch.
            input_hw: Height and width of the padded batch, px.

        Returns:
            The targets; normalizers are the number of centres and of boxes.
        """
        cells_hw = (-(-input_hw[0] // self.stride), -(-input_hw[1] // self.stride))
        labels = [label_of(sample, self.task) for sample in samples]
        valid_hws = [valid_hw(sample.metainfo, input_hw) for sample in samples]
        device = self.heatmap.conv.weight.device
        return make_center_targets(labels, valid_hws, cells_hw, self.stride, self.task.num_channels, device)

    def loss(self, feats: Feats, targets: HeadTargets, normalizers: Tensor) -> Losses:
        """Compute the losses.

        Args:
            feats: One level, (B, C, H, W).
            targets: Of ``make_targets``.
            normalizers: Centres and boxes over all ranks divided by the ranks.

        Returns:
            ``loss_heatmap``, ``loss_box``.
        """
        target = cast(CenterTargets, targets)
        logits_BKHW, raw_B4HW = (output.float() for output in self(feats))
        heat = center_heatmap_loss(logits_BKHW, target.heat, target.background)
        sample, row, column = target.set_cells.unbind(dim=1)
        heat = heat + set_cell_loss(logits_BKHW[sample, :, row, column], target.set_members)
        sample, row, column = target.box_cells.unbind(dim=1)
        boxes = self.boxes_px(raw_B4HW[sample, :, row, column], row, column)
        box = (giou_loss(boxes, target.boxes) * target.box_weights).sum()
        return {"loss_heatmap": heat / normalizers[0], "loss_box": self.box_weight * box / normalizers[1]}

    def boxes_px(self, raw_N4: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """Turn raw distances into boxes.

        Args:
            raw_N4: (..., 4) raw distances.
            row: (...) rows of their cells.
            column: (...) columns of their cells.

        Returns:
            (..., 4) xyxy, px of the input.
        """
        distance_px = raw_N4.clamp(max=MAX_EXPONENT).exp() * self.distance_px
        point_px = (torch.stack([column, row], dim=-1) + 0.5) * self.stride
        return torch.cat([point_px - distance_px[..., :2], point_px + distance_px[..., 2:]], dim=-1)

    def decode(self, logits_BKHW: Tensor, raw_B4HW: Tensor, allowed_K: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Take the best peaks of the heat map; every operation exports.

        A peak is the largest of its 3 x 3 cells, and of equal ones the first in reading order: integers have many equal
        neighbours, and an object is not to be found once a cell. Floats hardly ever do.

        Args:
            logits_BKHW: Class logits.
            raw_B4HW: Raw distances.
            allowed_K: (K,) bool, classes that may be detected.

        Returns:
            Boxes (B, D, 4) xyxy px of the input, scores (B, D) in falling order, labels (B, D) int64.
        """
        num_classes, rows, columns = logits_BKHW.shape[1:]
        peaks = masked_logits(logits_BKHW, allowed_K[None])
        scores = torch.where(_is_peak(peaks), peaks.sigmoid(), torch.zeros_like(peaks)).flatten(1)
        scores_BD, cell_BD = scores.topk(min(self.max_detections, num_classes * rows * columns), dim=1)
        labels_BD = cell_BD // (rows * columns)
        place_BD = cell_BD % (rows * columns)
        raw_BD4 = raw_B4HW.flatten(2).gather(2, place_BD[:, None].expand(-1, 4, -1)).transpose(1, 2)
        return self.boxes_px(raw_BD4, place_BD // columns, place_BD % columns), scores_BD, labels_BD

    def interpret(
        self, raw: Sequence[Tensor], metas: Sequence[Mapping[str, Any]], input_hw: tuple[int, int], allowed_K: Tensor
    ) -> list[BaseDataElement]:
        """Detect.

        Args:
            raw: Class logits (B, K, H, W) and raw distances (B, 4, H, W).
            metas: Metainfo a sample.
            input_hw: Height and width of the padded batch, px.
            allowed_K: (K,) bool, classes that may be detected.

        Returns:
            ``InstanceData`` a sample; centres outside the valid part are dropped.
        """
        logits_BKHW, raw_B4HW = (output.float() for output in raw)
        boxes, scores, labels = self.decode(logits_BKHW, raw_B4HW, allowed_K)
        results: list[BaseDataElement] = []
        for index, meta in enumerate(metas):
            height, width = valid_hw(meta, input_hw)
            center = (boxes[index, :, :2] + boxes[index, :, 2:]) / 2
            # A score of 0 is no peak, or of a class that may not be detected: not even a threshold of 0 lets it pass.
            keep = (scores[index] >= self.score_threshold) & (scores[index] > 0)
            keep &= (center[:, 0] < width) & (center[:, 1] < height)
            found = InstanceData()
            found.bboxes, found.scores, found.labels = boxes[index][keep], scores[index][keep], labels[index][keep]
            results.append(found)
        return results


def _is_peak(logits_BKHW: Tensor) -> Tensor:
    """Find the cells that are larger than the four before them in their 3 x 3 window and not smaller than the four after."""
    rows, columns = logits_BKHW.shape[2:]
    padded = F.pad(logits_BKHW, (1, 1, 1, 1), value=-torch.inf)
    above, below = (F.max_pool2d(padded[:, :, first : first + rows], (1, 3), stride=1) for first in (0, 2))
    left, right = (padded[:, :, 1:-1, first : first + columns] for first in (0, 2))
    return (logits_BKHW > torch.maximum(above, left)) & (logits_BKHW >= torch.maximum(below, right))
