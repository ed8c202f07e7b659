from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from admlops.conversion.bdd100k_lanes import add_marks, flatten, read_marks
from admlops.conversion.lane_labels import LaneLabels
from admlops.conversion.tally import Tally
from admlops.errors import ConversionError


def mark(vertices: list[list[float]], category: str = "single white", style: str = "solid", direction: str = "parallel"):
    attributes = {"laneDirection": direction, "laneStyle": style, "laneTypes": category}
    poly2d = [{"vertices": vertices, "types": "L" * len(vertices), "closed": False}]
    return {"id": "0", "category": category, "attributes": attributes, "poly2d": poly2d}


def convert(*labels: dict[str, Any]) -> tuple[dict[str, Any], Tally]:
    lanes = LaneLabels(1280, 720, Tally())
    add_marks(read_marks(labels, "lane_train.json, frame a"), lanes)
    return lanes.to_label(), lanes.tally


def line(offset_m: float, top: float = 400, bottom: float = 700) -> list[list[float]]:
    """A line along the road seen by a camera 1.25 m high whose horizon is row 300: 0.8 px a row for each metre."""
    return [[640 + 0.8 * offset_m * (row - 300), row] for row in (top, bottom)]


@pytest.mark.parametrize(
    ("category", "style", "direction", "expected"),
    [
        ("single white", "solid", "parallel", "solid_white"),
        ("single white", "dashed", "parallel", "dashed_white"),
        ("lane/single white", "dashed", "parallel", "dashed_white"),
        ("single yellow", "solid", "parallel", "solid_yellow"),
        ("double yellow", "solid", "parallel", "double_yellow"),
        ("single yellow", "dashed", "parallel", None),
        ("double yellow", "dashed", "parallel", None),
        ("double white", "solid", "parallel", None),
        ("double other", "solid", "parallel", None),
        ("single other", "dashed", "parallel", None),
        ("road curb", "solid", "parallel", None),
        ("crosswalk", "solid", "vertical", None),
        ("single white", "solid", "vertical", None),
    ],
)
def test_category_and_style_make_the_class(category, style, direction, expected):
    label, tally = convert(mark(line(-1.8), category, style, direction))
    assert label == {"polylines": [{"category": expected, "points": [[496.0, 400.0], [64.0, 700.0]]}]}
    kind = f"lane {category.removeprefix('lane/')} {style} {direction}"
    assert tally.section("source") == {kind: 1}
    assert tally.section("refused") == ({} if expected else {f"{kind}: ignored": 1})


def test_mark_without_attributes_is_ignored():
    label, _ = convert({**mark(line(-1.8)), "attributes": None})
    assert label["polylines"][0]["category"] is None


def test_cubic_curve_passes_its_middle():
    # B(1/2) = (P0 + 3 P1 + 3 P2 + P3) / 8.
    points = flatten({"vertices": [[0, 0], [0, 40], [80, 40], [80, 0], [80, 9]], "types": "LCCCL", "closed": False}, "")
    assert points[0].tolist() == [0, 0]
    assert points[6].tolist() == [40, 30]
    assert points[12:].tolist() == [[80, 0], [80, 9]]
    # The end's own letter does not matter; a closed line comes back.
    closed = flatten({"vertices": [[0, 0], [0, 40], [80, 40], [80, 0]], "types": "CCCL", "closed": True}, "")
    assert np.array_equal(closed[:13], points[:13])
    assert closed[-1].tolist() == [0, 0]


def test_two_edges_become_the_centre_line_and_the_paint_between_is_ignored():
    left, right = line(-1.9), line(-1.7)
    label, tally = convert(mark(left), mark(right))
    (joined,) = label["polylines"]
    assert joined["category"] == "solid_white"
    assert (joined["points"][0], joined["points"][-1]) == ([496.0, 400.0], [64.0, 700.0])
    assert label["ignore_regions"] == [[*left, *reversed(right)]]
    assert tally.section("source") == {"lane single white solid parallel, two edges": 1}


def test_double_yellow_has_edges_half_a_metre_apart():
    label, _ = convert(mark(line(-0.3), "double yellow"), mark(line(0.2), "double yellow"))
    assert [polyline["category"] for polyline in label["polylines"]] == ["double_yellow"]


@pytest.mark.parametrize(
    "other",
    [
        mark(line(-1.7), style="dashed"),
        mark(line(-1.7), "single yellow"),
        mark(line(-1.7, 300, 420)),  # the next mark of the same line, further away
    ],
)
def test_other_marks_stay_by_themselves(other):
    label, _ = convert(mark(line(-1.9)), other)
    assert len(label["polylines"]) == 2
    assert "ignore_regions" not in label


@pytest.mark.parametrize(("top", "bottom"), [(310, 400), (600, 700)])
def test_lines_of_a_bicycle_lane_stay_by_themselves(top, bottom):
    # 1.3 m apart; far away they are as near in the picture as the edges of a near mark.
    label, _ = convert(mark(line(-1.9, top, bottom)), mark(line(-0.6, top, bottom)))
    assert len(label["polylines"]) == 2


def test_nearest_edges_are_joined_first():
    # Two marks beside each other, each with two edges, not in order.
    label, _ = convert(*(mark(line(offset)) for offset in (-1.9, -1.4, -1.75, -1.55)))
    tops = sorted(polyline["points"][0][0] for polyline in label["polylines"])
    assert tops == [494.0, 522.0]  # -1.825 m and -1.475 m


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"category": "single wite"}, r"unknown category(.|\n)*label 0(.|\n)*'single wite'(.|\n)*'single white'"),
        ({"attributes": {"laneStyle": "dotted"}}, r"unknown laneStyle(.|\n)*'dotted'"),
        ({"attributes": {"laneDirection": 3}}, r"unknown laneDirection(.|\n)*3"),
        ({"poly2d": []}, "poly2d: a list"),
        ({"poly2d": [{"vertices": [[1, 2], [3, "4"]], "types": "LL"}]}, r"vertices: \[\[x, y\]"),
        ({"poly2d": [{"vertices": [[1, 2], [3, 4]], "types": "L"}]}, "types: 2 letters"),
        ({"poly2d": [{"vertices": [[1, 2], [3, 4], [5, 6]], "types": "LCC"}]}, "two control points and an end"),
        ({"poly2d": [{"vertices": [[1, 2], [9000, 4]], "types": "LL"}]}, "far outside of the image"),
    ],
)
def test_malformed_marks_are_named(change, message):
    with pytest.raises(ConversionError, match=message):
        convert({**mark(line(0)), **change})
