"""Each table on releases of a few records, with values that can be checked by hand."""

import json

import numpy as np
import pytest
from tiny_splits import boxes, camera, write_index, write_mask, write_release

from admlops.analysis import Need, ScanOptions, build_tables, find_warnings
from admlops.analysis.box_columns import cover_cells
from admlops.analysis.mask_columns import sample_cells
from admlops.analysis.record_scan import reads_mask
from admlops.errors import ConfigError, DataReleaseError, RecordError

MASKS = ScanOptions(read_images=False)
PIXELS = ScanOptions(max_masks=0)


def rows(analysis, name, **where):
    """Rows of a table as dicts, those where the columns hold the values."""
    (table,) = (table for table in build_tables(analysis) if table.name == name)
    dicts = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    return [row for row in dicts if all(row[key] == value for key, value in where.items())]


@pytest.fixture
def two_sources(tmp_path):
    """``full`` (twice an epoch) labels both classes; ``signs`` knows some signs, and is not released for its persons."""
    full = [
        camera("a", det_vehicle_sign=boxes(("vehicle", [0, 0, 192, 108]), ("vehicle", [0, 0, 10, 12]), ignore=[False, True])),
        camera("b", det_vehicle_sign=boxes(("vehicle", [960, 540, 1920, 1080]), ("traffic_sign", [0, 0, 12, 40]))),
        camera("c", (720, 1280), det_vehicle_sign=boxes()),
    ]
    only = {"labelled_categories": ["traffic_sign"], "non_exhaustive_categories": ["traffic_sign"]}
    signs = [
        camera("d", det_vehicle_sign=boxes(("traffic_sign", [0, 0, 20, 20]), **only), det_person=boxes()),
        camera("e"),
    ]
    tasks = ["det_vehicle_sign"]
    return write_release(tmp_path / "release", full=(full, tasks, 2), signs=(signs, tasks, 1))


def test_labels_by_task_and_source(two_sources, analyse):
    analysis = analyse(train=two_sources, tasks=["det_vehicle_sign"])
    assert rows(analysis, "sources")[0] == {
        "split": "train", "source": "full", "records": 3, "duplicate": 2, "effective": 6, "tasks": "det_vehicle_sign",
    }  # fmt: skip
    full, signs = rows(analysis, "tasks")
    assert (full["labelled"], full["effective"], full["share"], full["empty"]) == (3, 6, round(6 / 7, 4), 1)
    assert (signs["labelled"], signs["effective"], signs["empty"], signs["untagged"]) == (1, 1, 0, 0)


def test_a_label_of_a_task_that_the_source_is_not_released_for_is_not_counted(two_sources, tmp_path, analyse):
    other = write_release(tmp_path / "other", people=([camera("p", det_person=boxes())], ["det_person"], 1))
    analysis = analyse(train=two_sources, val=other)
    people = rows(analysis, "tasks", task="det_person")
    assert [(row["source"], row["labelled"], row["untagged"]) for row in people] == [("signs", 0, 1), ("people", 1, 0)]


def test_availability(two_sources, analyse):
    states = ("labelled", "non_exhaustive", "set_only", "unknown")
    table = rows(analyse(t=two_sources), "availability")
    got = {(row["class"], row["source"]): tuple(row[state] for state in states) for row in table}
    assert got == {
        ("vehicle", "full"): (3, 0, 0, 0),
        ("vehicle", "signs"): (0, 0, 0, 2),
        ("traffic_sign", "full"): (3, 0, 0, 0),
        ("traffic_sign", "signs"): (0, 1, 0, 1),
    }


def test_instances(two_sources, analyse):
    columns = ("instances", "effective", "ignored", "images", "negatives")
    table = rows(analyse(t=two_sources), "instances")
    got = {(row["class"], row["source"]): tuple(row[column] for column in columns) for row in table}
    assert got == {
        ("vehicle", "full"): (2, 4, 1, 2, 1),
        ("traffic_sign", "full"): (1, 2, 0, 1, 2),
        ("traffic_sign", "signs"): (1, 1, 0, 1, 0),  # not exhaustive: no negatives
    }


def test_box_sizes_in_the_original_and_in_the_input(two_sources, analyse):
    # 1080x1920 becomes 540x960: everything halves. The ignored box is left out.
    sizes = {row["measure"]: row for row in rows(analyse(t=two_sources), "box_sizes", **{"class": "vehicle"})}
    assert sizes["width_px"]["boxes"] == 2
    assert sizes["width_px"]["p50"] == pytest.approx(192, rel=0.012)
    assert sizes["width_px"]["p95"] == pytest.approx(960, rel=0.012)
    assert sizes["input_short_side_px"]["p50"] == pytest.approx(54, rel=0.012)
    assert sizes["aspect"]["p50"] == pytest.approx(192 / 108, rel=0.012)
    # Signs of 12x40 and 20x20 have sides of 6 and 10 px there.
    (signs,) = rows(analyse(t=two_sources), "box_sizes", measure="input_short_side_px", **{"class": "traffic_sign"})
    assert (signs["boxes"], signs["tiny_share"]) == (2, 0.5)


def test_image_sizes(two_sources, analyse):
    table = rows(analyse(t=two_sources), "image_sizes", source="full")
    keys = ("height_px", "width_px", "records", "input_height_px", "input_width_px")
    assert [tuple(row[key] for key in keys) for row in table] == [(720, 1280, 1, 540, 960), (1080, 1920, 2, 540, 960)]


def test_co_occurrence_is_a_share_of_the_images_that_tell(two_sources, analyse):
    # Vehicles are seen in a and b; both tell of signs, only b shows one. Signs are seen in b and d; d says nothing of vehicles.
    table = rows(analyse(t=two_sources), "co_occurrence")
    got = {row["class"].split(".")[1]: (row["images"], row["share"]) for row in table}
    assert got == {"vehicle": (1, 0.5), "traffic_sign": (1, 1.0)}


def test_positions_of_boxes():
    boxes_xyxy = np.array([[0, 0, 1, 0.5], [0.5, 0.5, 0.51, 0.51]])
    cells = cover_cells(boxes_xyxy, np.array([0, 1]), 2)
    assert cells.shape == (2, 18, 32)
    assert cells[0, :9].all()
    assert cells[0].sum() == 9 * 32
    assert np.argwhere(cells[1]).tolist() == [[9, 16]]


def test_positions_of_masks():
    mask = np.zeros((180, 320), np.uint8)
    mask[90:, :160] = 2
    cells = sample_cells(mask, 1, 3)
    assert cells.sum() == 9 * 16
    assert cells[1, 9:, :16].min() == 1


@pytest.fixture
def lanes_and_masks(tmp_path):
    hw = (180, 320)
    line = {"category": "solid_white", "points": [[0, 0], [320, 180]]}
    grown = {"mask": "images/m.png", "category_sets": {"nature": ["vegetation", "terrain"]}}
    records = [
        camera("a", hw, seg_lane={"polylines": [line, line]}, seg_default={"mask": "images/road.png"}),
        camera("b", hw, seg_lane={"mask": "images/lane.png"}, seg_default=grown),
        camera("c", hw, seg_lane={"polylines": []}),
    ]
    write_mask(tmp_path / "images" / "road.png", [8, 0, 0, 255], hw)  # a quarter sky, half road
    write_mask(tmp_path / "images" / "m.png", [0, 12], hw)  # road, and the set
    write_mask(tmp_path / "images" / "lane.png", [0, 4], hw)  # background, double_yellow
    return write_index(tmp_path / "index.jsonl", records)


def test_polylines_and_mask_pixels(lanes_and_masks, analyse):
    analysis = analyse(MASKS, val=lanes_and_masks)
    quarter = 180 * 320 // 4
    keys = ("instances", "images", "negatives", "pixels")
    got = {row["class"]: tuple(row[key] for key in keys) for row in rows(analysis, "instances")}
    assert got["solid_white"] == (2, 1, 2, 0)
    assert got["double_yellow"] == (0, 1, 2, 2 * quarter)
    assert got["road"] == (None, 2, 0, 4 * quarter)
    assert got["sky"] == (None, 1, 1, quarter)
    assert got["vegetation"] == (None, 0, 1, 0)  # in b it may be anywhere
    assert [tuple(row.values()) for row in rows(analysis, "set_instances")] == [("val", "seg_default", "nature", 2 * quarter)]
    lane, *_ = rows(analysis, "tasks", task="seg_lane")
    assert (lane["labelled"], lane["empty"], lane["masks"], lane["masks_read"]) == (3, 1, 1, 1)


def test_masks_that_are_not_read_tell_nothing(lanes_and_masks, analyse):
    analysis = analyse(ScanOptions(max_masks=1, read_images=False), val=lanes_and_masks)
    # Of three records the last is chosen, which has no mask.
    (task,) = rows(analysis, "tasks", task="seg_default")
    assert (task["labelled"], task["masks"], task["masks_read"]) == (2, 2, 0)
    assert {(row["images"], row["negatives"]) for row in rows(analysis, "instances", task="seg_default")} == {(None, None)}


def test_records_to_read_are_evenly_spread():
    assert [line for line in range(10) if reads_mask(line, 10, 3)] == [3, 6, 9]
    assert all(reads_mask(line, 2, 5) for line in range(2))
    assert not any(reads_mask(line, 2, 0) for line in range(2))


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        ({"det_person": boxes(("persn", [0, 0, 1, 1]))}, "has no class 'persn'(.|\n)*did you mean 'person'"),
        ({"det_person": {"mask": "x.png"}}, "is a detection task"),
        ({"seg_default": boxes()}, "is a semantic task"),
        ({"seg_lane": boxes()}, "is a lane task"),
        ({"det_person": boxes(("person", [0, 0, 1, 1]), labelled_categories=[])}, "occurs although"),
        ({"seg_default": {"mask": "none.png"}}, "a mask cannot be read(.|\n)*--no-masks"),
        ({"seg_default": {"mask": "bad.png"}}, "a mask is truncated or no PNG"),
        ({"seg_default": {"mask": "rgb.png"}}, "not an index PNG"),
        ({"seg_default": {"mask": "thirteen.png"}}, "value 13 of a mask has no meaning"),
        ({"seg_default": {"mask": "road.png", "labelled_categories": ["sky"]}}, "'road' occurs although"),
        ({"seg_default": {"mask": "small.png"}}, "not of the recorded size"),
    ],
)
def test_faults_are_named_with_their_line(tmp_path, analyse, labels, match):
    import cv2

    write_mask(tmp_path / "thirteen.png", [13, 13], (4, 4))
    write_mask(tmp_path / "road.png", [0, 0], (4, 4))
    write_mask(tmp_path / "small.png", [0, 0], (2, 2))
    cv2.imwrite(str(tmp_path / "rgb.png"), np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "bad.png").write_bytes((tmp_path / "road.png").read_bytes()[:40])
    index = write_index(tmp_path / "x.jsonl", [camera("fine", (4, 4)), camera("broken", (4, 4), **labels)])
    with pytest.raises(RecordError, match=match) as caught:
        analyse(MASKS, train=index)
    assert str(caught.value.where).startswith(f"{index}:2 ")


def sweep(sample_id, **labels):
    lidar = {"path": f"{sample_id}.bin", "dtype": "float32", "num_features": 4, "origin": [0.0, 0.0, 0.0]}
    return {"sample_id": sample_id, "lidar": lidar, "labels": labels}


def test_labels_of_sweeps_are_counted_but_not_read(tmp_path, analyse):
    for name, content in {"a": b"x", "b": b"y", "c": b"x"}.items():
        (tmp_path / f"{name}.bin").write_bytes(content)
    box = {"boxes_3d": [[1, 2, 0, 4, 2, 1, 0]], "categories": ["obstacle"]}
    points = {"point_labels": "a.label", "taxonomy": "semantic_kitti"}
    areas = {"polygons": [[[0, 0], [9, 0], [9, 9]]], "categories": ["road or parking"]}
    areas |= {"category_sets": {"road or parking": ["road", "parking"]}, "labelled_categories": ["road", "parking"]}
    records = [
        sweep("a", god_base=points, drivable_multi=areas),
        sweep("b", god_base={"boxes_3d": [], "categories": []}),
        sweep("c", god_base=box),
    ]
    release = write_release(tmp_path, sweeps=(records, ["god_base", "drivable_multi", "drivable_2cls"], 2))
    analysis = analyse(MASKS, train=release)
    (row,) = rows(analysis, "tasks", task="god_base")
    assert (row["labelled"], row["effective"], row["empty"], row["masks"], row["masks_read"]) == (3, 6, 1, 3, 0)
    (row,) = rows(analysis, "availability", **{"class": "obstacle"})
    assert (row["labelled"], row["unknown"]) == (3, 0)
    (row,) = rows(analysis, "availability", **{"class": "terrain"})
    assert (row["labelled"], row["unknown"]) == (0, 3)
    (row,) = rows(analysis, "set_instances")
    assert (row["task"], row["set"], row["count"]) == ("drivable_multi", "road or parking", 1)
    (row,) = rows(analysis, "instances", **{"class": "obstacle"})
    assert (row["images"], row["pixels"]) == (None, None)
    assert rows(analysis, "image_sizes") == []
    warnings = [str(warning) for warning in find_warnings(analysis, Need(min_images=1))]
    assert [warning for warning in warnings if "god_base" in warning] == []
    assert any(warning.startswith("[A201] train, drivable_2cls") for warning in warnings)


def test_sweeps_that_repeat_are_found_by_their_bytes(tmp_path, analyse):
    for name, content in {"a": b"x", "b": b"y", "c": b"x"}.items():
        (tmp_path / f"{name}.bin").write_bytes(content)
    first = write_index(tmp_path / "first.jsonl", [sweep("a"), sweep("b")])
    second = write_index(tmp_path / "second.jsonl", [sweep("c")])
    overlap = analyse(PIXELS, train=first, val=second).overlaps[0]
    assert (overlap.equal_files, overlap.near_duplicates, overlap.rejected) == (1, 0, 0)


def test_malformed_labels_of_sweeps_are_named(tmp_path, analyse):
    box = {"boxes_3d": [[1, 2, 0, 4, 2, 1, 0]], "categories": ["car"]}
    for label, match in (
        ({"god_base": box}, "god_base has no class 'car'"),
        ({"god_base": {"mask": "a.png"}}, "god_base is a semantic task(.|\n)*point_labels or boxes_3d or polygons"),
        ({"det_person": {"boxes": [], "categories": []}}, "not a camera record, although it labels det_person"),
    ):
        index = write_index(tmp_path / "x.jsonl", [sweep("a", **label)])
        with pytest.raises(RecordError, match=match):
            analyse(train=index)


def test_splits_that_cannot_be_opened(tmp_path, analyse, two_sources):
    with pytest.raises(DataReleaseError, match="no training_dataset.json"):
        analyse(train=tmp_path / "nothing")
    with pytest.raises(DataReleaseError, match="has no samples"):
        analyse(train=write_index(tmp_path / "empty.jsonl", []))
    with pytest.raises(ConfigError, match="unknown task 'det_persn'"):
        analyse(train=two_sources, tasks=["det_persn"])
    lidar_only = write_release(tmp_path / "lidar", sweeps=([camera("a")], ["det3d"], 1))
    with pytest.raises(ConfigError, match="no task to analyse"):
        analyse(train=lidar_only)


def test_json_of_an_old_release_without_tags_serves_what_is_labelled(tmp_path, analyse):
    root = write_release(tmp_path / "old", all=([camera("a", det_person=boxes())], ["det_person"], 1))
    document = json.loads((root / "training_dataset.json").read_text())
    del document["dataset_index"][0]["task_tags"]
    (root / "training_dataset.json").write_text(json.dumps(document))
    assert [task.name for task in analyse(train=root).tasks] == ["det_person"]
