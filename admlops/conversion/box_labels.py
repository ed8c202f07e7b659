"""The boxes of one frame in one task, as a record holds them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

OBSTACLE_TASKS = ("god_base", "god_hd")
"""Tasks to which a box of any category is an obstacle."""


@dataclass
class BoxLabels:
    """Boxes of one task in one frame.

    Attributes:
        boxes: x1, y1, x2, y2 of each, in pixels of the original.
        categories: Class of each.
        ignore: Whether each marks a region that neither loss nor metric may count.
    """

    boxes: list[list[float]] = field(default_factory=list)
    categories: list[str] = field(default_factory=list)
    ignore: list[bool] = field(default_factory=list)

    def add(self, box_px: Sequence[float], category: str, ignore: bool = False) -> None:
        """Add one box.

        Args:
            box_px: x1, y1, x2, y2.
            category: Class of the task.
            ignore: Whether it marks a region to leave out.
        """
        self.boxes.append([float(value) for value in box_px])
        self.categories.append(category)
        self.ignore.append(ignore)

    def add_ignored(self, box_px: Sequence[float], categories: Sequence[str]) -> None:
        """Add a region that may hide any of several classes: an ignore box speaks for its own class only.

        Args:
            box_px: x1, y1, x2, y2.
            categories: One ignore box is added for each.
        """
        for category in categories:
            self.add(box_px, category, ignore=True)

    def to_label(self, labelled: Sequence[str], non_exhaustive: Sequence[str] = ()) -> dict[str, Any]:
        """Give the record's label of the task.

        Args:
            labelled: Classes of the task that the source annotates; the others stay unknown.
            non_exhaustive: Those of them of which the source boxes only some.

        Returns:
            ``boxes``, ``categories``, ``labelled_categories``; ``ignore`` and ``non_exhaustive_categories`` where needed.
        """
        label: dict[str, Any] = {"boxes": self.boxes, "categories": self.categories}
        if any(self.ignore):
            label["ignore"] = self.ignore
        label["labelled_categories"] = list(labelled)
        if non_exhaustive:
            label["non_exhaustive_categories"] = list(non_exhaustive)
        return label


def boxes_3d_label(
    boxes: Sequence[Sequence[float]],
    categories: Sequence[str],
    ignore: Sequence[bool] = (),
    region: Iterable[tuple[float, float]] | None = None,
) -> dict[str, Any]:
    """Lay boxes out as a record's label, in tenths of a millimetre: more digits say nothing.

    Args:
        boxes: M times x, y, z of the centre, length, width, height in m, yaw in rad.
        categories: M names.
        ignore: M flags; left out where none is set.
        region: (K, 2) corners of where the source drew boxes at all, m; None for everywhere.

    Returns:
        The label.
    """
    label: dict[str, Any] = {
        "boxes_3d": [[round(float(value), 4) for value in box] for box in boxes],
        "categories": list(categories),
    }
    if any(ignore):
        label["ignore"] = list(ignore)
    if region is not None:
        label["labelled_region"] = [[round(float(x), 4), round(float(y), 4)] for x, y in region]
    return label


def obstacle_labels(
    boxes: Sequence[Sequence[float]], region: Iterable[tuple[float, float]] | None = None
) -> dict[str, dict[str, Any]]:
    """Make boxes of whatever category the labels of ``OBSTACLE_TASKS``.

    Args:
        boxes: As ``boxes_3d_label`` takes them.
        region: Likewise.

    Returns:
        One label, by task.
    """
    return dict.fromkeys(OBSTACLE_TASKS, boxes_3d_label(boxes, ["obstacle"] * len(boxes), region=region))
