"""Labels of one task, collected record by record as plain lists and counted all at once.

A list that grows costs tens of nanoseconds, a NumPy call on three boxes some microseconds: over millions of records, that is
where the time goes.
"""

from __future__ import annotations

import abc
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from admlops.analysis.class_states import LABELLED, ClassStates, read_class_states
from admlops.analysis.counts import SourceCounts
from admlops.data_release.storage import DataPath
from admlops.errors import RecordError, nearest
from admlops.task_spec import TaskSpec

_AVAILABILITY_KEYS = ("labelled_categories", "non_exhaustive_categories", "category_sets")
IN_SET = -1
"""Class number of an instance that a category set names."""

_ALL_LABELLED = 0

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class LabelColumns(abc.ABC):
    """Labels of one task over some records.

    Args:
        task: The task.
        base_dir: What relative paths of masks refer to.
    """

    def __init__(self, task: TaskSpec, base_dir: DataPath) -> None:
        self.task = task
        self._base_dir = base_dir
        self._known = {_ALL_LABELLED: read_class_states(task, {}, None)}
        self._numbers: dict[str, int] = {}
        self._rows: list[int] = []
        self._states: list[int] = []
        self._classes = {name: number for number, name in enumerate(task.classes)}
        self._set_instances: Counter[tuple[str, str]] = Counter()
        self.num_masks = self.num_masks_read = 0

    def add(self, row: int, label: Mapping[str, Any], image_hw: tuple[int, int], read_pixels: bool, where: object) -> None:
        """Take over a label.

        Args:
            row: Number of the record among those scanned.
            label: Of the record.
            image_hw: Its image's height and width in px.
            read_pixels: Read the mask, where the label is one.
            where: The record, named in errors.

        Raises:
            RecordError: The label does not suit the task, or its mask is missing or damaged.
        """
        number = _ALL_LABELLED if label.keys().isdisjoint(_AVAILABILITY_KEYS) else self._state_number(label, where)
        self._rows.append(row)
        self._states.append(number)
        self._add_payload(label, image_hw, read_pixels, self._known[number], where)

    @abc.abstractmethod
    def _add_payload(
        self, label: Mapping[str, Any], image_hw: tuple[int, int], read_pixels: bool, states: ClassStates, where: object
    ) -> None:
        """Collect boxes, polylines or pixels."""

    @abc.abstractmethod
    def _count_payload(
        self, counts: SourceCounts, span: slice, image_hw: Ints, resize_hw: tuple[int, int], min_side_px: float
    ) -> tuple[Bools, Bools, Bools]:
        """Count them; returns (L, K) what is shown, (L, K) what is absent, (L,) what is empty, of L labelled records."""

    def count(
        self,
        counts: SourceCounts,
        number: int,
        span: slice,
        present: npt.NDArray[np.float32],
        known: npt.NDArray[np.float32],
        image_hw: Ints,
        resize_hw: tuple[int, int],
        min_side_px: float,
    ) -> None:
        """Add what was collected to the counts.

        Args:
            counts: To add to.
            number: Of the task.
            span: Of the task's K classes.
            present: (R, C), set to 1 where a record shows a class.
            known: (R, C), set to 1 where a record tells whether a class is there.
            image_hw: (R, 2) height and width in px.
            resize_hw: Of the network's input, see ``ScanOptions``.
            min_side_px: See ``ScanOptions``.
        """
        table = np.stack([states.states for states in self._known.values()])
        states = table[np.array(self._states, dtype=np.int64)]
        counts.task_labelled[number] += len(states)
        for state in range(counts.states.shape[1]):
            counts.states[span, state] += (states == state).sum(axis=0)
        counts.states[span, -1] += len(image_hw) - len(states)
        counts.masks[number] += self.num_masks
        counts.masks_read[number] += self.num_masks_read
        shown, absent, empty = self._count_payload(counts, span, image_hw, resize_hw, min_side_px)
        absent = absent & (states == LABELLED)
        rows = np.array(self._rows, dtype=np.int64)
        present[rows, span] = shown
        known[rows, span] = shown | absent
        counts.negatives[span] += absent.sum(axis=0)
        counts.task_empty[number] += int(empty.sum())
        counts.set_instances.update(self._set_instances)

    def _state_number(self, label: Mapping[str, Any], where: object) -> int:
        key = repr([label.get(name) for name in _AVAILABILITY_KEYS])
        number = self._numbers.get(key)
        if number is None:
            number = len(self._known)
            self._known[number] = read_class_states(self.task, label, where)
            self._numbers[key] = number
        return number

    def _class_number(self, name: str, states: ClassStates, where: object) -> int:
        number = self._classes.get(name, IN_SET)
        if number == IN_SET:
            if name not in states.set_names:
                candidates = (*self.task.classes, *states.set_names)
                raise RecordError(
                    f"{self.task.name} has no class {name!r}",
                    where=where,
                    expected=f"one of {', '.join(candidates)}",
                    got=repr(name),
                    remedy=nearest(name, candidates),
                )
            self._set_instances[self.task.name, name] += 1
        elif not states.may_occur[number]:
            raise self._unlabelled(name, where)
        return number

    def _unlabelled(self, name: str, where: object) -> RecordError:
        return RecordError(
            f"{self.task.name}: {name!r} occurs although it is not among labelled_categories",
            where=where,
            expected="only labelled classes",
            got=repr(name),
            remedy=f"add {name!r} to labelled_categories, or leave its labels out",
        )

    def _wrong_kind(self, expected: str, label: Mapping[str, Any], where: object) -> RecordError:
        return RecordError(
            f"{self.task.name} is a {self.task.kind.value} task, its label is not of that kind",
            where=where,
            expected=expected,
            got=", ".join(label),
        )
