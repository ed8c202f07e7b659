"""Labels of the lidar network's tasks: which sources label them. Their cells are made while training, so none is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from admlops.analysis.class_states import ClassStates
from admlops.analysis.counts import SourceCounts
from admlops.analysis.label_columns import Bools, Ints, LabelColumns
from admlops.data_release.storage import DataPath
from admlops.task_spec import TaskSpec

PAYLOADS = ("point_labels", "boxes_3d", "polygons")


class CloudColumns(LabelColumns):
    """Point labels, boxes or map polygons; they count as masks that nobody read."""

    def __init__(self, task: TaskSpec, base_dir: DataPath) -> None:
        super().__init__(task, base_dir)
        self._empty: list[bool] = []

    def _add_payload(
        self, label: Mapping[str, Any], image_hw: tuple[int, int], read_pixels: bool, states: ClassStates, where: object
    ) -> None:
        payload = next((key for key in PAYLOADS if key in label), None)
        if payload is None:
            raise self._wrong_kind(" or ".join(PAYLOADS), label, where)
        self.num_masks += 1
        for name in label.get("categories", ()):
            self._class_number(name, states, where)
        self._empty.append(not label[payload])

    def _count_payload(
        self, counts: SourceCounts, span: slice, image_hw: Ints, resize_hw: tuple[int, int], min_side_px: float
    ) -> tuple[Bools, Bools, Bools]:
        nothing = np.zeros((len(self._empty), len(self.task.classes)), dtype=bool)
        return nothing, nothing, np.array(self._empty, dtype=bool)
