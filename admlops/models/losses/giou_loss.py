"""Generalised IoU loss of boxes, Rezatofighi et al., arXiv 1902.09630."""

from __future__ import annotations

import torch
from torch import Tensor


def giou_loss(pred_boxes_px: Tensor, boxes_px: Tensor) -> Tensor:
    """Compute ``1 - GIoU``, box by box.

    Args:
        pred_boxes_px: (P, 4) predicted xyxy.
        boxes_px: (P, 4) true xyxy.

    Returns:
        (P,) loss between 0 (equal boxes) and 2.
    """
    overlap_P2 = (torch.min(pred_boxes_px[:, 2:], boxes_px[:, 2:]) - torch.max(pred_boxes_px[:, :2], boxes_px[:, :2])).clamp(
        min=0
    )
    hull_P2 = torch.max(pred_boxes_px[:, 2:], boxes_px[:, 2:]) - torch.min(pred_boxes_px[:, :2], boxes_px[:, :2])
    overlap = overlap_P2.clamp(min=0).prod(dim=1)
    union = _area(pred_boxes_px) + _area(boxes_px) - overlap
    hull = hull_P2.prod(dim=1)
    eps = 1e-6
    giou: Tensor = overlap / union.clamp(min=eps) - (hull - union) / hull.clamp(min=eps)
    return 1 - giou


def _area(boxes_px: Tensor) -> Tensor:
    return (boxes_px[:, 2] - boxes_px[:, 0]) * (boxes_px[:, 3] - boxes_px[:, 1])
