"""Boxes of a detection task: how many, how large, where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from admlops.analysis.class_states import ClassStates
from admlops.analysis.counts import HEAT_HW, SourceCounts
from admlops.analysis.label_columns import IN_SET, Bools, Ints, LabelColumns
from admlops.analysis.log_histogram import NUM_BINS, bins_of
from admlops.data_release.storage import DataPath
from admlops.task_spec import TaskSpec


class BoxColumns(LabelColumns):
    """Boxes of a detection task."""

    def __init__(self, task: TaskSpec, base_dir: DataPath) -> None:
        super().__init__(task, base_dir)
        self._boxes: list[list[float]] = []
        self._box_classes: list[int] = []
        self._ignore: list[bool] = []
        self._num_boxes: list[int] = []

    def _add_payload(
        self, label: Mapping[str, Any], image_hw: tuple[int, int], read_pixels: bool, states: ClassStates, where: object
    ) -> None:
        if "boxes" not in label:
            raise self._wrong_kind("boxes", label, where)
        boxes, names = label["boxes"], label["categories"]
        self._boxes += boxes
        self._box_classes += [self._class_number(name, states, where) for name in names]
        self._ignore += label.get("ignore") or [False] * len(boxes)
        self._num_boxes.append(len(boxes))

    def _count_payload(
        self, counts: SourceCounts, span: slice, image_hw: Ints, resize_hw: tuple[int, int], min_side_px: float
    ) -> tuple[Bools, Bools, Bools]:
        num_classes = len(self.task.classes)
        boxes = np.array(self._boxes, dtype=np.float64).reshape(-1, 4)
        classes = np.array(self._box_classes, dtype=np.int64)
        ignored = np.array(self._ignore, dtype=bool)
        labels = np.repeat(np.arange(len(self._num_boxes)), self._num_boxes)
        own = classes != IN_SET
        occurs = np.zeros((len(self._num_boxes), num_classes), dtype=bool)
        occurs[labels[own], classes[own]] = True
        counts.ignored[span] += np.bincount(classes[own & ignored], minlength=num_classes)
        kept = own & ~ignored
        shown = np.zeros_like(occurs)
        shown[labels[kept], classes[kept]] = True
        hw = image_hw[np.array(self._rows, dtype=np.int64)][labels[kept]].astype(np.float64)
        boxes, classes = boxes[kept], classes[kept]
        counts.instances[span] += np.bincount(classes, minlength=num_classes)
        sizes = boxes[:, 2:] - boxes[:, :2]
        scale = np.minimum(resize_hw[0] / hw[:, 0], resize_hw[1] / hw[:, 1])
        short = sizes.min(axis=1, initial=np.inf)
        columns = (
            *sizes.T,
            short,
            *(sizes * scale[:, None]).T,
            short * scale,
            sizes[:, 0] / np.maximum(sizes[:, 1], 1e-9),
        )
        for measure, values in enumerate(columns):
            flat = np.bincount(classes * NUM_BINS + bins_of(values), minlength=num_classes * NUM_BINS)
            counts.box_sizes[span, measure] += flat.reshape(num_classes, NUM_BINS)
        counts.tiny[span] += np.bincount(classes[short * scale < min_side_px], minlength=num_classes)
        counts.position[span] += cover_cells(boxes / hw[:, [1, 0, 1, 0]], classes, num_classes)
        return shown, ~occurs, np.array(self._num_boxes, dtype=np.int64) == 0


def cover_cells(boxes: npt.NDArray[np.float64], classes: Ints, num_classes: int) -> npt.NDArray[np.float64]:
    """Count the boxes that touch each cell of the image, by the corners of their cells and two running sums.

    Args:
        boxes: (N, 4) x1 y1 x2 y2 in shares of the image.
        classes: (N,).
        num_classes: Number K of classes.

    Returns:
        (K, 18, 32).
    """
    rows, columns = HEAT_HW
    left = np.floor(boxes[:, 0] * columns).clip(0, columns - 1).astype(np.int64)
    right = np.ceil(boxes[:, 2] * columns).clip(left + 1, columns).astype(np.int64)
    top = np.floor(boxes[:, 1] * rows).clip(0, rows - 1).astype(np.int64)
    bottom = np.ceil(boxes[:, 3] * rows).clip(top + 1, rows).astype(np.int64)
    size = num_classes * (rows + 1) * (columns + 1)
    steps = np.zeros(size)
    for y, x, sign in ((top, left, 1), (top, right, -1), (bottom, left, -1), (bottom, right, 1)):
        steps += sign * np.bincount((classes * (rows + 1) + y) * (columns + 1) + x, minlength=size)
    grid = steps.reshape(num_classes, rows + 1, columns + 1).cumsum(axis=1).cumsum(axis=2)
    covered: npt.NDArray[np.float64] = grid[:, :-1, :-1]
    return covered
