"""Targets of centre-point detection: a heat map, where its background is known, and boxes around the centres.

Shape letters: B batch, K classes, H and W rows and columns of cells, N boxes of a sample, P cells with a box, S cells of
category sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from admlops.models.heads.base_task_head import HeadTargets
from admlops.structures import TaskLabel

GAUSSIAN_PART = 0.54
"""Half width of the Gaussian as a part of the box's half width (TTFNet's alpha)."""


@dataclass(frozen=True)
class CenterTargets(HeadTargets):
    """Targets of a batch.

    Attributes:
        heat: (B, K, H, W) heat map, exactly 1 at the cells of trusted centres.
        background: (B, K, H, W), 1 where a cell that is no centre is known to be background, else 0.
        set_cells: (S, 3) int64 (sample, row, column) of centres of category-set boxes.
        set_members: (S, K) bool, the classes that each of them may be.
        box_cells: (P, 3) int64 (sample, row, column) of the cells that learn a box.
        boxes: (P, 4) their boxes, xyxy px of the input.
        box_weights: (P,) their weights; those of one box sum to 1.
    """

    heat: Tensor
    background: Tensor
    set_cells: Tensor
    set_members: Tensor
    box_cells: Tensor
    boxes: Tensor
    box_weights: Tensor


@dataclass
class _Collected:
    """Ragged targets of the samples seen so far."""

    set_cells: list[Tensor]
    set_members: list[Tensor]
    cells: list[Tensor]
    boxes: list[Tensor]
    weights: list[Tensor]


def make_center_targets(
    labels: Sequence[TaskLabel | None],
    valid_hws: Sequence[tuple[int, int]],
    cells_hw: tuple[int, int],
    stride: int,
    num_classes: int,
    device: torch.device,
) -> CenterTargets:
    """Draw the targets of a batch.

    Args:
        labels: The task's label a sample, None where the task is not labelled.
        valid_hws: Height and width of the part of each input that shows the image, px.
        cells_hw: Rows and columns of the heat map.
        stride: Input pixels a cell.
        num_classes: Number K of classes.
        device: Where the targets are made.

    Returns:
        The targets; two normalizers, the number of centres and the number of boxes that have cells.
    """
    shape = (len(labels), num_classes, *cells_hw)
    heat = torch.zeros(shape, device=device)
    background = torch.zeros(shape, device=device)
    got = _Collected([], [], [], [], [])
    for index, (label, hw) in enumerate(zip(labels, valid_hws, strict=True)):
        if label is not None:
            _draw_sample(label, hw, stride, index, heat[index], background[index], got)
    cells = _cat(got.cells, (0, 3), torch.int64, device)
    weights = _cat(got.weights, (0,), torch.float32, device)
    set_cells = _cat(got.set_cells, (0, 3), torch.int64, device)
    num_centers = (heat == 1).sum() + len(set_cells)
    return CenterTargets(
        normalizers=torch.stack([num_centers.float(), weights.sum()]),
        heat=heat,
        background=background,
        set_cells=set_cells,
        set_members=_cat(got.set_members, (0, num_classes), torch.bool, device),
        box_cells=cells,
        boxes=_cat(got.boxes, (0, 4), torch.float32, device),
        box_weights=weights,
    )


def _draw_sample(
    label: TaskLabel,
    hw_px: tuple[int, int],
    stride: int,
    index: int,
    heat_KHW: Tensor,
    background_KHW: Tensor,
    got: _Collected,
) -> None:
    num_classes, rows, columns = heat_KHW.shape
    instances = label.instances
    # Row k < K: class k itself; row K + s: the members of set s.
    members_VK = torch.cat([torch.eye(num_classes, dtype=torch.bool, device=heat_KHW.device), label.category_sets.bool()])
    is_ignored, codes = instances.ignore_flags.bool(), instances.labels
    # A box of a class that the source did not annotate cannot be; it is left out rather than learned.
    trusted = ~is_ignored & ((codes >= num_classes) | label.class_labelled[codes.clamp(max=num_classes - 1)])
    boxes, codes_N = instances.bboxes[trusted].float(), codes[trusted]
    center = ((boxes[:, :2] + boxes[:, 2:]) / 2 / stride).long()
    center_x, center_y = center[:, 0].clamp(0, columns - 1), center[:, 1].clamp(0, rows - 1)
    gaussian_NHW, near_NHW = _gaussians(boxes, center_x, center_y, stride, (rows, columns))

    of_class = codes_N < num_classes
    around_KHW = torch.zeros_like(background_KHW, dtype=torch.bool)
    for code in codes_N[of_class].unique().tolist():
        heat_KHW[code] = gaussian_NHW[codes_N == code].amax(dim=0)
        around_KHW[code] = ((gaussian_NHW + near_NHW)[codes_N == code] > 0).any(dim=0)
    valid_HW = torch.zeros_like(heat_KHW[0])
    # A cell counts where its first pixel shows the image.
    valid_HW[: -(-hw_px[0] // stride), : -(-hw_px[1] // stride)] = 1
    background_KHW += label.class_exhaustive[:, None, None] * valid_HW
    # Where others may be missing, only the cells around the centres that are given are known not to be centres.
    background_KHW += (label.class_labelled & ~label.class_exhaustive)[:, None, None] * valid_HW * around_KHW
    unsure = is_ignored | (codes >= num_classes)
    for box, code in zip(instances.bboxes[unsure].tolist(), codes[unsure].tolist(), strict=True):
        left, top = int(box[0] // stride), int(box[1] // stride)
        # A box beyond the border must not end at a negative index, which counts from the other side.
        right, bottom = max(int(-(-box[2] // stride)), 0), max(int(-(-box[3] // stride)), 0)
        background_KHW[members_VK[code], max(top, 0) : bottom, max(left, 0) : right] = 0
    if not of_class.all():
        cells = torch.stack([torch.full_like(center_y, index), center_y, center_x], dim=1)
        got.set_cells.append(cells[~of_class])
        got.set_members.append(members_VK[codes_N[~of_class]])
    _assign_boxes(boxes, gaussian_NHW, near_NHW, index, got)


def _gaussians(
    boxes_px: Tensor, center_x: Tensor, center_y: Tensor, stride: int, cells_hw: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Draw elliptic Gaussians and, for small boxes too, the cells around a centre that lie in the box."""
    size_px = (boxes_px[:, 2:] - boxes_px[:, :2]).clamp(min=0)
    maps = []
    for axis, (center, length) in enumerate(((center_x, cells_hw[1]), (center_y, cells_hw[0]))):
        cell = torch.arange(length, device=boxes_px.device)
        offset = (cell[None] - center[:, None]).float()
        radius = (size_px[:, axis] / stride / 2 * GAUSSIAN_PART).floor()[:, None]
        sigma = (2 * radius + 1) / 6
        curve = torch.exp(-(offset**2) / (2 * sigma**2)) * (offset.abs() <= radius)
        point_px = (cell[None] + 0.5) * stride
        inside = (point_px > boxes_px[:, axis, None]) & (point_px < boxes_px[:, axis + 2, None])
        # The predicted peak of a small object may be one cell off: its neighbours learn the box too.
        near = torch.exp(-(offset**2) / (2 * sigma.clamp(min=0.5) ** 2)) * (offset.abs() <= radius.clamp(min=1))
        maps.append((curve, near * (inside | (offset == 0))))
    (curve_x, near_x), (curve_y, near_y) = maps
    return curve_y[:, :, None] * curve_x[:, None, :], near_y[:, :, None] * near_x[:, None, :]


def _assign_boxes(boxes_px: Tensor, gaussian_NHW: Tensor, near_NHW: Tensor, index: int, got: _Collected) -> None:
    """Give each cell the smallest box that reaches it, but each centre its own box."""
    if len(boxes_px) == 0:
        return
    area = (boxes_px[:, 2:] - boxes_px[:, :2]).clamp(min=0).prod(dim=1)
    cost_NHW = torch.where(near_NHW > 0, area[:, None, None], torch.inf)
    cost_NHW = torch.where(gaussian_NHW == 1, -1 / (1 + area)[:, None, None], cost_NHW)
    cost_HW, box_HW = cost_NHW.min(dim=0)
    rows, columns = torch.isfinite(cost_HW).nonzero(as_tuple=True)
    chosen = box_HW[rows, columns]
    weight = near_NHW[chosen, rows, columns]
    total = torch.zeros_like(area).index_add_(0, chosen, weight)
    got.cells.append(torch.stack([torch.full_like(rows, index), rows, columns], dim=1))
    got.boxes.append(boxes_px[chosen])
    got.weights.append(weight / total[chosen])


def _cat(parts: list[Tensor], empty_shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.cat(parts) if parts else torch.zeros(empty_shape, dtype=dtype, device=device)
