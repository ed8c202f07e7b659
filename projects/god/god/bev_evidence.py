"""What a record says of a task of the grid: from which points and polygons its cells are labelled, and by which rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from admlops.errors import ConfigError, RecordError
from admlops.point_class import PointClass
from admlops.structures import LabelAvailability
from admlops.task_spec import IGNORE_INDEX, TaskKind, TaskSpec
from god.taxonomy import GROUND

_GROUND_CLASSES = {point_class.name.lower(): point_class for point_class in GROUND if point_class != PointClass.DRIVEABLE}
_EITHER = frozenset({"road", "parking"})


class BevRule(Enum):
    """By which rules of ``rasterize`` the cells of a task are labelled."""

    OBSTACLES = "obstacles"
    DRIVABLE = "drivable"
    GROUND_CLASSES = "ground_classes"

    @classmethod
    def of_task(cls, task: TaskSpec) -> BevRule:
        """Choose the rules by a task's classes.

        Args:
            task: Any.

        Returns:
            Its rules.

        Raises:
            ConfigError: No rule makes cells of these classes.
        """
        if task.kind is TaskKind.SEMANTIC:
            if task.classes == ("free", "obstacle"):
                return cls.OBSTACLES
            if task.classes == ("not_drivable", "drivable"):
                return cls.DRIVABLE
            if set(task.classes) <= _GROUND_CLASSES.keys():
                return cls.GROUND_CLASSES
        raise ConfigError(
            f"task {task.name!r} is none of a grid seen from above",
            expected=f"a semantic task: free, obstacle; not_drivable, drivable; or some of {', '.join(_GROUND_CLASSES)}",
            got=f"a {task.kind.value} task: {', '.join(task.classes)}",
            remedy="leave it out of the tasks of this network",
        )


PAYLOADS_OF_RULE: dict[BevRule, tuple[str, ...]] = {
    BevRule.OBSTACLES: ("point_labels", "boxes_3d"),
    BevRule.DRIVABLE: ("point_labels", "polygons"),
    BevRule.GROUND_CLASSES: ("point_labels", "polygons"),
}
"""Labels of a record that can tell a rule's classes."""


@dataclass(frozen=True)
class BevEvidence:
    """Of one labelled task of a sample.

    Attributes:
        task: It.
        rule: By which its cells are labelled.
        availability: What the source annotated.
        payload: ``point_labels``, ``boxes_3d`` or ``polygons``.
        source: Name of the labels in ``PointCloud.fields`` and ``polygons``; tasks that read one file share it.
        polygon_values: Mask value of each polygon.
        size_of_instance: (M + 1,) size in m by number of the box, boxes only.
        has_instances: Whether the source tells one thing from another.
    """

    task: TaskSpec
    rule: BevRule
    availability: LabelAvailability
    payload: str
    source: str
    polygon_values: tuple[int, ...] = ()
    size_of_instance: npt.NDArray[np.float64] | None = None
    has_instances: bool = True

    @property
    def class_field(self) -> str:
        """Name of the field (N,) uint8 ``PointClass``; point labels only."""
        return f"class {self.source}"

    @property
    def instance_field(self) -> str:
        """Name of the field (N,) int64 number of the instance, 0 = none, -1 = in an ignored box; not of polygons."""
        return f"instance {self.source}"

    @property
    def region_name(self) -> str:
        """Name of the polygon outside of which nobody drew boxes."""
        return f"region {self.source}"

    @property
    def background(self) -> int:
        """Mask value outside of all polygons: what is not drivable, where the source says so; else 255."""
        return 0 if self.rule is BevRule.DRIVABLE else IGNORE_INDEX

    @property
    def values_of_classes(self) -> npt.NDArray[np.uint8]:
        """(10,) mask value of each ``PointClass``, 255 where it is none of the task's classes."""
        values = np.full(len(PointClass), IGNORE_INDEX, dtype=np.uint8)
        for name, point_class in _GROUND_CLASSES.items():
            if name in self.task.classes:
                values[point_class] = self.task.channel_of(name)
        if (set_value := either_value(self.task, self.availability)) is not None:
            values[PointClass.DRIVEABLE] = set_value
        return values

    def drop_unlabelled(self, mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Make cells of classes unknown that the source did not annotate.

        Args:
            mask: Any shape.

        Returns:
            The same shape.
        """
        table = np.full(256, IGNORE_INDEX, dtype=np.uint8)
        kept = [*np.flatnonzero(self.availability.class_labelled)]
        kept += [self.task.num_channels + i for i in range(len(self.availability.set_names))]
        table[kept] = kept
        return table[mask]


def either_value(task: TaskSpec, availability: LabelAvailability) -> int | None:
    """Find the mask value of "road or parking".

    Args:
        task: Of ground classes.
        availability: What the source annotated.

    Returns:
        Value of the category set of exactly these two; None where the record has no such set.
    """
    for row, members in enumerate(availability.category_sets):
        if {task.classes[i] for i in np.flatnonzero(members)} == _EITHER:
            return task.num_channels + row
    return None


def payload_of(task: TaskSpec, rule: BevRule, label: Mapping[str, Any], where: object) -> str:
    """Find the labels of a task in a record.

    Args:
        task: It.
        rule: Its rule.
        label: ``labels[task]`` of the record.
        where: Record, for the error.

    Returns:
        The key of its labels.

    Raises:
        RecordError: They are of a kind that cannot tell the task's classes.
    """
    for payload in PAYLOADS_OF_RULE[rule]:
        if payload in label:
            return payload
    raise RecordError(
        f"{task.name} cannot be told from labels of this kind",
        where=where,
        expected=" or ".join(PAYLOADS_OF_RULE[rule]),
        got=", ".join(label),
        remedy="leave the task out of the record's labels: absent means unknown",
    )
