"""Paint one task's labels or predictions onto a picture: tints, lanes, boxes. BGR, changed in place, cv2 only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from admlops.task_spec import IGNORE_INDEX, Color, TaskSpec

ImageArray = npt.NDArray[np.uint8]
Rectangle = tuple[int, int, int, int]
"""x1, y1, x2, y2 in pixels."""

FONT = cv2.FONT_HERSHEY_SIMPLEX
TINT = 0.45
"""Share of the class's colour in a tinted pixel; the rest is the picture."""
SET_COLOR: Color = (255, 255, 255)
"""Of labels that name a set of classes; no class of its own."""
HATCH_STEP_PX = 10


@dataclass(frozen=True)
class DrawnBoxes:
    """Boxes of one task, ready to be painted.

    Attributes:
        bboxes: (N, 4) xyxy in the picture's pixels.
        texts: N captions.
        colors: N RGB colours.
        ignored: (N,) bool; dashed.
    """

    bboxes: npt.NDArray[np.float64]
    texts: tuple[str, ...]
    colors: tuple[Color, ...]
    ignored: npt.NDArray[np.bool_]


def text_scale(height_px: int) -> float:
    """Choose a font scale that stays readable when the picture is shown at screen size.

    Args:
        height_px: Height of the picture.

    Returns:
        Scale for cv2's Hershey font.
    """
    return max(0.42, height_px / 1500)


def tint_classes(image: ImageArray, mask_HW: ImageArray, task: TaskSpec, hatch: bool = True) -> None:
    """Tint each pixel with the colour of its class; hatch the pixels that carry no label.

    Args:
        image: (H, W, 3) BGR, changed.
        mask_HW: Index mask; 255 = no label, values from K on are category sets.
        task: A semantic task.
        hatch: Whether 255 means unlabelled and is marked, or not seen and is left as it is.
    """
    table = np.empty((256, 1, 3), np.uint8)
    table[:] = SET_COLOR
    table[: task.num_channels, 0] = np.array(task.palette, np.uint8)[:, ::-1]
    tinted = cv2.addWeighted(image, 1 - TINT, cv2.applyColorMap(mask_HW, table), TINT, 0)
    unlabelled = mask_HW == IGNORE_INDEX
    np.copyto(image, tinted, where=~unlabelled[..., None])
    if hatch:
        _hatch(image, unlabelled, rising=True)


def _hatch(image: ImageArray, unlabelled_HW: npt.NDArray[np.bool_], rising: bool) -> None:
    if unlabelled_HW.any():
        height, width = unlabelled_HW.shape
        columns = np.arange(width) if rising else -np.arange(width)
        lines = (np.arange(height)[:, None] + columns) % HATCH_STEP_PX == 0
        image[lines & unlabelled_HW] = 128


def dim_unseen(image: ImageArray, mask_HW: ImageArray) -> None:
    """Darken the pixels that the network's input does not show.

    Args:
        image: (H, W, 3) BGR, changed.
        mask_HW: Predicted mask, 255 = not seen.
    """
    unseen = mask_HW == IGNORE_INDEX
    if unseen.any():
        np.copyto(image, image // 2, where=unseen[..., None])


def paint_lanes(image: ImageArray, mask_HW: ImageArray, task: TaskSpec, hatch: bool = True) -> None:
    """Paint lanes opaque, with a dark rim that keeps white lanes apart from bright roads.

    Args:
        image: (H, W, 3) BGR, changed.
        mask_HW: Index mask, 0 = background, 255 = no label.
        task: A lane task.
        hatch: Whether 255 means unlabelled and is marked, or not seen and is left as it is.
    """
    if hatch:
        _hatch(image, mask_HW == IGNORE_INDEX, rising=False)
    lane = ((mask_HW != 0) & (mask_HW != IGNORE_INDEX)).astype(np.uint8)
    rows = np.flatnonzero(lane.any(axis=1))
    if not rows.size:
        return
    # The rim needs one more row on either side.
    cut = slice(max(rows[0] - 1, 0), rows[-1] + 2)
    lane, mask, part = lane[cut], mask_HW[cut], image[cut]
    rim = cv2.dilate(lane, np.ones((3, 3), np.uint8)) > lane
    part[rim] = 0
    table = np.empty((256, 3), np.uint8)
    table[:] = SET_COLOR
    table[1 : task.num_channels] = np.array(task.palette, np.uint8)[:, ::-1]
    painted = lane.astype(bool)
    part[painted] = table[mask[painted]]


def paint_boxes(image: ImageArray, groups: Sequence[DrawnBoxes]) -> None:
    """Paint boxes of all tasks, then as many captions as fit without covering each other.

    Args:
        image: (H, W, 3) BGR, changed.
        groups: Boxes of each task.
    """
    items: list[tuple[Rectangle, str, Color]] = []
    for boxes in groups:
        for bbox, text, color, ignored in zip(boxes.bboxes, boxes.texts, boxes.colors, boxes.ignored, strict=True):
            x1, y1, x2, y2 = (int(value) for value in np.rint(bbox))
            items.append(((x1, y1, x2, y2), text, color))
            thickness = 1 if min(x2 - x1, y2 - y1) < 24 else 2
            if ignored:
                _dashed_rectangle(image, (x1, y1, x2, y2), color[::-1], thickness)
            else:
                cv2.rectangle(image, (x1, y1), (x2, y2), color[::-1], thickness)
    # Large boxes first: a viewer finds the caption of a small one by its colour in the legend.
    items.sort(key=lambda item: -(item[0][2] - item[0][0]) * (item[0][3] - item[0][1]))
    scale = text_scale(image.shape[0])
    taken: list[Rectangle] = []
    for box, text, color in items:
        (width, height), base = cv2.getTextSize(text, FONT, scale, 1)
        place = _free_place(box, (width + 4, height + base + 2), image.shape[:2], taken) if text else None
        if place is not None:
            taken.append(place)
            cv2.rectangle(image, place[:2], place[2:], color[::-1], -1)
            put_text(image, text, (place[0] + 2, place[3] - base), scale, _contrast(color))


def put_text(image: ImageArray, text: str, origin: tuple[int, int], scale: float, color: Color) -> None:
    """Write one line of text.

    Args:
        image: BGR, changed.
        text: ASCII; cv2's fonts have nothing else.
        origin: x, y of the left end of the base line.
        scale: Font scale.
        color: RGB.
    """
    cv2.putText(image, text.encode("ascii", "replace").decode(), origin, FONT, scale, color[::-1], 1, cv2.LINE_AA)


def _contrast(color: Color) -> Color:
    return (0, 0, 0) if 0.3 * color[0] + 0.59 * color[1] + 0.11 * color[2] > 110 else (255, 255, 255)


def _free_place(
    box: Rectangle, size_wh: tuple[int, int], shape_hw: tuple[int, ...], taken: Sequence[Rectangle]
) -> Rectangle | None:
    width, height = size_wh
    left = min(max(box[0], 0), shape_hw[1] - width - 1)
    # Above, below, beside to the right, beside to the left.
    for x, y in ((left, box[1] - height), (left, box[3] + 1), (box[2] + 1, box[1]), (box[0] - width - 1, box[1])):
        place = (x, y, x + width, y + height)
        inside = x >= 0 and y >= 0 and place[2] < shape_hw[1] and place[3] < shape_hw[0]
        if inside and not any(
            place[0] < other[2] and other[0] < place[2] and place[1] < other[3] and other[1] < place[3] for other in taken
        ):
            return place
    return None


def _dashed_rectangle(image: ImageArray, box: Rectangle, color: Color, thickness: int) -> None:
    x1, y1, x2, y2 = box
    dash_px = 6
    for x in range(x1, x2, 2 * dash_px):
        for y in (y1, y2):
            cv2.line(image, (x, y), (min(x + dash_px, x2), y), color, thickness)
    for y in range(y1, y2, 2 * dash_px):
        for x in (x1, x2):
            cv2.line(image, (x, y), (x, min(y + dash_px, y2)), color, thickness)
