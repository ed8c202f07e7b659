"""Masks of semantic and lane tasks, and polylines: which classes, how many pixels, where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from admlops.analysis.class_states import ClassStates
from admlops.analysis.counts import HEAT_HW, SourceCounts
from admlops.analysis.label_columns import IN_SET, Bools, Ints, LabelColumns
from admlops.analysis.read_pixels import read_mask
from admlops.data_release.storage import DataPath
from admlops.errors import RecordError
from admlops.task_spec import IGNORE_INDEX, TaskSpec

_SAMPLES_PER_CELL = 4


class MaskColumns(LabelColumns):
    """Masks of a semantic task."""

    def __init__(self, task: TaskSpec, base_dir: DataPath) -> None:
        super().__init__(task, base_dir)
        self._shown: list[npt.NDArray[np.bool_]] = []
        self._is_read: list[bool] = []
        self._pixels = np.zeros(len(task.classes), np.int64)
        self._cells = np.zeros((len(task.classes), *HEAT_HW))

    def _add_payload(
        self, label: Mapping[str, Any], image_hw: tuple[int, int], read_pixels: bool, states: ClassStates, where: object
    ) -> None:
        if "mask" not in label:
            raise self._wrong_kind("mask", label, where)
        self.num_masks += 1
        self._is_read.append(read_pixels)
        if not read_pixels:
            self._shown.append(np.zeros(len(self.task.classes), dtype=bool))
            return
        self.num_masks_read += 1
        mask = read_mask(self._base_dir, label["mask"], image_hw, where)
        histogram = cv2.calcHist([mask], [0], None, [256], [0, 256]).ravel().round().astype(np.int64)
        self._refuse_values(histogram, states, where)
        first, stop = self.task.first_channel, self.task.num_channels
        for number, name in enumerate(states.set_names):
            self._set_instances[self.task.name, name] += int(histogram[stop + number])
        self._pixels += histogram[first:stop]
        self._shown.append(histogram[first:stop] > 0)
        self._cells += sample_cells(mask, first, stop)

    def _count_payload(
        self, counts: SourceCounts, span: slice, image_hw: Ints, resize_hw: tuple[int, int], min_side_px: float
    ) -> tuple[Bools, Bools, Bools]:
        counts.pixels[span] += self._pixels
        counts.position[span] += self._cells
        shown = np.array(self._shown, dtype=bool).reshape(-1, len(self.task.classes))
        is_read = np.array(self._is_read, dtype=bool)
        return shown, ~shown & is_read[:, None], ~shown.any(axis=1) & is_read

    def _refuse_values(self, histogram: Ints, states: ClassStates, where: object) -> None:
        first, stop = self.task.first_channel, self.task.num_channels
        allowed = np.zeros(256, dtype=bool)
        allowed[:first] = allowed[IGNORE_INDEX] = True
        allowed[first:stop] = states.may_occur
        allowed[stop : stop + len(states.set_names)] = True
        wrong = np.flatnonzero((histogram > 0) & ~allowed)
        if not len(wrong):
            return
        value = int(wrong[0])
        if value < stop:
            raise self._unlabelled(self.task.channels[value], where)
        raise RecordError(
            f"{self.task.name}: value {value} of a mask has no meaning",
            where=where,
            expected=f"labelled classes below {stop}, {len(states.set_names)} category sets from there on, or 255",
            got=f"{value} in {int(histogram[value])} pixels",
            remedy="map it to a class, a category set or 255 = ignore",
        )


class LaneColumns(MaskColumns):
    """Polylines or masks of a lane task."""

    def __init__(self, task: TaskSpec, base_dir: DataPath) -> None:
        super().__init__(task, base_dir)
        self._polylines = np.zeros(len(task.classes), np.int64)

    def _add_payload(
        self, label: Mapping[str, Any], image_hw: tuple[int, int], read_pixels: bool, states: ClassStates, where: object
    ) -> None:
        if "polylines" not in label:
            if "mask" not in label:
                raise self._wrong_kind("mask or polylines", label, where)
            super()._add_payload(label, image_hw, read_pixels, states, where)
            return
        shown = np.zeros(len(self.task.classes), dtype=bool)
        to_cells = np.array([HEAT_HW[1] / image_hw[1], HEAT_HW[0] / image_hw[0]])
        for polyline in label["polylines"]:
            if polyline["category"] is None:  # ignored
                continue
            number = self._class_number(polyline["category"], states, where)
            if number != IN_SET:
                shown[number] = True
                self._polylines[number] += 1
                cells = np.zeros(HEAT_HW, np.uint8)
                points = np.floor(np.array(polyline["points"], dtype=np.float64) * to_cells).clip(-1e4, 1e4)
                cv2.polylines(cells, [points.astype(np.int32)], isClosed=False, color=1)
                self._cells[number] += cells
        self._shown.append(shown)
        self._is_read.append(True)

    def _count_payload(
        self, counts: SourceCounts, span: slice, image_hw: Ints, resize_hw: tuple[int, int], min_side_px: float
    ) -> tuple[Bools, Bools, Bools]:
        counts.instances[span] += self._polylines
        return super()._count_payload(counts, span, image_hw, resize_hw, min_side_px)


def sample_cells(mask: npt.NDArray[np.uint8], first: int, stop: int) -> npt.NDArray[np.float64]:
    """Measure which share of each cell a channel takes, from 16 pixels a cell.

    Args:
        mask: (H, W).
        first: First channel.
        stop: One past the last.

    Returns:
        (stop - first, 18, 32) from 0 to 1.
    """
    side = _SAMPLES_PER_CELL
    rows, columns = HEAT_HW[0] * side, HEAT_HW[1] * side
    y = ((np.arange(rows) + 0.5) * mask.shape[0] / rows).astype(np.int64)
    x = ((np.arange(columns) + 0.5) * mask.shape[1] / columns).astype(np.int64)
    sampled = mask[y[:, None], x]
    cells = (np.arange(rows) // side)[:, None] * HEAT_HW[1] + np.arange(columns) // side
    num_cells = HEAT_HW[0] * HEAT_HW[1]
    counts = np.bincount((sampled.astype(np.int64) * num_cells + cells).ravel(), minlength=256 * num_cells)
    return counts.reshape(256, *HEAT_HW)[first:stop] / side**2
