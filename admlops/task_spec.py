"""What a task is: its name, kind, classes and colours; the camera network's six tasks and the lidar network's four."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from admlops.errors import AdmlopsError, ConfigError, RecordError, nearest

IGNORE_INDEX = 255
"""Mask value of a pixel that nobody labelled: no loss, no metric."""

BACKGROUND = "background"
"""Name of channel 0 of a lane task."""

Color = tuple[int, int, int]


class TaskKind(str, Enum):
    """How a task's labels and outputs are shaped."""

    DETECTION = "detection"
    SEMANTIC = "semantic"
    LANE = "lane"


@dataclass(frozen=True)
class TaskSpec:
    """A task of a network.

    Attributes:
        name: Identifier; the key in a record's ``labels``, a release's ``task_tags`` and a network's ``branches``.
        kind: Detection, semantic segmentation, or lanes (a semantic task whose channel 0 is background).
        classes: The classes that a source can label, in the order of their indices.
        palette: One RGB colour a class.
    """

    name: str
    kind: TaskKind
    classes: tuple[str, ...]
    palette: tuple[Color, ...]

    def __post_init__(self) -> None:
        if not self.classes or len(set(self.classes)) != len(self.classes) or BACKGROUND in self.classes:
            raise ConfigError(
                f"task {self.name!r} has unusable classes",
                expected=f"one or more distinct names other than {BACKGROUND!r}",
                got=self.classes,
            )
        if len(self.palette) != len(self.classes):
            raise ConfigError(
                f"task {self.name!r} has a palette of the wrong length",
                expected=f"{len(self.classes)} RGB colours",
                got=f"{len(self.palette)}",
            )

    @property
    def first_channel(self) -> int:
        """Channel (and mask value) of ``classes[0]``: 1 for lanes, whose channel 0 is background, else 0."""
        return 1 if self.kind is TaskKind.LANE else 0

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the output channels: the classes, for lanes with background before them."""
        return (BACKGROUND, *self.classes) if self.kind is TaskKind.LANE else self.classes

    @property
    def num_channels(self) -> int:
        """Number K of output channels (class logits) of the task."""
        return len(self.channels)

    def channel_of(self, class_name: str, where: object = None) -> int:
        """Look up the channel of a class.

        Args:
            class_name: One of ``classes``.
            where: Named in the error.

        Returns:
            Index into ``channels``.

        Raises:
            ConfigError: The task has no such class; the nearest valid one is named.
        """
        message = f"task {self.name!r} has no class {class_name!r}"
        return self.first_channel + self._class_number(class_name, ConfigError, message, where)

    def class_named(self, class_name: str, key: str, where: object) -> int:
        """Look up a class that a record names.

        Args:
            class_name: One of ``classes``.
            key: Of the label, for the error.
            where: File and line, for the error.

        Returns:
            Index into ``classes``.

        Raises:
            RecordError: The task has no such class; the nearest valid one is named.
        """
        return self._class_number(class_name, RecordError, f"{self.name}.{key} names an unknown class {class_name!r}", where)

    def _class_number(self, name: str, error: type[AdmlopsError], message: str, where: object) -> int:
        if name not in self.classes:
            expected = f"one of {', '.join(self.classes)}"
            raise error(message, where=where, expected=expected, got=repr(name), remedy=nearest(str(name), self.classes))
        return self.classes.index(name)


def _task(name: str, kind: TaskKind, colors: Mapping[str, Color]) -> TaskSpec:
    return TaskSpec(name, kind, tuple(colors), tuple(colors.values()))


CAMERA_TASKS: dict[str, TaskSpec] = {
    spec.name: spec
    for spec in (
        _task(
            "det_cyclist_light",
            TaskKind.DETECTION,
            {"cyclist": (255, 128, 0), "traffic_light": (0, 230, 118)},
        ),
        _task("det_person", TaskKind.DETECTION, {"person": (255, 23, 68)}),
        _task(
            "det_rear",
            TaskKind.DETECTION,
            {"vehicle_rear": (213, 0, 249), "vehicle_head": (124, 77, 255)},
        ),
        _task(
            "det_vehicle_sign",
            TaskKind.DETECTION,
            {"vehicle": (41, 121, 255), "traffic_sign": (255, 234, 0)},
        ),
        _task(
            "seg_default",
            TaskKind.SEMANTIC,
            {
                "road": (128, 64, 128),
                "sidewalk": (244, 35, 232),
                "building": (70, 70, 70),
                "fence": (190, 153, 153),
                "pole": (153, 153, 153),
                "sign": (220, 220, 0),
                "vegetation": (107, 142, 35),
                "terrain": (152, 251, 152),
                "sky": (70, 130, 180),
                "person": (220, 20, 60),
                "cyclist": (255, 110, 0),
                "vehicle": (0, 0, 142),
            },
        ),
        _task(
            "seg_lane",
            TaskKind.LANE,
            {
                "dashed_white": (0, 229, 255),
                "solid_white": (255, 255, 255),
                "solid_yellow": (255, 214, 0),
                "double_yellow": (255, 109, 0),
            },
        ),
    )
}
"""The six tasks of the camera network, by name."""

_OBSTACLE: dict[str, Color] = {"free": (84, 110, 122), "obstacle": (255, 82, 82)}

LIDAR_TASKS: dict[str, TaskSpec] = {
    spec.name: spec
    for spec in (
        _task("god_base", TaskKind.SEMANTIC, _OBSTACLE),
        _task("god_hd", TaskKind.SEMANTIC, _OBSTACLE),
        _task("drivable_2cls", TaskKind.SEMANTIC, {"not_drivable": (84, 74, 104), "drivable": (76, 175, 80)}),
        _task(
            "drivable_multi",
            TaskKind.SEMANTIC,
            {
                "road": (128, 64, 128),
                "parking": (250, 170, 160),
                "sidewalk": (244, 35, 232),
                "other_ground": (175, 110, 60),
                "terrain": (152, 251, 152),
            },
        ),
    )
}
"""The four tasks of the lidar network, by name: classes of the cells of a grid seen from above."""

TASKS: dict[str, TaskSpec] = CAMERA_TASKS | LIDAR_TASKS
"""The tasks that have a name, by name."""


def resolve_task(task: str | TaskSpec | Mapping[str, Any]) -> TaskSpec:
    """Make a ``TaskSpec`` of what a config gives.

    Args:
        task: Name of one of ``TASKS``; a ``TaskSpec``; or its fields (``name``, ``kind``, ``classes``, optional
            ``palette``; colours are made up where it is absent).

    Returns:
        The task.

    Raises:
        ConfigError: Unknown name, kind or field.
    """
    if isinstance(task, TaskSpec):
        return task
    if isinstance(task, str):
        if task not in TASKS:
            raise ConfigError(
                f"unknown task {task!r}",
                expected=f"one of {', '.join(TASKS)}, or dict(name=, kind=, classes=)",
                got=repr(task),
                remedy=nearest(task, TASKS),
            )
        return TASKS[task]
    fields = {"name", "kind", "classes", "palette"}
    if unknown := sorted(set(task) - fields):
        raise ConfigError(f"a task has no field {unknown[0]!r}", remedy=nearest(unknown[0], fields))
    if missing := sorted({"name", "kind", "classes"} - set(task)):
        raise ConfigError("a task lacks fields", expected="name, kind, classes", got=f"no {', '.join(missing)}")
    kinds = [kind.value for kind in TaskKind]
    if task["kind"] not in kinds:
        raise ConfigError(
            f"task {task['name']!r} has unknown kind {task['kind']!r}",
            expected=f"one of {', '.join(kinds)}",
            remedy=nearest(str(task["kind"]), kinds),
        )
    classes = tuple(task["classes"])
    palette = task.get("palette") or [_spread_color(i) for i in range(len(classes))]
    return TaskSpec(task["name"], TaskKind(task["kind"]), classes, tuple((c[0], c[1], c[2]) for c in palette))


def _spread_color(index: int) -> Color:
    # Multiples of the golden angle keep any number of hues apart.
    hue = (index * 0.618034) % 1.0 * 6.0
    rising = round(255 * (hue % 1.0))
    falling = 255 - rising
    wheel = ((255, rising, 0), (falling, 255, 0), (0, 255, rising), (0, falling, 255), (rising, 0, 255), (255, 0, falling))
    return wheel[int(hue)]
