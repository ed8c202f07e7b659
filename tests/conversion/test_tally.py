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


def test_sweeps_polygons_and_the_tasks_of_the_sensors_are_counted():
    tally = Tally()
    sweep = {"path": "a.bin", "dtype": "float32", "num_features": 4, "origin": [0.0, 0.0, 0.0]}
    corners = [[0, 0], [9, 0], [9, 9]]
    labels = {
        "god_base": {"boxes_3d": [[0, 0, 0, 1, 1, 1, 0]] * 2, "categories": ["obstacle"] * 2, "ignore": [True, False]},
        "drivable_2cls": {"polygons": [corners], "categories": ["drivable"], "labelled_categories": ["drivable"]},
        "det3d": {"boxes_3d": [], "categories": []},
    }
    tally.record({"sample_id": "a", "lidar": sweep, "labels": labels})
    assert tally.section("lidar") == {"sweeps": 1}
    assert tally.section("labelled") == {"det3d": 1, "drivable_2cls": 1, "god_base": 1}
    assert tally.section("classes") == {
        "drivable_2cls": {"drivable": {"polygons": 1}},
        "god_base": {"obstacle": {"boxes": 1, "ignored": 1}},
    }
    # A sweep alone says nothing of the camera's tasks, a photo alone nothing of the sweep's.
    assert tally.section("unknown") == {"drivable_2cls": {"not_drivable": 1}, "drivable_multi": {"*": 1}, "god_hd": {"*": 1}}
    tally.record({"sample_id": "b", "image": {"path": "b.png", "width": 4, "height": 3}, "labels": {}})
    assert tally.section("unknown")["god_hd"] == {"*": 1}
    assert tally.section("unknown")["seg_lane"] == {"*": 1}
