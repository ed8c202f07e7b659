"""Availability through real records, each with a value worked out by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tiny_release import make_record, write_release

from admlops.datasets import ReleaseDataset
from admlops.datasets.transforms import LoadLabels, ResizeMinMax
from admlops.errors import ConfigError, RecordError
from admlops.task_spec import CAMERA_TASKS

HW = (6, 8)
EMPTY = {"boxes": [], "categories": []}


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def load_record(labels: dict[str, Any], frame: str = "input") -> dict[str, Any]:
        root = tmp_path / "release"
        records = [make_record("a", "a.jpg", HW, labels)]
        write_release(root, [{"name": "source", "records": records}], list(CAMERA_TASKS))
        dataset = ReleaseDataset({"root": str(root)}, list(CAMERA_TASKS), [LoadLabels(frame)])
        return dataset[0]["labels" if frame == "input" else "original_labels"]

    (tmp_path / "release" / "source").mkdir(parents=True)
    return load_record


def _write_mask(tmp_path: Path, values: list[list[int]] | np.ndarray) -> None:
    cv2.imwrite(str(tmp_path / "release" / "source" / "mask.png"), np.array(values, dtype=np.uint8))


def test_boxes(load: Callable[..., Any]) -> None:
    # The classes are (vehicle, traffic_sign).
    label = {"boxes": [[1, 2, 3, 4.5], [0, 0, 8, 6]], "categories": ["traffic_sign", "vehicle"], "ignore": [False, True]}
    loaded = load({"det_vehicle_sign": label})["det_vehicle_sign"]
    assert loaded.bboxes.tolist() == [[1, 2, 3, 4.5], [0, 0, 8, 6]]
    assert loaded.labels.tolist() == [1, 0]
    assert loaded.ignore_flags.tolist() == [False, True]
    assert (loaded.bboxes.dtype, loaded.labels.dtype, loaded.ignore_flags.dtype) == (np.float32, np.int64, bool)


def test_empty_list_is_a_true_negative_and_an_absent_key_unknown(load: Callable[..., Any]) -> None:
    loaded = load({"det_person": EMPTY, "seg_lane": {"polylines": []}})
    assert set(loaded) == {"det_person", "seg_lane"}
    assert loaded["det_person"].bboxes.shape == (0, 4)
    assert loaded["det_person"].labels.shape == loaded["det_person"].ignore_flags.shape == (0,)
    assert loaded["det_person"].availability.class_exhaustive.tolist() == [True]
    assert (loaded["seg_lane"].mask == 0).all()
    assert loaded["seg_lane"].mask.shape == HW
    assert loaded["seg_lane"].availability.in_metric.tolist() == [True] * 5


def test_labelled_categories(load: Callable[..., Any]) -> None:
    label = {"boxes": [[0, 0, 2, 2]], "categories": ["traffic_sign"], "labelled_categories": ["traffic_sign"]}
    available = load({"det_vehicle_sign": label})["det_vehicle_sign"].availability
    assert available.class_labelled.tolist() == [False, True]
    assert available.in_metric.tolist() == [False, True]
    with pytest.raises(RecordError, match=r"(?s)'vehicle' occurs although.*index\.jsonl:1.*labelled_categories"):
        load({"det_vehicle_sign": {**label, "categories": ["vehicle"]}})


def test_non_exhaustive_categories(load: Callable[..., Any]) -> None:
    label = {"boxes": [[0, 0, 2, 2]], "categories": ["traffic_sign"], "non_exhaustive_categories": ["traffic_sign"]}
    available = load({"det_vehicle_sign": label})["det_vehicle_sign"].availability
    assert available.class_labelled.tolist() == [True, True]
    assert available.class_exhaustive.tolist() == [True, False]
    assert available.in_metric.tolist() == [True, False]


def test_category_sets(load: Callable[..., Any], tmp_path: Path) -> None:
    # K = 2 for the boxes, so "something" is label 2; K = 12 for the mask, so its two sets are values 12 and 13.
    _write_mask(tmp_path, [[12] * 8, [13] * 8, [255] * 8, [0] * 8, [11] * 8, [1] * 8])
    boxes = {"boxes": [[0, 0, 2, 2]], "categories": ["something"], "category_sets": {"something": ["vehicle", "traffic_sign"]}}
    sets = {"drivable": ["road", "sidewalk"], "two_wheeler": ["cyclist", "vehicle"]}
    loaded = load({"det_vehicle_sign": boxes, "seg_default": {"mask": "mask.png", "category_sets": sets}})
    assert loaded["det_vehicle_sign"].labels.tolist() == [2]
    assert loaded["det_vehicle_sign"].availability.category_sets.tolist() == [[True, True]]
    available = loaded["seg_default"].availability
    assert loaded["seg_default"].mask[:, 0].tolist() == [12, 13, 255, 0, 11, 1]
    assert [np.flatnonzero(row).tolist() for row in available.category_sets] == [[0, 1], [10, 11]]
    assert np.flatnonzero(~available.in_metric).tolist() == [0, 1, 10, 11]


def test_task_tags_hide_what_the_record_holds(tmp_path: Path) -> None:
    records = [make_record("a", "a.jpg", HW, {"det_person": EMPTY, "det_rear": EMPTY})]
    tagged = {"name": "tagged", "records": records, "task_tags": ["det_person"]}
    untagged = {"name": "untagged", "records": records}
    tasks = ["det_person", "det_rear"]
    root = write_release(tmp_path / "release", [tagged, untagged], tasks)
    dataset = ReleaseDataset({"root": str(root)}, tasks, [LoadLabels()])
    assert [set(dataset[i]["labels"]) for i in range(2)] == [{"det_person"}, {"det_person", "det_rear"}]
    # Requested tasks hide the rest as well.
    person = ReleaseDataset({"root": str(root)}, ["det_person"], [LoadLabels()])
    assert [set(person[i]["labels"]) for i in range(2)] == [{"det_person"}, {"det_person"}]


def test_lines_without_a_category_and_regions_are_ignored_below_the_others(load: Callable[..., Any]) -> None:
    # 6 rows high: lines are 6 * 8 / 720 px wide, which touches no pixel's centre unless they run along it.
    label = {
        "polylines": [
            {"category": "solid_white", "points": [[2.5, 0], [2.5, 6]]},
            {"category": None, "points": [[0, 1.5], [8, 1.5]]},
        ],
        "ignore_regions": [[[5, 3], [7, 3], [7, 5], [5, 5]]],
    }
    expected = np.zeros(HW, np.uint8)
    expected[3:6, 5:8] = 255
    expected[1] = 255
    expected[:, 2] = 2
    assert load({"seg_lane": label})["seg_lane"].mask.tolist() == expected.tolist()


def test_polylines_take_the_original_height(load: Callable[..., Any]) -> None:
    # 6 rows: 8 * 6 / 720 = 0.067 px wide, so only centres on the line count: y = 2.5 is row 2.
    label = {"polylines": [{"category": "solid_yellow", "points": [[0, 2.5], [8, 2.5]]}]}
    mask = load({"seg_lane": label})["seg_lane"].mask
    assert mask[2].tolist() == [3] * 8  # background, dashed_white, solid_white, solid_yellow
    assert (np.delete(mask, 2, axis=0) == 0).all()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"det_rear": {"boxes": [[0, 0, 2, 2]], "categories": ["vehicle_hed"]}}, "did you mean 'vehicle_head'"),
        (
            {"det_rear": {"boxes": [[0, 0, 2, 2]], "categories": ["cars"], "category_sets": {"car": ["vehicle_rear"]}}},
            "did you mean 'car'",
        ),
        ({"seg_lane": {"polylines": [{"category": "solid_whit", "points": [[0, 0], [1, 1]]}]}}, "did you mean 'solid_white'"),
        ({"det_rear": {**EMPTY, "labelled_categories": ["vehicle_read"]}}, "did you mean 'vehicle_rear'"),
        ({"det_rear": {"polylines": []}}, "det_rear is a detection task"),
        ({"seg_default": {"polylines": []}}, "seg_default is a semantic task"),
    ],
)
def test_wrong_names_are_refused_with_the_nearest(load: Callable[..., Any], labels: dict, message: str) -> None:
    with pytest.raises(RecordError, match=rf"(?s)index\.jsonl:1 \(byte 0\).*{message}|{message}.*index\.jsonl:1 \(byte 0\)"):
        load(labels)


@pytest.mark.parametrize(
    ("value", "label", "message"),
    [
        (12, {}, "value 12 has no meaning"),
        (254, {}, "value 254 has no meaning"),
        (13, {"category_sets": {"drivable": ["road", "sidewalk"]}}, "value 13 has no meaning"),
        (7, {"labelled_categories": ["road", "sky"]}, r"value 7 \(terrain\) is not labelled"),
    ],
)
def test_wrong_mask_values_are_refused(load: Callable[..., Any], tmp_path: Path, value: int, label: dict, message: str) -> None:
    values = np.zeros(HW, dtype=np.uint8)
    values[2, 3] = values[4, 4] = value
    _write_mask(tmp_path, values)
    with pytest.raises(RecordError, match=rf"(?s){message}.*index\.jsonl:1.*{value} in 2 pixels.*mask\.png"):
        load({"seg_default": {"mask": "mask.png", **label}})


def test_mask_of_another_size_is_refused(load: Callable[..., Any], tmp_path: Path) -> None:
    _write_mask(tmp_path, np.zeros((8, 6)))
    with pytest.raises(RecordError, match="mask is not of the recorded size"):
        load({"seg_default": {"mask": "mask.png"}})


def test_frames(load: Callable[..., Any]) -> None:
    assert set(load({"det_person": EMPTY}, frame="original")) == {"det_person"}
    with pytest.raises(ConfigError, match="did you mean 'original'"):
        LoadLabels("orignal")
    results = {
        "img": np.zeros((10, 10, 3), np.uint8),
        "img_shape": (10, 10),
        "input_from_original": np.eye(3),
        "record_where": "",
        "record_labels": {},
    }
    with pytest.raises(ConfigError, match="after a geometric transform"):
        LoadLabels()(ResizeMinMax((5, 5))(results))
