from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from conversion_helpers import load_release

from admlops.conversion import KittiConverter, convert_source
from admlops.conversion.kitti import read_objects
from admlops.errors import ConversionError

BOX = "10.00 20.00 50.00 60.00 1.5 1.6 4.0 1.0 1.5 20.0 -1.55"
DONT_CARE = "DontCare -1 -1 -10 100.00 20.00 150.00 60.00 -1 -1 -1 -1000 -1000 -1000 -10"


def convert_one(kitti_source, tmp_path, lines):
    report = convert_source(KittiConverter(kitti_source({"000007": lines})), tmp_path / "out", num_workers=1)
    (record,) = load_release(tmp_path / "out")
    return record, report


def test_types_become_classes_of_four_tasks(kitti_source, tmp_path):
    lines = [f"{kind} 0.00 0 -1.57 {BOX}" for kind in ("Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist")]
    record, report = convert_one(kitti_source, tmp_path, lines)
    labels = record["labels"]
    assert labels["det_vehicle_sign"]["categories"] == ["vehicle"] * 3
    assert labels["det_vehicle_sign"]["labelled_categories"] == ["vehicle"]
    assert labels["det_rear"]["categories"] == ["vehicle_rear"] * 3
    assert labels["det_person"]["categories"] == ["person"] * 2
    assert labels["det_cyclist_light"] == {
        "boxes": [[10.0, 20.0, 50.0, 60.0]],
        "categories": ["cyclist"],
        "labelled_categories": ["cyclist"],
    }
    assert (record["image"]["width"], record["image"]["height"]) == (200, 100)
    assert report["unknown"]["det_cyclist_light"] == ["traffic_light"]
    assert report["unknown"]["det_vehicle_sign"] == ["traffic_sign"]
    assert len(report["unknown"]["seg_default"]) == 12


@pytest.mark.parametrize(
    ("alpha", "side"),
    # 45 degrees are 0.7854 rad, -pi/2 is -1.5708.
    [
        ("-2.36", None),
        ("-2.35", "vehicle_rear"),
        ("-1.57", "vehicle_rear"),
        ("-0.79", "vehicle_rear"),
        ("-0.78", None),
        ("0.00", None),
        ("0.78", None),
        ("0.79", "vehicle_head"),
        ("2.35", "vehicle_head"),
        ("2.36", None),
        ("3.14", None),
        ("-3.14", None),
        ("4.71", "vehicle_rear"),  # a turn more than -1.57
    ],
)
def test_rear_and_head_from_alpha(kitti_source, tmp_path, alpha, side):
    record, _ = convert_one(kitti_source, tmp_path, [f"Car 0.00 0 {alpha} {BOX}"])
    label = record["labels"]["det_rear"]
    if side is None:  # one ignore box for each class that may be there
        assert (label["categories"], label["ignore"]) == (["vehicle_rear", "vehicle_head"], [True, True])
    else:
        assert label["categories"] == [side]
        assert "ignore" not in label
    assert record["labels"]["det_vehicle_sign"]["categories"] == ["vehicle"]
    assert "ignore" not in record["labels"]["det_vehicle_sign"]


def test_regions_of_unknown_content_are_ignored_in_every_task(kitti_source, tmp_path):
    record, report = convert_one(kitti_source, tmp_path, [f"Misc 0.00 0 -1.57 {BOX}", DONT_CARE])
    for task, label in record["labels"].items():
        names = label["labelled_categories"]
        assert label["categories"] == names * 2, task
        assert label["ignore"] == [True] * 2 * len(names)
        assert label["boxes"][-1] == [100.0, 20.0, 150.0, 60.0]
    assert report["refused"] == {"DontCare: ignore box in every camera task": 1, "Misc: ignore box in every camera task": 1}
    assert report["classes"]["det_rear"] == {"vehicle_head": {"ignored": 2}, "vehicle_rear": {"ignored": 2}}


def test_tram_is_a_vehicle_without_rear(kitti_source, tmp_path):
    record, report = convert_one(kitti_source, tmp_path, [f"Tram 0.00 0 -1.57 {BOX}"])
    assert record["labels"]["det_vehicle_sign"]["categories"] == ["vehicle"]
    assert record["labels"]["det_rear"]["ignore"] == [True, True]
    assert report["refused"] == {"Tram, neither rear nor head: ignore box in det_rear": 1}


def test_cut_off_and_covered_objects_stay_positives(kitti_source, tmp_path):
    record, _ = convert_one(kitti_source, tmp_path, [f"Car 0.99 0 -1.57 {BOX}", f"Car 0.00 3 1.57 {BOX}"])
    assert record["labels"]["det_rear"]["categories"] == ["vehicle_rear", "vehicle_head"]
    assert "ignore" not in record["labels"]["det_rear"]


def test_frame_with_nothing_in_view_is_a_true_negative(kitti_source, tmp_path):
    record, _ = convert_one(kitti_source, tmp_path, [])
    assert record["labels"]["det_person"] == {"boxes": [], "categories": [], "labelled_categories": ["person"]}


def test_lidar_where_velodyne_is_there(kitti_source, tmp_path):
    root = kitti_source({"000001": [], "000002": []}, lidar=True)
    sweep = root / "training/velodyne/000002.bin"
    convert_source(KittiConverter(root), tmp_path / "out", num_workers=1)
    assert load_release(tmp_path / "out")[1]["lidar"] == {
        "path": str(sweep),
        "dtype": "float32",
        "num_features": 4,
        "origin": [0.0, 0.0, 0.0],
    }
    sweep.write_bytes(sweep.read_bytes()[:-3])
    with pytest.raises(ConversionError, match="the lidar sweep is truncated") as error:
        convert_source(KittiConverter(root), tmp_path / "out2", num_workers=1)
    assert (error.value.where, error.value.got) == (sweep, "77 bytes")
    sweep.unlink()
    with pytest.raises(ConversionError, match="the lidar of frame '000002'"):
        convert_source(KittiConverter(root), tmp_path / "out2", num_workers=1)


@pytest.mark.parametrize(
    ("line", "expected", "got"),
    [
        ("Car 0.00 0 -1.57 10 20", "15 columns", "6 columns"),
        (f"Car 0.00 0 -1.57 {BOX} 0.93", "15 columns", "16 columns"),
        (f"car 0.00 0 -1.57 {BOX}", "a type: Car", "'car'"),
        (f"Car 0.00 0 x {BOX}", "numbers after the type", "Car 0.00 0 x"),
        (f"Car nan 0 -1.57 {BOX}", "finite numbers", "Car nan"),
        (f"Car 1.50 0 -1.57 {BOX}", "truncated within 0 to 1", "1.50"),
        (f"Car 0.00 4 -1.57 {BOX}", "occluded 0, 1, 2 or 3", "4"),
        (f"Car 0.00 0 -10 {BOX}", "alpha within -2 pi to 2 pi", "-10"),
        ("Car 0.00 0 -1.57 50 20 50 60 1 1 1 1 1 1 1", "left < right", "50 20 50 60"),
        ("Car 0.00 0 -1.57 10 20 250 60 1 1 1 1 1 1 1", r"inside of the image \(200x100", "10 20 250 60"),
    ],
)
def test_malformed_line_is_named(kitti_source, tmp_path, line, expected, got):
    root = kitti_source({"000001": [f"Car 0.00 0 -1.57 {BOX}", line]})
    with pytest.raises(ConversionError, match=f"malformed line in a KITTI label file(.|\n)*{expected}(.|\n)*{got}") as error:
        convert_source(KittiConverter(root), tmp_path / "out", num_workers=1)
    assert error.value.where == f"{root / 'training/label_2/000001.txt'}:2"
    assert not (tmp_path / "out").exists()
    assert ("result file with scores" in str(error.value)) == ("0.93" in line)
    assert ("did you mean 'Car'?" in str(error.value)) == line.startswith("car")


@pytest.mark.parametrize("cut", [-1, -2, None])
def test_truncated_label_file_is_named(kitti_source, cut):
    root = kitti_source({"000001": [f"Car 0.00 0 -1.57 {BOX}"]})
    label = root / "training/label_2/000001.txt"
    label.write_text(label.read_text()[:cut] if cut else "")
    with pytest.raises(ConversionError, match="the label file is truncated") as error:
        read_objects(label)
    assert error.value.where == f"{label}:1"
    assert (error.value.got == "an empty file") == (cut is None)


def test_lists_of_image_sets(kitti_source, tmp_path):
    root = kitti_source({"000001": [], "000002": [], "000003": []})
    listing = root / "ImageSets" / "val.txt"
    with pytest.raises(ConversionError, match=r"the list of split 'val' is missing(.|\n)*--split training"):
        list(KittiConverter(root, split="val").frames())
    listing.parent.mkdir()
    listing.write_text("000003\n000001\n")
    assert [frame.sample_id for frame in KittiConverter(root, split="val").frames()] == ["000003", "000001"]
    listing.write_text("000003\nframe one\n")
    with pytest.raises(ConversionError, match="malformed line in a KITTI list") as error:
        list(KittiConverter(root, split="val").frames())
    assert error.value.where == f"{listing}:2"
    listing.write_text("000003\n000003\n")
    with pytest.raises(ConversionError, match="frame '000003' is listed twice"):
        convert_source(KittiConverter(root, split="val"), tmp_path / "out")


def test_missing_folders_and_files(kitti_source, tmp_path):
    root = kitti_source({"000001": [], "000002": []})
    image = root / "training/image_2/000002.png"
    image.unlink()
    with pytest.raises(ConversionError, match="a source file is missing: the image of frame '000002'") as error:
        convert_source(KittiConverter(root), tmp_path / "out")
    assert error.value.where == image
    with pytest.raises(ConversionError, match="a folder of KITTI's layout is missing") as error:
        list(KittiConverter(root / "training").frames())
    with pytest.raises(ConversionError, match="the kitti source folder does not exist"):
        KittiConverter(root / "nowhere")
    with pytest.raises(ConversionError, match=r"no split 'trianing'(.|\n)*did you mean 'training'"):
        KittiConverter(root, split="trianing")


REAL_DATA = pytest.mark.skipif(not os.environ.get("ADMLOPS_REAL_DATA"), reason="ADMLOPS_REAL_DATA is not set")


@REAL_DATA
def test_real_frames(tmp_path):
    source = Path(os.environ["ADMLOPS_REAL_DATA"]) / "kitti"
    report = convert_source(KittiConverter(source), tmp_path / "out", num_workers=1)
    assert report["image_sizes"] == {"1224x370": 1, "1242x375": 2}
    # Frame 1: a bus from behind (Truck, alpha -1.57), an oncoming car (1.85); frame 2: a parked car from behind (-1.67).
    _, second, third = load_release(tmp_path / "out")
    assert second["labels"]["det_rear"]["categories"][:2] == ["vehicle_rear", "vehicle_head"]
    assert second["labels"]["det_rear"]["boxes"][0] == [599.41, 156.4, 629.75, 189.25]
    assert third["labels"]["det_vehicle_sign"]["ignore"] == [True, False]  # Misc is a trailer
    assert report["classes"]["det_vehicle_sign"]["vehicle"] == {"boxes": 3, "ignored": 5}


@REAL_DATA
def test_every_real_label_file_parses():
    folder = Path(os.environ["ADMLOPS_REAL_DATA"]) / "kitti_labels_only/training/label_2"
    types = Counter(item.type for path in folder.glob("*.txt") for item in read_objects(path))
    assert types["Car"] == 361
    assert types["DontCare"] == 180
    assert sum(types.values()) == 683
