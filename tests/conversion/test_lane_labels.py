from __future__ import annotations

import math

import pytest

from admlops.conversion.lane_labels import ANY_LANE, LaneLabels
from admlops.conversion.tally import Tally
from admlops.errors import ConversionError


def labels_of(*lines):
    labels = LaneLabels(100, 60, Tally())
    for points in lines:
        labels.add("lane", "solid_white", points, "f:1")
    return labels


def test_outside_of_the_outermost_lines_nothing_is_known():
    # Two lines of slope 1, marked from row 20 to row 40; both go on to the bottom (row 60). The middle one starts at row 10,
    # to which the outer ones are continued.
    left, middle, right = [[40, 20], [20, 40]], [[50, 60], [50, 10]], [[80, 40], [60, 20]]
    labels = labels_of(middle, right, left)
    labels.ignore_outside()
    assert labels.to_label()["ignore_regions"] == [
        [[0, 10], [50, 10], [40, 20], [20, 40], [0, 60], [0, 60]],
        [[100, 10], [50, 10], [60, 20], [80, 40], [100, 60], [100, 60]],
    ]


def test_lines_that_leave_the_image_keep_their_direction():
    labels = labels_of([[30, 20], [10, 30]])
    labels.ignore_outside()
    # 2 px to the left a row: x = -50 at row 60, left of which nothing of the image lies.
    border = [[30, 20], [10, 30], [-50, 60]]
    assert labels.ignore_regions == [[[0, 20], *border, [0, 60]], [[100, 20], *border, [100, 60]]]


def test_empty_regions_and_frames_without_lines():
    labels = labels_of()
    labels.ignore_outside()
    assert labels.to_label() == {"polylines": []}
    labels = labels_of([[0, 0], [0, 60]], [[100, 0], [100, 60]])
    labels.ignore_outside()
    assert labels.ignore_regions == []


def test_single_coarse_steps_do_not_turn_a_line():
    # 0.5 px a row in integer coordinates: the last step alone would go on straight down.
    labels = labels_of([[20, 10], [20, 11], [21, 12], [21, 13], [22, 14], [22, 15]])
    labels.ignore_outside()
    corner = labels.ignore_regions[0][-2]
    assert corner == [pytest.approx(22 + 0.5 * 45, abs=2.3), 60]


def test_beside_a_line_in_its_own_rows():
    labels = labels_of()
    labels.ignore_beyond([[20, 40], [40, 20]], "left")
    labels.ignore_beyond([[50, 30], [50, 30]], "right")
    assert labels.ignore_regions == [
        [[0, 20], [40, 20], [20, 40], [0, 40]],
        [[100, 30], [50, 30], [50, 30], [100, 30]],
    ]


def test_lines_are_counted_and_sets_named_only_where_they_occur():
    labels = labels_of([[1.23456, 2], [3, 4]])
    assert labels.to_label() == {"polylines": [{"category": "solid_white", "points": [[1.23, 2], [3, 4]]}]}
    labels.add("unknown", ANY_LANE, [[1, 2], [3, 4]], "f:1")
    labels.add("kerb", None, [[1, 2], [3, 4]], "f:1")
    labels.add("kerb", None, [[1, 2]], "f:1")
    labels.add("unknown", ANY_LANE, [], "f:1")
    label = labels.to_label()
    assert [line["category"] for line in label["polylines"]] == ["solid_white", "any_lane", None]
    assert label["category_sets"] == {"any_lane": ["dashed_white", "solid_white", "solid_yellow", "double_yellow"]}
    assert labels.tally.section("source") == {"lane": 1, "unknown": 2, "kerb": 2}
    assert labels.tally.section("refused") == {
        "kerb of fewer than two points: left out": 1,
        "kerb: ignored": 1,
        "unknown of fewer than two points: left out": 1,
    }


@pytest.mark.parametrize("point", [[201, 0], [-101, 0], [0, 121], [0, -61], [math.nan, 0]])
def test_points_far_outside_are_refused(point):
    labels = labels_of([[200, -60], [-100, 120]])
    with pytest.raises(ConversionError, match=r"lies far outside of the image(.|\n)*f.json:3(.|\n)*100x60"):
        labels.add("lane", ANY_LANE, [[0, 0], point], "f.json:3")
