"""BDD100K's lane marks -> lines of ``seg_lane``: curves flattened, the two edges of a mark joined to its centre line.

BDD100K draws most marks as two lines, one along each edge of the paint, and some as one along its middle; nothing in the file
says which lines belong together. Hou et al. ("Learning lightweight lane detection CNNs by self attention distillation", ICCV
2019) train on the centre lines of the two, as is done here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from admlops.conversion.lane_labels import LaneLabels, are_numbers
from admlops.errors import ConversionError, nearest

CLASS_OF_MARK: dict[tuple[str, str], str] = {
    ("single white", "dashed"): "dashed_white",
    ("single white", "solid"): "solid_white",
    ("single yellow", "solid"): "solid_yellow",
    ("double yellow", "solid"): "double_yellow",
}
"""Category and style of a mark along the road -> class of ``seg_lane``; all other marks and kerbs are ignored."""

CATEGORIES = (
    "crosswalk",
    "double other",
    "double white",
    "double yellow",
    "road curb",
    "single other",
    "single white",
    "single yellow",
)
STYLES = ("solid", "dashed")
DIRECTIONS = ("parallel", "vertical")

POINTS_PER_CURVE = 12
ROWS_OF_CENTER = 12

MIN_COMMON_ROWS_PX = 4.0
MIN_COMMON_SHARE = 0.5
"""Edges of one mark share this part of the shorter one's rows."""

MAX_GAP_PER_ROW = 0.5
"""Growth of their gap, px a row."""

MAX_GAP_SHARE = 1 / 5
"""Mean gap as a share of the image's height."""

_Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LaneMark:
    """One line of a frame.

    Attributes:
        category: One of ``CATEGORIES``.
        style: ``solid``, ``dashed``, or empty where the file does not say.
        direction: ``parallel`` to the road or ``vertical`` (across it), or empty.
        points_px: (N, 2) x, y.
        where: File, frame and label, for errors.
    """

    category: str
    style: str
    direction: str
    points_px: _Array
    where: str

    @property
    def target(self) -> str | None:
        """Class of ``seg_lane``; None = neither one of them nor background."""
        return CLASS_OF_MARK.get((self.category, self.style)) if self.direction == "parallel" else None

    @property
    def is_line(self) -> bool:
        """Whether it is paint along the road, and so may have two edges."""
        return self.direction == "parallel" and self.category not in {"crosswalk", "road curb"}

    @property
    def kind(self) -> str:
        """What the report calls it."""
        return " ".join(word for word in ("lane", self.category, self.style, self.direction) if word)


def read_marks(labels: Sequence[Any], where: str) -> list[LaneMark]:
    """Read the lane marks of one frame.

    Args:
        labels: ``labels`` of the frame in ``lane_<split>.json``.
        where: File and frame, for errors.

    Returns:
        One mark for each line.

    Raises:
        ConversionError: A label is malformed.
    """
    marks = []
    for number, label in enumerate(labels):
        at = f"{where}, label {number}"
        if type(label) is not dict:
            raise _malformed(at, "an object", label)
        attributes = label.get("attributes") or {}
        # The first release wrote `lane/single white`.
        category = _one_of(CATEGORIES, str(label.get("category")).removeprefix("lane/"), "category", at)
        style = _one_of((*STYLES, ""), attributes.get("laneStyle") or "", "laneStyle", at)
        direction = _one_of((*DIRECTIONS, ""), attributes.get("laneDirection") or "", "laneDirection", at)
        polylines = label.get("poly2d")
        if type(polylines) is not list or not polylines:
            raise _malformed(at, "poly2d: a list of {vertices, types, closed}", polylines)
        marks += [LaneMark(category, style, direction, flatten(polyline, at), at) for polyline in polylines]
    return marks


def flatten(polyline: Any, where: str) -> _Array:
    """Turn vertices and Bezier control points into points on the line.

    ``types`` has a letter for each vertex: after the first, ``L`` is the end of a straight line, ``C`` opens a cubic curve of
    two control points and an end (whose own letter does not matter).

    Args:
        polyline: ``{vertices: [[x, y], ...], types: "LCCL...", closed}``.
        where: For errors.

    Returns:
        (N, 2) x, y in px.

    Raises:
        ConversionError: Malformed.
    """
    vertices, types = (polyline.get("vertices"), polyline.get("types")) if isinstance(polyline, Mapping) else (None, None)
    if type(vertices) is not list or not vertices or any(not are_numbers(point) or len(point) != 2 for point in vertices):
        raise _malformed(where, "vertices: [[x, y], ...]", vertices)
    if type(types) is not str or len(types) != len(vertices) or set(types) - {"L", "C"}:
        raise _malformed(where, f"types: {len(vertices)} letters L or C", types)
    corners = np.array(vertices, dtype=np.float64)
    parts = [corners[:1]]
    index = 1
    while index < len(corners):
        if types[index] == "L":
            parts.append(corners[index : index + 1])
            index += 1
            continue
        if index + 2 >= len(corners):
            raise _malformed(where, "two control points and an end for each curve", types)
        t = np.linspace(0, 1, POINTS_PER_CURVE + 1)[1:, None]
        start, (first, second, end) = corners[index - 1], corners[index : index + 3]
        parts.append((1 - t) ** 3 * start + 3 * (1 - t) ** 2 * t * first + 3 * (1 - t) * t**2 * second + t**3 * end)
        index += 3
    if polyline.get("closed"):
        parts.append(corners[:1])
    return np.concatenate(parts)


def add_marks(marks: Sequence[LaneMark], lanes: LaneLabels) -> None:
    """Join edges that belong together and add all marks.

    Between the edges of a mark lies paint, beside the width that its centre line is drawn with: that region is ignored.

    Args:
        marks: Of one frame.
        lanes: Of the frame.

    Raises:
        ConversionError: A point lies far outside of the image.
    """
    partner = _pair_edges(marks, lanes.height)
    for index, mark in enumerate(marks):
        if index not in partner:
            lanes.add(mark.kind, mark.target, mark.points_px.tolist(), mark.where)
        elif index < partner[index]:
            other = marks[partner[index]].points_px
            lanes.add(f"{mark.kind}, two edges", mark.target, _center(mark.points_px, other).tolist(), mark.where)
            border = np.concatenate([_downwards(mark.points_px), _downwards(other)[::-1]])
            lanes.ignore_regions.append(border.round(2).tolist())


def _pair_edges(marks: Sequence[LaneMark], image_height_px: int) -> dict[int, int]:
    gaps = []
    for i, j in combinations(range(len(marks)), 2):
        if marks[i].is_line and marks[i].kind == marks[j].kind:
            gap = _edge_gap(marks[i].points_px, marks[j].points_px, image_height_px)
            if gap is not None:
                gaps.append((gap, i, j))
    partner: dict[int, int] = {}
    for _, i, j in sorted(gaps):
        if i not in partner and j not in partner:
            partner[i], partner[j] = j, i
    return partner


def _edge_gap(one: _Array, other: _Array, image_height_px: int) -> float | None:
    """Mean horizontal gap in px where two lines can be the edges of one mark, else None.

    On a plane, lines along the road that are W metres apart part by W / h px with each row below the horizon, h being the
    camera's height: 0.1 to 0.4 between the edges of single and double marks (0.15 to 0.5 m, camera 1.2 to 1.5 m high), from
    0.8 on between two lines of lanes (bicycle lanes of 1.2 m). The horizon itself is not needed.
    """
    rows = _common_rows(one, other)
    if rows is None:
        return None
    gaps = np.abs(_columns(one, rows) - _columns(other, rows))
    growth = abs(gaps[-1] - gaps[0]) / (rows[-1] - rows[0])
    mean = float(gaps.mean())
    return mean if growth <= MAX_GAP_PER_ROW and mean <= MAX_GAP_SHARE * image_height_px else None


def _common_rows(one: _Array, other: _Array) -> _Array | None:
    tops, bottoms = zip(*((float(line[:, 1].min()), float(line[:, 1].max())) for line in (one, other)), strict=True)
    top, bottom = max(tops), min(bottoms)
    shorter = min(bottoms[0] - tops[0], bottoms[1] - tops[1])
    if bottom - top < max(MIN_COMMON_ROWS_PX, MIN_COMMON_SHARE * shorter):
        return None
    return np.asarray(np.linspace(top, bottom, ROWS_OF_CENTER))


def _center(one: _Array, other: _Array) -> _Array:
    rows = _common_rows(one, other)
    if rows is None:  # pragma: no cover - paired lines have common rows
        return one
    return np.stack([(_columns(one, rows) + _columns(other, rows)) / 2, rows], axis=1)


def _columns(line: _Array, rows: _Array) -> _Array:
    line = _downwards(line)
    return np.asarray(np.interp(rows, line[:, 1], line[:, 0]))


def _downwards(line: _Array) -> _Array:
    return line[np.argsort(line[:, 1], kind="stable")]


def _one_of(names: Sequence[str], name: object, key: str, where: str) -> str:
    if name in names:
        return str(name)
    raise ConversionError(
        f"unknown {key} of a lane mark",
        where=where,
        expected=f"one of {', '.join(filter(None, names))}",
        got=repr(name),
        remedy=nearest(str(name), names),
    )


def _malformed(where: str, expected: str, got: object) -> ConversionError:
    text = repr(got)
    return ConversionError(
        "malformed label in BDD100K's lane marks",
        where=where,
        expected=expected,
        got=text if len(text) <= 120 else f"{text[:117]}...",
    )
