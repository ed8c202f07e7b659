"""What the object names of a Pascal VOC set become: presets of well-known sets, and the user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from admlops.errors import ConversionError, nearest
from admlops.task_spec import CAMERA_TASKS, TaskKind

IGNORE = ":ignore"
GRAMMAR = "NAME=TASK/CLASS, NAME=TASK/CLASS:ignore (a region to leave out) or NAME= (nothing)"
_TASKS = {name: task for name, task in CAMERA_TASKS.items() if task.kind is TaskKind.DETECTION}


@dataclass(frozen=True)
class BoxTarget:
    """What an object becomes.

    Attributes:
        task: Detection task.
        category: Class of it.
        ignore: Whether it is a region to leave out.
    """

    task: str
    category: str
    ignore: bool = False


@dataclass(frozen=True)
class VocClasses:
    """What a set's object names become.

    Attributes:
        targets: By name; empty = nothing.
        labelled: Classes that the set annotates, by task.
        some_of: Those of them of which it boxes only some, by task.
        riders: Name of the objects that may be riders, where the set boxes riders and cycles apart, else empty.
        cycles: Names of bicycles and motorcycles, where the set boxes riders and cycles apart.
    """

    targets: Mapping[str, tuple[BoxTarget, ...]]
    labelled: Mapping[str, tuple[str, ...]]
    some_of: Mapping[str, tuple[str, ...]]
    riders: str = ""
    cycles: tuple[str, ...] = ()

    @classmethod
    def parse(
        cls, mapping: Sequence[str], some_of: Sequence[str] = (), riders: str = "", cycles: tuple[str, ...] = ()
    ) -> VocClasses:
        """Read a mapping.

        Args:
            mapping: ``NAME=TASK/CLASS``, ``NAME=TASK/CLASS:ignore`` or ``NAME=`` each; a name may come more than once.
            some_of: ``TASK/CLASS`` each.
            riders: Name of the objects that may be riders.
            cycles: Names of bicycles and motorcycles.

        Returns:
            The classes.

        Raises:
            ConversionError: Malformed, or a task or class that does not exist.
        """
        targets: dict[str, tuple[BoxTarget, ...]] = {}
        for item in mapping:
            name, equals, text = item.rpartition("=")
            if not equals or not name:
                raise ConversionError("malformed --map", expected=GRAMMAR, got=repr(item))
            targets[name] = targets.get(name, ()) + ((_target(text, item),) if text else ())
        everything = [target for group in targets.values() for target in group]
        known = {(target.task, target.category) for target in everything if not target.ignore}
        if not known:
            raise ConversionError("--map labels no class", expected=GRAMMAR, got=" ".join(mapping) or "nothing")
        partly = [_target(item, item) for item in some_of]
        for target in (*everything, *partly):
            if (target.task, target.category) not in known:
                raise ConversionError(
                    f"no object becomes {target.task}/{target.category}",
                    expected=f"--map NAME={target.task}/{target.category}, so that there is something to ignore or to miss",
                    got=" ".join((*mapping, *some_of)),
                )
        return cls(targets, _by_task(known), _by_task({(target.task, target.category) for target in partly}), riders, cycles)

    def of(self, name: str, where: str) -> tuple[BoxTarget, ...]:
        """Look up an object's name.

        Args:
            name: The name.
            where: File and line, for the error.

        Returns:
            What it becomes; empty = nothing.

        Raises:
            ConversionError: Nobody said what it becomes.
        """
        if name not in self.targets:
            raise ConversionError(
                f"unknown object name {name!r}",
                where=where,
                expected=f"one of {', '.join(self.targets)}",
                got=repr(name),
                remedy=f"{nearest(name, self.targets)}; --classes says which set it is, --map what each name becomes",
            )
        return self.targets[name]


def _target(text: str, item: str) -> BoxTarget:
    task, slash, category = text.removesuffix(IGNORE).partition("/")
    if not slash:
        raise ConversionError("malformed class", expected=f"TASK/CLASS in {GRAMMAR}", got=repr(item))
    if task not in _TASKS:
        raise ConversionError(
            f"no detection task {task!r}", where=item, expected=f"one of {', '.join(_TASKS)}", remedy=nearest(task, _TASKS)
        )
    _TASKS[task].channel_of(category, item)
    return BoxTarget(task, category, text.endswith(IGNORE))


def _by_task(pairs: set[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    tasks = {name: tuple(category for category in task.classes if (name, category) in pairs) for name, task in _TASKS.items()}
    return {name: categories for name, categories in tasks.items() if categories}


_PERSON, _VEHICLE = "det_person/person", "det_vehicle_sign/vehicle"
_LIGHT, _SIGN = "det_cyclist_light/traffic_light", "det_vehicle_sign/traffic_sign"

PRESETS: dict[str, VocClasses] = {
    "voc2012": VocClasses.parse(
        [f"person={_PERSON}", f"car={_VEHICLE}", f"bus={_VEHICLE}"]
        + [
            f"{name}="
            for name in (
                *("aeroplane", "bicycle", "bird", "boat", "bottle", "cat", "chair", "cow", "diningtable", "dog", "horse"),
                *("motorbike", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
            )
        ],
        some_of=[_VEHICLE],  # lorries are no class of VOC
        riders="person",
        cycles=("bicycle", "motorbike"),
    ),
    # Other signs and some lights in view are not boxed.
    "roadsign": VocClasses.parse(
        [f"trafficlight={_LIGHT}", *(f"{name}={_SIGN}" for name in ("stop", "speedlimit", "crosswalk"))],
        some_of=[_LIGHT, _SIGN],
    ),
    # Lit lamps only, not the housing; dark lights and those seen from the side or behind are not boxed.
    "traffic-light": VocClasses.parse(
        [
            *(
                f"{color}{kind}={_LIGHT}"
                for color in ("red", "yellow", "green")
                for kind in ("", "left", "right", "straight", "people")
            ),
            *(f"{color}time={_LIGHT}:ignore" for color in ("red", "yellow", "green")),
        ],
        some_of=[_LIGHT],
    ),
}
"""The classes of sets that people have, by name."""
