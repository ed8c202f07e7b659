"""Everything that is counted of a source, in memory that does not grow with its records; parts add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from admlops.analysis.class_states import STATES
from admlops.analysis.log_histogram import NUM_BINS
from admlops.task_spec import TaskKind, TaskSpec

HEAT_HW = (18, 32)
"""Cells of a position map."""

MEASURES = ("width_px", "height_px", "short_side_px", "input_width_px", "input_height_px", "input_short_side_px", "aspect")
"""Of a box: in px of the original, in px of the network's input, and width / height."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClassLayout:
    """All classes of the analysed tasks as one axis of length C, task after task.

    Attributes:
        tasks: The T tasks.
    """

    tasks: tuple[TaskSpec, ...]

    @property
    def names(self) -> tuple[tuple[TaskSpec, str], ...]:
        """The C classes with their tasks."""
        return tuple((task, name) for task in self.tasks for name in task.classes)

    def span(self, task: TaskSpec) -> slice:
        """Find a task's classes.

        Args:
            task: One of ``tasks``.

        Returns:
            Its part of the axis.
        """
        start = sum(len(other.classes) for other in self.tasks[: self.tasks.index(task)])
        return slice(start, start + len(task.classes))


@dataclass
class SourceCounts:
    """Counts over records; T tasks, C classes.

    Attributes:
        records: Records.
        image_sizes: Records by (height, width) in px.
        set_instances: Boxes, polylines or pixels by (task, category set).
        task_labelled: (T,) records that label the task.
        task_empty: (T,) of these, records without any instance of it, ignored ones included.
        untagged: (T,) records that hold a label although the source is not released for the task.
        states: (C, 4) records by state of the class.
        instances: (C,) boxes that are not ignored, or polylines.
        ignored: (C,) ignored boxes.
        images: (C,) records with an instance or a pixel of the class.
        negatives: (C,) records where the class is exhaustively labelled and absent.
        tiny: (C,) boxes whose shorter side is below the limit in the network's input.
        pixels: (C,) mask pixels.
        masks: (T,) records that give a mask.
        masks_read: (T,) of these, masks that were read.
        together: (C, C) records that show both classes.
        compared: (C, C) records that show the first class and tell whether the second is there.
        position: (C, 18, 32) boxes, polylines or mask area in each cell of the image.
        box_sizes: (C, 7, NUM_BINS) boxes by ``MEASURES``.
    """

    records: int
    image_sizes: Counter[tuple[int, int]]
    set_instances: Counter[tuple[str, str]]
    task_labelled: Ints
    task_empty: Ints
    untagged: Ints
    states: Ints
    instances: Ints
    ignored: Ints
    images: Ints
    negatives: Ints
    tiny: Ints
    pixels: Ints
    masks: Ints
    masks_read: Ints
    together: Ints
    compared: Ints
    position: npt.NDArray[np.float64]
    box_sizes: Ints

    @classmethod
    def zero(cls, layout: ClassLayout) -> SourceCounts:
        """Start counting.

        Args:
            layout: The classes.

        Returns:
            Zeros.
        """
        num_tasks, num_classes = len(layout.tasks), len(layout.names)
        by_task = {name: np.zeros(num_tasks, np.int64) for name in _BY_TASK}
        by_class = {name: np.zeros(num_classes, np.int64) for name in _BY_CLASS}
        return cls(
            records=0,
            image_sizes=Counter(),
            set_instances=Counter(),
            states=np.zeros((num_classes, len(STATES)), np.int64),
            together=np.zeros((num_classes, num_classes), np.int64),
            compared=np.zeros((num_classes, num_classes), np.int64),
            position=np.zeros((num_classes, *HEAT_HW)),
            box_sizes=np.zeros((num_classes, len(MEASURES), NUM_BINS), np.int64),
            **by_task,
            **by_class,
        )

    def add(self, other: SourceCounts) -> None:
        """Add the counts of other records.

        Args:
            other: Of the same layout.
        """
        self.records += other.records
        for item in fields(self):
            mine, others = getattr(self, item.name), getattr(other, item.name)
            if isinstance(mine, np.ndarray):
                mine += others
            elif isinstance(mine, Counter):
                mine.update(others)


def total_counts(layout: ClassLayout, parts: Sequence[SourceCounts]) -> SourceCounts:
    """Add up sources.

    Args:
        layout: The classes.
        parts: Counts of each.

    Returns:
        Their sum.
    """
    total = SourceCounts.zero(layout)
    for part in parts:
        total.add(part)
    return total


def is_mask_task(task: TaskSpec) -> bool:
    """Tell whether the labels of a task may be masks.

    Args:
        task: Any.

    Returns:
        True for semantic and lane tasks.
    """
    return task.kind is not TaskKind.DETECTION


_BY_TASK = ("task_labelled", "task_empty", "untagged", "masks", "masks_read")
_BY_CLASS = ("instances", "ignored", "images", "negatives", "tiny", "pixels")
