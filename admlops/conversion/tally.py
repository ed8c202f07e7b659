"""What a conversion counts while it runs: one flat counter that merges, pickles and fits in one line of JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from admlops.task_spec import CAMERA_TASKS, LIDAR_TASKS, TaskSpec

WHOLE_TASK = "*"
"""Stands for all classes of a task in ``unknown`` where a record lacks the task's key."""

IGNORED = "(ignore)"
"""Stands in ``classes`` for pixels, lines and regions that neither loss nor metric counts."""


class Tally:
    """Counts of one conversion, or of a part of it.

    Args:
        counts: To start from.

    Attributes:
        counts: By path: ``("records",)``, ``("image_sizes", "480x360")``, ``("classes", task, class, "boxes" | "ignored" |
            "pixels" | "lines" | "regions" | "polygons")``, ``("labelled", task)`` and ``("unknown", task, class | "*")`` in
            records, ``("lidar", "sweeps" | "points")``, ``("source", category)`` and ``("refused", reason)``.
    """

    def __init__(self, counts: Mapping[tuple[str, ...], int] | None = None) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter(counts or {})

    def count(self, *path: str, by: int = 1) -> None:
        """Add to one count.

        Args:
            *path: Section and names below it.
            by: How many.
        """
        self.counts[path] += by

    def refuse(self, reason: str, by: int = 1) -> None:
        """Count what the source holds and the labels do not take as it is.

        Args:
            reason: What it was and what became of it.
            by: How many.
        """
        self.count("refused", reason, by=by)

    def record(self, record: Mapping[str, Any]) -> None:
        """Count what can be read off a record: itself, its sensors, its boxes, lines and polygons, and what it leaves unknown.

        Args:
            record: A valid record.
        """
        self.count("records")
        if image := record.get("image"):
            self.count("image_sizes", f"{image['width']}x{image['height']}")
        if "lidar" in record:
            self.count("lidar", "sweeps")
        labels = record["labels"]
        for task, label in labels.items():
            self.count("labelled", task)
            self._label(task, label)
        for spec in _tasks_of(record):
            label = labels.get(spec.name)
            if label is None:
                self.count("unknown", spec.name, WHOLE_TASK)
                continue
            for name in spec.classes:
                if name not in label.get("labelled_categories", spec.classes):
                    self.count("unknown", spec.name, name)

    def _label(self, task: str, label: Mapping[str, Any]) -> None:
        categories = label.get("categories", ())
        unit = "polygons" if "polygons" in label else "boxes"
        for name, ignored in zip(categories, label.get("ignore") or [False] * len(categories), strict=True):
            self.count("classes", task, name, "ignored" if ignored else unit)
        for line in label.get("polylines", ()):
            self.count("classes", task, line["category"] or IGNORED, "lines")
        if regions := label.get("ignore_regions"):
            self.count("classes", task, IGNORED, "regions", by=len(regions))

    def merge(self, other: Tally) -> None:
        """Add another tally's counts.

        Args:
            other: Counts of another part of the conversion.
        """
        self.counts.update(other.counts)

    def to_rows(self) -> list[list[Any]]:
        """Give the counts as JSON values, sorted.

        Returns:
            One ``[count, *path]`` a count.
        """
        return [[number, *path] for path, number in sorted(self.counts.items())]

    @classmethod
    def from_rows(cls, rows: list[list[Any]]) -> Tally:
        """Read what ``to_rows`` gave.

        Args:
            rows: One ``[count, *path]`` a count.

        Returns:
            The tally.
        """
        return cls({tuple(path): number for number, *path in rows})

    def section(self, name: str) -> dict[str, Any]:
        """Give one section as nested dicts.

        Args:
            name: First element of the paths.

        Returns:
            ``{second: {third: ... count}}``, sorted by name.
        """
        nested: dict[str, Any] = {}
        for path, number in sorted(self.counts.items()):
            if path[0] == name and len(path) > 1:
                level = nested
                for step in path[1:-1]:
                    level = level.setdefault(step, {})
                level[path[-1]] = number
        return nested


def _tasks_of(record: Mapping[str, Any]) -> Iterator[TaskSpec]:
    # A sweep alone says nothing of the camera's tasks: no reason to list them as unknown.
    if "image" in record or "lidar" not in record:
        yield from CAMERA_TASKS.values()
    if "lidar" in record:
        yield from LIDAR_TASKS.values()
