"""What a source annotated of a task: the one place where the keys of a record become masks.

A record's label says, class by class, how far it can be trusted:

==========================  ==================  =====================  =========================
the class is                positives trusted   background trusted     in the metric
==========================  ==================  =====================  =========================
annotated                   yes                 yes                    yes
``non_exhaustive``          yes                 no                     no
in a ``category_sets``      yes                 yes                    no
not ``labelled``            no                  no                     no
==========================  ==================  =====================  =========================

An absent task key means that nothing of the task is known; then there is no ``LabelAvailability`` at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from admlops.errors import RecordError
from admlops.task_spec import TaskKind, TaskSpec

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LabelAvailability:
    """Availability of one task's labels in one sample, over the task's K channels.

    Attributes:
        class_labelled: (K,) bool, the source annotated this class, so that its positives are trusted.
        class_exhaustive: (K,) bool, every instance is annotated, so that background is trusted; a subset of ``class_labelled``.
        category_sets: (S, K) bool, row s holds the channels that label ``K + s`` may be: a source coarser than the task.
        set_names: Names of the S sets, in the order of the record.
    """

    class_labelled: BoolArray
    class_exhaustive: BoolArray
    category_sets: BoolArray
    set_names: tuple[str, ...] = ()

    @property
    def in_metric(self) -> BoolArray:
        """(K,) bool: exhaustively annotated and in no category set."""
        in_set = self.category_sets.any(axis=0) if len(self.category_sets) else np.zeros_like(self.class_labelled)
        return self.class_exhaustive & ~in_set

    @classmethod
    def from_label(cls, task: TaskSpec, label: Mapping[str, Any], where: object = None) -> LabelAvailability:
        """Read ``labelled_categories``, ``non_exhaustive_categories`` and ``category_sets`` of a record's label.

        Args:
            task: The task that the label belongs to.
            label: ``record["labels"][task.name]``.
            where: File and line, named in errors.

        Returns:
            The availability. Background of a lane task is available wherever the task is labelled.

        Raises:
            RecordError: A named class is not one of the task's, a set is empty or takes a class's name, or a
                non-exhaustive class is not among the labelled ones.
        """
        labelled = np.zeros(task.num_channels, dtype=bool)
        names = label.get("labelled_categories")
        for name in task.classes if names is None else names:
            labelled[task.first_channel + task.class_named(name, "labelled_categories", where)] = True
        exhaustive = labelled.copy()
        for name in label.get("non_exhaustive_categories", ()):
            channel = task.first_channel + task.class_named(name, "non_exhaustive_categories", where)
            if not labelled[channel]:
                raise RecordError(
                    f"{task.name}: non-exhaustive class {name!r} is not labelled at all",
                    where=where,
                    expected="non_exhaustive_categories to be among labelled_categories",
                    got=names,
                )
            exhaustive[channel] = False
        sets: Mapping[str, Sequence[str]] = label.get("category_sets") or {}
        masks = np.zeros((len(sets), task.num_channels), dtype=bool)
        for row, (set_name, members) in enumerate(sets.items()):
            if not members or set_name in task.channels:
                raise RecordError(
                    f"{task.name}: unusable category set {set_name!r}",
                    where=where,
                    expected="a name that no class has, with at least one class",
                    got=f"{set_name!r}: {list(members)!r}",
                )
            for name in members:
                masks[row, task.first_channel + task.class_named(name, f"category_sets[{set_name!r}]", where)] = True
        if task.kind is TaskKind.LANE:
            labelled[0] = exhaustive[0] = True
        return cls(labelled, exhaustive, masks, tuple(sets))
