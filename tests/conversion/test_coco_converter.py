from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from conversion_helpers import load_release

from admlops.conversion import CocoConverter, convert_source
from admlops.conversion.coco_boxes import read_coco_boxes
from admlops.errors import ConversionError

CATEGORIES = {
    1: "person",
    2: "bicycle",
    3: "car",
    4: "motorcycle",
    6: "bus",
    7: "train",
    8: "truck",
    10: "traffic light",
    13: "stop sign",
    15: "bench",
}
ID_OF = {name: number for number, name in CATEGORIES.items()}
BOX = [10.0, 20.0, 40.0, 40.0]


@pytest.fixture
def coco_source(tmp_path):
    """Write photos of 200x100, ids from 900 down, and annotations ``(photo, category, box, is crowd)``, ids from 50 up."""

    def write(num_photos, annotations):
        root = tmp_path / "coco"
        (root / "val2017").mkdir(parents=True)
        (root / "annotations").mkdir()
        images = []
        for number in range(num_photos):
            name = f"{number:012d}.jpg"
            cv2.imwrite(str(root / "val2017" / name), np.zeros((100, 200, 3), np.uint8))
            images.append({"id": 900 - number, "file_name": name, "width": 200, "height": 100})
        content = {
            "info": {"year": 2017},
            "images": images,
            "annotations": [
                {
                    "id": 50 + index,
                    "image_id": 900 - photo,
                    "category_id": ID_OF[category],
                    "bbox": box,
                    "iscrowd": crowd,
                    "segmentation": [[1.5, 2.5, 3.5, 4.5, 5.5, 6.5]],
                    "area": 1.0,
                }
                for index, (photo, category, box, crowd) in enumerate(annotations)
            ],
            "categories": [{"supercategory": "x", "id": number, "name": name} for number, name in CATEGORIES.items()],
        }
        (root / "annotations/instances_val2017.json").write_text(json.dumps(content))
        return root

    return write


def convert(source, tmp_path):
    report = convert_source(CocoConverter(source, split="val2017"), tmp_path / "out", num_workers=1)
    return load_release(tmp_path / "out"), report


def rewrite(source, change):
    path = source / "annotations/instances_val2017.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def test_categories_become_classes_of_three_tasks(coco_source, tmp_path):
    # The annotations are not in the order of the photos.
    annotations = [
        (1, "person", BOX, 0),
        (0, "traffic light", BOX, 0),
        *((0, name, BOX, 0) for name in ("car", "bus", "truck", "train", "stop sign", "bench")),
        (1, "person", [0, 0, 200.5, 50.5], 1),
        (0, "car", [-0.5, 90, 10, 10.5], 0),
    ]
    (first, second, third), report = convert(coco_source(3, annotations), tmp_path)
    assert first["sample_id"] == "000000000000"
    assert first["labels"] == {
        "det_cyclist_light": {
            "boxes": [[10.0, 20.0, 50.0, 60.0]],
            "categories": ["traffic_light"],
            "labelled_categories": ["traffic_light"],
        },
        "det_person": {"boxes": [], "categories": [], "labelled_categories": ["person"]},
        "det_vehicle_sign": {
            "boxes": [[10.0, 20.0, 50.0, 60.0]] * 5 + [[0.0, 90.0, 9.5, 100.0]],
            "categories": ["vehicle"] * 4 + ["traffic_sign", "vehicle"],
            "ignore": [False, False, False, True, False, False],
            "labelled_categories": ["vehicle", "traffic_sign"],
            "non_exhaustive_categories": ["traffic_sign"],
        },
    }
    assert second["labels"]["det_person"]["boxes"] == [[10.0, 20.0, 50.0, 60.0], [0.0, 0.0, 200.0, 50.5]]
    assert second["labels"]["det_person"]["ignore"] == [False, True]
    # A photo without annotation shows none of them.
    assert third["labels"]["det_person"] == {"boxes": [], "categories": [], "labelled_categories": ["person"]}
    assert report["unknown"]["det_cyclist_light"] == ["cyclist"]
    assert report["refused"] == {
        "boxes of categories that no task has: left out": 1,
        "person, crowd: ignore box": 1,
        "train, railway or tram: ignore box": 1,
    }


def test_who_may_ride_a_cycle_is_ignored(coco_source, tmp_path):
    annotations = [
        (0, "person", [-10, 0, 40, 60], 0),  # shares 20 x 20 with the bicycle's 40 x 40
        (0, "person", [40, 0, 40, 60], 0),  # shares 10 x 20: stands beside it
        (0, "person", [120, 0, 40, 60], 0),
        (0, "bicycle", [10, 40, 40, 40], 0),
        (1, "motorcycle", BOX, 0),
        (1, "person", BOX, 0),
        (1, "person", [10, 90, 5, 0], 0),
    ]
    (first, second), report = convert(coco_source(2, annotations), tmp_path)
    assert first["labels"]["det_person"]["ignore"] == [True, False, False]
    assert second["labels"]["det_person"]["ignore"] == [True]
    assert report["refused"] == {
        "bicycle: no cyclist without its rider, left out": 1,
        "motorcycle: no cyclist without its rider, left out": 1,
        "person, empty box: left out": 1,
        "person, perhaps on a cycle: ignore box": 2,
    }


def test_table_is_read_once_until_the_file_changes(coco_source):
    source = coco_source(1, [(0, "person", BOX, 0)])
    path = source / "annotations/instances_val2017.json"
    assert read_coco_boxes(path, ("person",)) is read_coco_boxes(path, ("person",))
    (image,) = read_coco_boxes(path, ("person",)).images()
    assert image.boxes == [(50, "person", False, BOX)]
    rewrite(source, lambda content: content["annotations"][0].update(bbox=[1, 2, 3, 4], segmentation=[]))
    (image,) = read_coco_boxes(path, ("person",)).images()
    assert image.boxes == [(50, "person", False, [1.0, 2.0, 3.0, 4.0])]


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("annotations", {"image_id": 7}, r"id of one of the file's image entries(.|\n)*image_id 7"),
        ("annotations", {"category_id": 77}, r"id of one of the file's category entries(.|\n)*category_id 77"),
        ("annotations", {"image_id": "900"}, "the key image_id"),
        ("annotations", {"bbox": [1, 2, 3]}, r"bbox \[x, y, width, height\](.|\n)*\[1, 2, 3\]"),
        ("annotations", {"bbox": [1, 2, -3, 4]}, r"bbox(.|\n)*-3"),
        ("annotations", {"bbox": [1, 2, "3", 4]}, r"bbox(.|\n)*'3'"),
        ("annotations", {"bbox": None}, "bbox"),
        ("annotations", {"iscrowd": 2}, "iscrowd 0 or 1"),
        ("images", {"file_name": "train/1.jpg"}, "a file name without a folder"),
        ("images", {"width": 0}, "width in pixels"),
        ("images", {"id": 900}, r"each image id once(.|\n)*id 900 again"),
        ("images", {"id": None}, "an object with an integer id"),
    ],
)
def test_malformed_entry_is_named(coco_source, section, change, message):
    source = coco_source(2, [(0, "person", BOX, 0), (1, "person", BOX, 0)])
    path = rewrite(source, lambda content: content[section][1].update(change))
    with pytest.raises(ConversionError, match=message) as error:
        list(CocoConverter(source, split="val2017").frames())
    old_id = {"images": 899, "annotations": 51}[section]
    assert error.value.where == f"{path} ({section}[1], id {change.get('id', old_id)!r})"


def test_lacking_key_is_named(coco_source):
    source = coco_source(1, [(0, "person", BOX, 0)])
    rewrite(source, lambda content: content["annotations"][0].pop("bbox"))
    with pytest.raises(ConversionError, match=r"annotations\[0\], id 50(.|\n)*the key bbox(.|\n)*area"):
        list(CocoConverter(source, split="val2017").frames())


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.999])
def test_truncated_file(coco_source, share):
    source = coco_source(2, [(0, "person", BOX, 0)] * 20)
    path = source / "annotations/instances_val2017.json"
    text = path.read_text()
    path.write_text(text[: int(len(text) * share)])
    with pytest.raises(ConversionError, match="the annotation file is truncated or malformed") as error:
        list(CocoConverter(source, split="val2017").frames())
    assert str(error.value.where).startswith(f"{path} (about byte ")


def test_other_faults(coco_source, tmp_path):
    source = coco_source(1, [(0, "person", BOX, 0)])
    with pytest.raises(ConversionError, match="the folder of photos is missing"):
        list(CocoConverter(source).frames())  # train2017
    (source / "val2017").rename(source / "train2017")
    with pytest.raises(ConversionError, match="the annotation file is missing"):
        list(CocoConverter(source).frames())
    (source / "train2017").rename(source / "val2017")

    def fault(change):
        rewrite(source, change)
        with pytest.raises(ConversionError) as error:
            convert_source(CocoConverter(source, split="val2017"), tmp_path / "out", num_workers=1)
        assert not (tmp_path / "out").exists()
        return error.value

    error = fault(lambda content: content["annotations"][0].update(bbox=[300, 20, 10, 10]))
    assert (error.what, error.where) == (
        "a box lies outside of its photo",
        f"{source / 'annotations/instances_val2017.json'} (annotation id 50)",
    )
    error = fault(lambda content: content["images"][0].update(width=100, height=200))
    assert (error.what, error.got) == ("the photo has another size than its annotation", "200x100")
    error = fault(lambda content: content.update(annotations=[]))
    assert error.what == "the annotation file has no annotations"
    error = fault(lambda content: content["categories"].pop(0))
    assert (error.what, error.expected) == ("the annotation file lacks categories of COCO", "person")


@pytest.mark.skipif(not os.environ.get("ADMLOPS_REAL_DATA"), reason="ADMLOPS_REAL_DATA is not set")
def test_real_frames(tmp_path):
    source = Path(os.environ["ADMLOPS_REAL_DATA"]) / "coco"
    report = convert_source(CocoConverter(source), tmp_path / "out", num_workers=1)
    assert report["records"] == 36
    assert report["classes"] == {
        "det_cyclist_light": {"traffic_light": {"boxes": 14}},
        "det_person": {"person": {"boxes": 98, "ignored": 7}},
        "det_vehicle_sign": {"traffic_sign": {"boxes": 2}, "vehicle": {"boxes": 65, "ignored": 3}},
    }
    # Two on one motorcycle.
    (riders,) = [record for record in load_release(tmp_path / "out") if record["sample_id"] == "000000000529"]
    assert riders["labels"]["det_person"]["ignore"] == [True, True]
