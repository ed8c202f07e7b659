from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conversion_helpers import load_release
from source_images import write_png

from admlops.conversion import Bdd100kConverter, convert_source
from admlops.errors import ConversionError

FIRST, SECOND = "0000f77c-6257be58", "0001542f-5ce3cf52"
LANE = {
    "id": "0",
    "category": "single white",
    "attributes": {"laneDirection": "parallel", "laneStyle": "dashed"},
    "poly2d": [{"vertices": [[10, 40], [20, 50]], "types": "LL", "closed": False}],
}


def write_jpeg(path: Path, grey: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".jpg", np.full((60, 100, 3), grey, np.uint8))[1].tobytes())


def box(category: str, *xyxy: float, **attributes: Any) -> dict[str, Any]:
    box2d = dict(zip(("x1", "y1", "x2", "y2"), xyxy or (10.5, 20.0, 30.0, 40.0), strict=True))
    return {"id": "0", "attributes": {"occluded": False, **attributes}, "category": category, "box2d": box2d}


def frame(stem: str, labels: list[Any] | None = None) -> dict[str, Any]:
    attributes = {"weather": "clear", "timeofday": "night", "scene": "city street"}
    return {"name": f"{stem}.jpg", "attributes": attributes, "timestamp": 10000, "labels": labels}


@pytest.fixture
def bdd_source(tmp_path):
    """Write ``{stem: objects}``, ``{stem: lane marks}`` and ``{stem: mask}`` in BDD100K's layout."""

    def write(det=None, lane=None, seg=None, split="train") -> Path:
        root = tmp_path / "bdd100k"
        for frames, name in ((det, f"det_20/det_{split}.json"), (lane, f"lane/polygons/lane_{split}.json")):
            if frames is not None:
                (root / "labels" / name).parent.mkdir(parents=True, exist_ok=True)
                (root / "labels" / name).write_text(json.dumps([frame(stem, labels) for stem, labels in frames.items()]))
                for stem in frames:
                    write_jpeg(root / "images/100k" / split / f"{stem}.jpg")
        for stem, mask in (seg or {}).items():
            write_png(root / "labels/sem_seg/masks" / split / f"{stem}.png", mask)
            write_jpeg(root / "images/10k" / split / f"{stem}.jpg", 91)
        return root

    return write


def convert(root: Path, out: Path, split: str = "train"):
    report = convert_source(Bdd100kConverter(root, split), out, num_workers=1)
    return load_release(out), report


def test_objects_and_lane_marks_of_an_image_are_one_record(bdd_source, tmp_path):
    root = bdd_source({FIRST: [box("car")]}, {FIRST: [LANE], SECOND: []})
    (first, second), report = convert(root, tmp_path / "out")
    assert first == {
        "sample_id": f"100k_{FIRST}",
        "image": {"path": str(root / f"images/100k/train/{FIRST}.jpg"), "width": 100, "height": 60},
        "labels": {
            "det_cyclist_light": {"boxes": [], "categories": [], "labelled_categories": ["cyclist", "traffic_light"]},
            "det_person": {"boxes": [], "categories": [], "labelled_categories": ["person"]},
            "det_vehicle_sign": {
                "boxes": [[10.5, 20.0, 30.0, 40.0]],
                "categories": ["vehicle"],
                "labelled_categories": ["vehicle", "traffic_sign"],
            },
            "seg_lane": {"polylines": [{"category": "dashed_white", "points": [[10.0, 40.0], [20.0, 50.0]]}]},
        },
        "attributes": {
            "source": "bdd100k",
            "split": "train",
            "image_set": "100k",
            "scene": "0000f77c",
            "weather": "clear",
            "timeofday": "night",
        },
    }
    assert second["labels"] == {"seg_lane": {"polylines": []}}  # not in the list of objects: unknown
    assert report["unknown_records"]["det_person"] == {"*": 1}


@pytest.mark.parametrize(
    ("category", "expected"),
    [
        ("pedestrian", [("det_person", "person", False)]),
        ("rider", [("det_cyclist_light", "cyclist", False)]),
        ("car", [("det_vehicle_sign", "vehicle", False)]),
        ("truck", [("det_vehicle_sign", "vehicle", False)]),
        ("bus", [("det_vehicle_sign", "vehicle", False)]),
        ("train", [("det_vehicle_sign", "vehicle", False)]),
        ("motorcycle", []),
        ("bicycle", []),
        ("traffic light", [("det_cyclist_light", "traffic_light", False)]),
        ("traffic sign", [("det_vehicle_sign", "traffic_sign", False)]),
        ("other person", [("det_cyclist_light", "cyclist", True), ("det_person", "person", True)]),
        ("other vehicle", [("det_vehicle_sign", "vehicle", True)]),
        ("trailer", [("det_vehicle_sign", "vehicle", True)]),
    ],
)
def test_categories_become_classes(bdd_source, tmp_path, category, expected):
    ((record,), _) = convert(bdd_source({FIRST: [box(category)]}), tmp_path / "out")
    found = []
    for task, label in record["labels"].items():
        flags = label.get("ignore", [False] * len(label["boxes"]))
        found += [(task, name, flag) for name, flag in zip(label["categories"], flags, strict=True)]
    assert found == expected


def test_rider_is_joined_with_the_machine_and_a_crowd_is_ignored(bdd_source, tmp_path):
    objects = [box("bicycle", 10, 30, 40, 50), box("rider", 20, 10, 30, 40), box("pedestrian", crowd=True)]
    ((record,), report) = convert(bdd_source({FIRST: objects}), tmp_path / "out")
    assert record["labels"]["det_cyclist_light"]["boxes"] == [[10.0, 10.0, 40.0, 50.0]]
    assert record["labels"]["det_person"]["ignore"] == [True]
    assert report["refused"] == {"pedestrian crowd: ignore box in det_person": 1}


def test_mask_of_ids(bdd_source, tmp_path):
    ids = np.full((60, 100), 255, np.uint8)
    ids[0, :19] = range(19)
    ((record,), report) = convert(bdd_source(seg={FIRST: ids}), tmp_path / "out")
    assert record["sample_id"] == f"10k_{FIRST}"
    assert record["labels"] == {"seg_default": {"mask": f"masks/10k_{FIRST}.png"}}
    mask = cv2.imread(str(tmp_path / f"out/masks/10k_{FIRST}.png"), cv2.IMREAD_UNCHANGED)
    # road, sidewalk, building, wall, fence, pole, light, sign, vegetation, terrain, sky, person, rider, 4 vehicles, 2 machines
    assert mask[0, :19].tolist() == [0, 1, 2, 255, 3, 4, 255, 5, 6, 7, 8, 9, 10, 11, 11, 11, 11, 255, 255]
    assert (mask[1:] == 255).all()
    assert report["refused"]["wall pixels: ignored"] == 1


def test_image_in_both_sets_is_one_record_where_the_files_are_equal(bdd_source, tmp_path):
    ids = np.zeros((60, 100), np.uint8)
    root = bdd_source({FIRST: [], SECOND: []}, seg={FIRST: ids, SECOND: ids})
    equal = root / "images/10k/train" / f"{FIRST}.jpg"
    equal.write_bytes((root / "images/100k/train" / f"{FIRST}.jpg").read_bytes())
    records, _ = convert(root, tmp_path / "out")
    assert [(record["sample_id"], len(record["labels"])) for record in records] == [
        (f"100k_{FIRST}", 4),
        (f"100k_{SECOND}", 3),
        (f"10k_{SECOND}", 1),
    ]


def test_missing_files_are_named(bdd_source, tmp_path):
    root = bdd_source({FIRST: []}, seg={SECOND: np.zeros((60, 100), np.uint8)})
    for photo in (root / f"images/100k/train/{FIRST}.jpg", root / f"images/10k/train/{SECOND}.jpg"):
        content = photo.read_bytes()
        photo.unlink()
        with pytest.raises(ConversionError, match="a source file is missing") as error:
            convert_source(Bdd100kConverter(root), tmp_path / "out")
        assert error.value.where == photo
        photo.write_bytes(content)
    with pytest.raises(ConversionError, match=r"no labels of split 'val'(.|\n)*det_val\.json"):
        list(Bdd100kConverter(root, "val").frames())


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (box("pedestrain"), r"frame 0000f77c-6257be58, label 1(.|\n)*'pedestrain'(.|\n)*did you mean 'pedestrian'"),
        ({"category": "car"}, r"box2d: \{x1, y1, x2, y2\}(.|\n)*None"),
        (box("car", 10, 20, "30", 40), "box2d: "),
        (box("car", 30, 20, 30, 40), "left < right"),
        (box("car", 30, 20, 150, 40), r"inside of the image \(100x60"),
        ("car", "a category: "),
    ],
)
def test_malformed_objects_are_named(bdd_source, tmp_path, item, message):
    root = bdd_source({FIRST: [box("car"), item]})
    with pytest.raises(ConversionError, match=message):
        convert_source(Bdd100kConverter(root), tmp_path / "out", num_workers=1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([frame(SECOND), frame(FIRST)], r"not in the order of their names(.|\n)*item 1(.|\n)*got: +'0000f77c"),
        ([frame(FIRST), frame(FIRST)], r"not in the order of their names, each once"),
        ([{"labels": []}], r"malformed frame(.|\n)*item 0"),
        ([{**frame(FIRST), "labels": {"car": 1}}], r"malformed frame(.|\n)*item 0"),
        ([{"name": "../up.jpg"}], r"malformed frame"),
    ],
)
def test_malformed_lists_are_named(bdd_source, tmp_path, entries, message):
    root = bdd_source({FIRST: [], SECOND: []})
    (root / "labels/det_20/det_train.json").write_text(json.dumps(entries))
    with pytest.raises(ConversionError, match=message):
        list(Bdd100kConverter(root).frames())


def test_truncated_list_is_named(bdd_source, tmp_path):
    root = bdd_source({FIRST: [], SECOND: []})
    path = root / "labels/det_20/det_train.json"
    path.write_text(path.read_text()[:-20])
    with pytest.raises(ConversionError, match=r"truncated or malformed(.|\n)*det_train\.json"):
        convert_source(Bdd100kConverter(root), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not os.environ.get("ADMLOPS_REAL_DATA"), reason="ADMLOPS_REAL_DATA is not set")
def test_real_frames(tmp_path):
    records, report = convert(Path(os.environ["ADMLOPS_REAL_DATA"]) / "bdd100k", tmp_path / "out")
    assert [record["attributes"]["image_set"] for record in records] == ["100k", "100k", "10k", "10k"]
    # Two cars from behind and two lights; three people far away; the other two photos have colour maps of ids.
    assert records[0]["labels"]["det_vehicle_sign"]["categories"].count("vehicle") == 2
    assert records[0]["labels"]["det_cyclist_light"]["categories"] == ["traffic_light"] * 2
    assert len(records[1]["labels"]["det_person"]["boxes"]) == 3
    pixels = report["classes"]["seg_default"]
    assert (pixels["road"]["pixels"], pixels["sidewalk"]["pixels"]) == (446474, 5586)
