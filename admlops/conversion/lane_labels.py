"""The lane lines of one frame, as a record holds them, and where their source says nothing of lanes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from admlops.conversion.tally import Tally
from admlops.errors import ConversionError
from admlops.task_spec import CAMERA_TASKS

TASK = CAMERA_TASKS["seg_lane"]

ANY_LANE = "any_lane"
"""Category set of a line whose class the source does not tell."""

Points = Sequence[Sequence[float]]
Side = Literal["left", "right"]

_CHORD_POINTS = 5
_FAR_PX = 1e5
# Coordinates are rounded to this; lines are drawn several pixels wide.
_DECIMALS = 2


@dataclass
class LaneLabels:
    """Lines of ``seg_lane`` in one frame.

    Attributes:
        width: Of the image, px.
        height: Of the image, px.
        tally: Counts what the source holds, and what is not taken over.
        lines: ``{category, points}`` of each.
        ignore_regions: Polygons in which the source does not mark lanes.
    """

    width: int
    height: int
    tally: Tally
    lines: list[dict[str, Any]] = field(default_factory=list)
    ignore_regions: list[list[list[float]]] = field(default_factory=list)

    def add(self, kind: str, category: str | None, points: Points, where: object) -> None:
        """Add one line.

        Args:
            kind: What the source calls it.
            category: Class of the task, ``ANY_LANE``, or None where it is neither background nor a class of ours.
            points: [x, y] of each, px; may leave the image by its own width or height at most.
            where: Named in the error.

        Raises:
            ConversionError: A point is not a number, or far outside of the image.
        """
        xy = np.array(points, dtype=np.float64).reshape(-1, 2)
        size = np.array([self.width, self.height])
        # Written so that it holds for NaN as well.
        far = ~((xy >= -size) & (xy <= 2 * size)).all(axis=1)
        if far.any():
            raise ConversionError(
                "a lane's point lies far outside of the image",
                where=where,
                expected=f"x, y within or close to {self.width}x{self.height}",
                got=xy[far][0].tolist(),
                remedy="do labels and photo belong together?",
            )
        self.tally.count("source", kind)
        if len(xy) < 2:
            self.tally.refuse(f"{kind} of fewer than two points: left out")
            return
        if category is None:
            self.tally.refuse(f"{kind}: ignored")
        self.lines.append({"category": category, "points": xy.round(_DECIMALS).tolist()})

    def ignore_outside(self) -> None:
        """Ignore what lies left of the leftmost and right of the rightmost line, from the top of the highest line downwards.

        For sources that mark only the vehicle's own and the neighbouring lanes: between their lines background is background,
        outside there may be more lines. Both lines are continued straight to these rows.
        """
        if not self.lines:
            return
        lines = [_from_top(line["points"]) for line in self.lines]
        top = min(line[0, 1] for line in lines)
        # Lines meet at the horizon: their order is that at the bottom.
        order = sorted(lines, key=lambda line: _x_at(line, self.height))
        self._ignore_beyond(order[0], "left", top, self.height)
        self._ignore_beyond(order[-1], "right", top, self.height)

    def ignore_beyond(self, points: Points, side: Side) -> None:
        """Ignore what lies beside a line, in the rows that it spans.

        Args:
            points: Of the line.
            side: Of the line, as seen in the image.
        """
        line = _from_top(points)
        self._ignore_beyond(line, side, line[0, 1], line[-1, 1])

    def to_label(self) -> dict[str, Any]:
        """Give the record's label of the task.

        Returns:
            ``polylines``, and ``ignore_regions`` and ``category_sets`` where needed.
        """
        label: dict[str, Any] = {"polylines": self.lines}
        if self.ignore_regions:
            label["ignore_regions"] = self.ignore_regions
        # Named only where it occurs: members of a set are left out of a frame's metric.
        if any(line["category"] == ANY_LANE for line in self.lines):
            label["category_sets"] = {ANY_LANE: list(TASK.classes)}
        return label

    def _ignore_beyond(self, line: npt.NDArray[np.float64], side: Side, top: float, bottom: float) -> None:
        inner = line[(line[:, 1] > top) & (line[:, 1] < bottom), 1]
        rows = np.concatenate([[top], inner, [bottom]])
        # Cut far outside only: cut at the image's edge, the border's last step would be bent.
        columns = np.array([_x_at(line, row) for row in rows]).clip(-_FAR_PX, _FAR_PX)
        edge = 0.0 if side == "left" else float(self.width)
        if (columns > edge if side == "left" else columns < edge).any():
            border = np.stack([columns, rows], axis=1).round(_DECIMALS).tolist()
            self.ignore_regions.append([[edge, border[0][1]], *border, [edge, border[-1][1]]])


def are_numbers(values: Any) -> bool:
    """Tell whether a JSON value is a list of numbers.

    Args:
        values: The value.

    Returns:
        False also for a list that holds true or false.
    """
    return type(values) is list and all(type(value) is int or type(value) is float for value in values)


def _from_top(points: Points) -> npt.NDArray[np.float64]:
    line = np.array(points, dtype=np.float64)
    return line[np.argsort(line[:, 1], kind="stable")]


def _x_at(line: npt.NDArray[np.float64], row: float) -> float:
    if line[0, 1] <= row <= line[-1, 1]:
        return float(np.interp(row, line[:, 1], line[:, 0]))
    # A chord of some points, because single steps of integer coordinates have coarse slopes.
    near, far = (line[0], line[:_CHORD_POINTS][-1]) if row < line[0, 1] else (line[-1], line[-_CHORD_POINTS:][0])
    rise = far[1] - near[1]
    slope = (far[0] - near[0]) / rise if rise else 0.0
    return float(near[0] + slope * (row - near[1]))
