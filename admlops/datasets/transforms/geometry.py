"""Resize, crop, pad and mirror an image together with its labels and the record of where its pixels came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from admlops.datasets.task_annotation import DetectionAnnotation, SegmentationAnnotation, TaskAnnotation
from admlops.task_spec import IGNORE_INDEX

PAD_PIXEL = 128
"""Grey that the preprocessor maps to 0."""

Results = dict[str, Any]
_BoxArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class CutBoxRule:
    """What becomes of a box that a crop cuts.

    Nothing left of it: dropped. Narrower or lower than ``min_size_px``: dropped. Less than ``min_visible`` of its area left: an
    ignore region, since neither "object" nor "background" is a fair thing to ask there. Otherwise it is clipped. Boxes that
    lie inside are kept as they are, however small.

    Attributes:
        min_visible: Fraction of the area in the image before the crop.
        min_size_px: Side in px after the crop.
    """

    min_visible: float = 0.3
    min_size_px: float = 1.0


def resize(results: Results, size_hw: tuple[int, int]) -> None:
    """Scale to a size: masks by the nearest pixel centre, boxes exactly, the image bilinearly.

    An image that shrinks to less than a half is halved first, as often as its sides are even, like in an image pyramid:
    bilinear interpolation looks at 2x2 pixels only and would leave out the others.

    Args:
        results: Changed in place; must not be padded yet. ``img`` may have been halved before: ``img_shape`` counts.
        size_hw: Height and width in px.
    """
    old_h, old_w = results["img_shape"]
    new_h, new_w = size_hw
    results["img"] = _resize_image(results["img"], size_hw)
    if (old_h, old_w) == (new_h, new_w):
        return
    scale_xy = (new_w / old_w, new_h / old_h)
    _move(results, np.diag([*scale_xy, 1.0]))
    results["img_shape"] = size_hw
    _map_labels(
        results,
        lambda boxes: boxes * np.array(scale_xy * 2, dtype=np.float32),
        lambda mask: cv2.resize(mask, (new_w, new_h), interpolation=cv2.INTER_NEAREST_EXACT),
    )


def can_halve(hw: tuple[int, int], size_hw: tuple[int, int]) -> bool:
    """Tell whether an image is to be halved on its way to a size.

    Args:
        hw: Height and width of the image in px.
        size_hw: Height and width that it shall have.

    Returns:
        ``True`` where both sides are even, so that every pixel of the half covers whole pixels, and the half is enough.
    """
    return all(side % 2 == 0 and side // 2 >= wanted for side, wanted in zip(hw, size_hw, strict=True))


def crop(results: Results, top_left_yx: tuple[int, int], size_hw: tuple[int, int], rule: CutBoxRule) -> None:
    """Cut a window out of the image.

    Args:
        results: Changed in place.
        top_left_yx: First row and column.
        size_hw: Height and width; where the window leaves the image, the rest is not padded.
        rule: For boxes at the border.
    """
    top, left = top_left_yx
    bottom = min(top + size_hw[0], results["img"].shape[0])
    right = min(left + size_hw[1], results["img"].shape[1])
    valid_h, valid_w = results["img_shape"]
    results["img"] = results["img"][top:bottom, left:right]
    results["img_shape"] = (min(valid_h, bottom) - top, min(valid_w, right) - left)
    _move(results, np.array([[1.0, 0, -left], [0, 1, -top], [0, 0, 1]]))
    labels: Mapping[str, TaskAnnotation] = results.get("labels", {})
    for name, label in labels.items():
        if isinstance(label, SegmentationAnnotation):
            results["labels"][name] = replace(label, mask=label.mask[top:bottom, left:right])
        else:
            shifted = label.bboxes - np.array([left, top, left, top], dtype=np.float32)
            valid_h, valid_w = results["img_shape"]
            results["labels"][name] = cut_boxes(replace(label, bboxes=shifted), (0, 0, valid_w, valid_h), rule)


def pad(results: Results, size_hw: tuple[int, int]) -> None:
    """Fill up on the right and below: image with grey, masks with ignore.

    Args:
        results: Changed in place; ``img_shape`` stays.
        size_hw: Height and width afterwards, at least the present ones.
    """
    h, w = results["img"].shape[:2]
    bottom, right = size_hw[0] - h, size_hw[1] - w
    if bottom == 0 and right == 0:
        return
    results["img"] = cv2.copyMakeBorder(results["img"], 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=(PAD_PIXEL,) * 3)
    _map_labels(
        results,
        lambda boxes: boxes,
        lambda mask: cv2.copyMakeBorder(mask, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=IGNORE_INDEX),
    )


def mirror(results: Results) -> None:
    """Exchange left and right; padding stays on the right.

    Args:
        results: Changed in place.
    """
    width = results["img_shape"][1]
    results["img"] = _mirror_columns(results["img"], width)
    _move(results, np.array([[-1.0, 0, width], [0, 1, 0], [0, 0, 1]]))

    def mirror_boxes(boxes: _BoxArray) -> _BoxArray:
        return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)

    _map_labels(results, mirror_boxes, lambda mask: _mirror_columns(mask, width))


def _resize_image(image: npt.NDArray[np.uint8], size_hw: tuple[int, int]) -> npt.NDArray[np.uint8]:
    hw = (image.shape[0], image.shape[1])
    while can_halve(hw, size_hw):
        hw = (hw[0] // 2, hw[1] // 2)
        image = cv2.resize(image, hw[::-1], interpolation=cv2.INTER_AREA)
    return image if hw == size_hw else cv2.resize(image, size_hw[::-1], interpolation=cv2.INTER_LINEAR)


def _mirror_columns(array: npt.NDArray[np.uint8], width: int) -> npt.NDArray[np.uint8]:
    flipped: npt.NDArray[np.uint8] = cv2.flip(array[:, :width], 1)
    return flipped if width == array.shape[1] else np.concatenate([flipped, array[:, width:]], axis=1)


def _move(results: Results, new_from_old: npt.NDArray[np.float64]) -> None:
    results["input_from_original"] = new_from_old @ results["input_from_original"]


def _map_labels(
    results: Results,
    map_boxes: Callable[[_BoxArray], _BoxArray],
    map_mask: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]],
) -> None:
    if "labels" not in results:  # a validation keeps its labels in original pixels
        return
    labels: Mapping[str, TaskAnnotation] = results["labels"]
    results["labels"] = {
        name: replace(label, mask=map_mask(label.mask))
        if isinstance(label, SegmentationAnnotation)
        else replace(label, bboxes=map_boxes(label.bboxes))
        for name, label in labels.items()
    }


def cut_boxes(
    label: DetectionAnnotation, window_xyxy: tuple[float, float, float, float], rule: CutBoxRule
) -> DetectionAnnotation:
    """Apply the rule for boxes at the border of a window.

    Args:
        label: Boxes, in the window's frame.
        window_xyxy: Left, top, right, bottom, px.
        rule: What becomes of boxes that it cuts.

    Returns:
        The boxes that are left.
    """
    low_high = np.array(window_xyxy, dtype=np.float32)
    clipped = np.clip(label.bboxes, np.tile(low_high[:2], 2), np.tile(low_high[2:], 2))
    size = clipped[:, 2:] - clipped[:, :2]
    full = label.bboxes[:, 2:] - label.bboxes[:, :2]
    visible = size.prod(axis=1) / full.prod(axis=1)
    is_cut = (clipped != label.bboxes).any(axis=1)
    keep = ~is_cut | ((size > 0).all(axis=1) & (size >= rule.min_size_px).all(axis=1))
    ignore = label.ignore_flags | (is_cut & (visible < rule.min_visible))
    return replace(label, bboxes=clipped[keep], labels=label.labels[keep], ignore_flags=ignore[keep])
