from __future__ import annotations

from admlops.conversion.tally import Tally


def test_lines_and_regions_of_each_class_are_counted():
    tally = Tally()
    points = [[0, 0], [1, 1]]
    label = {
        "polylines": [{"category": name, "points": points} for name in ("solid_white", "any_lane", None, "solid_white")],
        "ignore_regions": [[[0, 0], [1, 0], [0, 1]]] * 2,
        "category_sets": {"any_lane": ["solid_white", "dashed_white"]},
    }
    tally.record({"sample_id": "a", "labels": {"seg_lane": label}})
    assert tally.section("classes") == {
        "seg_lane": {"solid_white": {"lines": 2}, "any_lane": {"lines": 1}, "(ignore)": {"lines": 1, "regions": 2}}
    }
    assert "seg_lane" not in tally.section("unknown")
