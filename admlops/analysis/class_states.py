"""What a record's label says about each class of its task, as ``structures.LabelAvailability`` reads it for training.

===================  =====================================================================
``labelled``         every instance is annotated
``non_exhaustive``   the instances given are right, others may be missing
``set_only``         occurs in a category set: nobody knows which of its classes it is
``unknown``          not annotated, or the whole task is not
===================  =====================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from admlops.errors import RecordError
from admlops.task_spec import TaskSpec

STATES = ("labelled", "non_exhaustive", "set_only", "unknown")
LABELLED, NON_EXHAUSTIVE, SET_ONLY, UNKNOWN = range(len(STATES))

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ClassStates:
    """States of one task's N classes in one record.

    Attributes:
        states: (N,) uint8, positions in ``STATES``.
        may_occur: (N,) bool, the label may name the class itself.
        set_names: Category sets, in the order of the record.
    """

    states: npt.NDArray[np.uint8]
    may_occur: BoolArray
    set_names: tuple[str, ...]


def read_class_states(task: TaskSpec, label: Mapping[str, Any], where: object) -> ClassStates:
    """Read ``labelled_categories``, ``non_exhaustive_categories`` and ``category_sets``.

    Args:
        task: The task.
        label: ``record["labels"][task.name]``.
        where: File and line, named in errors; turned into words only then.

    Returns:
        The states.

    Raises:
        RecordError: A class that the task does not have, or a non-exhaustive one that is not labelled, or a set with a
            class's name.
    """
    names: Sequence[str] = label.get("labelled_categories", task.classes)
    may_occur = np.zeros(len(task.classes), dtype=bool)
    may_occur[[task.class_named(name, "labelled_categories", where) for name in names]] = True
    states = np.where(may_occur, LABELLED, UNKNOWN).astype(np.uint8)
    for name in label.get("non_exhaustive_categories", ()):
        position = task.class_named(name, "non_exhaustive_categories", where)
        if not may_occur[position]:
            raise RecordError(
                f"{task.name}: non-exhaustive class {name!r} is not labelled at all",
                where=where,
                expected="non_exhaustive_categories to be among labelled_categories",
                got=list(names),
            )
        states[position] = NON_EXHAUSTIVE
    sets: Mapping[str, Sequence[str]] = label.get("category_sets", {})
    for set_name, members in sets.items():
        if set_name in task.channels:
            raise RecordError(
                f"{task.name}: unusable category set {set_name!r}", where=where, expected="a name that no class has"
            )
        states[[task.class_named(name, f"category_sets[{set_name!r}]", where) for name in members]] = SET_ONLY
    return ClassStates(states, may_occur, tuple(sets))
