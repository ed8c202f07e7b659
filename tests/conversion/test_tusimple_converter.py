from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from conversion_helpers import load_release

from admlops.conversion import TuSimpleConverter, convert_source
from admlops.errors import ConversionError

ROWS = [20, 30, 40]
LANES = [[40, 30, 20], [-2, 50, 50], [60, 70, 80], [-2, -2, -2]]


@pytest.fixture
def source(tmp_path):
    def write(lines, label_file="label_data_0313.json", class_lines=None):
        root = tmp_path / "train_set"
        for line in lines:
            photo = root / line["raw_file"]
            photo.parent.mkdir(parents=True, exist_ok=True)
            photo.write_bytes(cv2.imencode(".jpg", np.zeros((60, 100, 3), np.uint8))[1].tobytes())
        (root / label_file).write_text("".join(json.dumps(line) + "\n" for line in lines))
        if class_lines is not None:
            (root / label_file).with_name(f"{Path(label_file).stem}_classes.txt").write_text("\n".join(class_lines) + "\n")
        return root

    return write


def line_of(clip="0313-1/6040", **changes):
    return {"raw_file": f"clips/{clip}/20.jpg", "lanes": LANES, "h_samples": ROWS, **changes}


def test_columns_of_x_become_lines(source, tmp_path):
    root = source([line_of(classes=[4, 1, 2, 0])])
    report = convert_source(TuSimpleConverter(root), tmp_path / "out", num_workers=1)
    (record,) = load_release(tmp_path / "out")
    assert record == {
        "sample_id": "0313-1_6040_20",
        "image": {"path": str(root / "clips/0313-1/6040/20.jpg"), "width": 100, "height": 60},
        "labels": {
            "seg_lane": {
                "polylines": [
                    {"category": "solid_yellow", "points": [[40, 20], [30, 30], [20, 40]]},
                    {"category": "dashed_white", "points": [[50, 30], [50, 40]]},
                    {"category": "solid_white", "points": [[60, 20], [70, 30], [80, 40]]},
                ],
                "ignore_regions": [
                    [[0, 20], [40, 20], [30, 30], [20, 40], [0, 60], [0, 60]],
                    [[100, 20], [60, 20], [70, 30], [80, 40], [100, 60], [100, 60]],
                ],
            }
        },
        "attributes": {"source": "tusimple", "split": "train", "scene": "0313-1"},
    }
    assert report["classes"]["seg_lane"] == {
        "(ignore)": {"regions": 2},
        "dashed_white": {"lines": 1},
        "solid_white": {"lines": 1},
        "solid_yellow": {"lines": 1},
    }
    assert report["refused"] == {}


def categories(source, tmp_path, *args, **options):
    convert_source(TuSimpleConverter(source(*args, **options)), tmp_path / "out", num_workers=1)
    label = load_release(tmp_path / "out")[0]["labels"]["seg_lane"]
    return [line["category"] for line in label["polylines"]], label.get("category_sets", {}).keys()


def test_lanes_without_a_class_may_be_any(source, tmp_path):
    assert categories(source, tmp_path, [line_of()]) == (["any_lane"] * 3, {"any_lane"})


def test_numbers_of_the_line_itself(source, tmp_path):
    lines = [line_of(lanes=[[1, 2, 3]] * 9, classes=list(range(9)))]
    a = "any_lane"
    expected = [a, "dashed_white", "solid_white", a, "solid_yellow", a, "double_yellow", a, a]
    assert categories(source, tmp_path, lines) == (expected, {a})


def test_numbers_of_the_class_file(source, tmp_path):
    lines = [line_of(lanes=[[1, 2, 3]] * 7)]
    expected = ["solid_yellow", "solid_white", "dashed_white", None, "dashed_white", "double_yellow", "any_lane"]
    assert categories(source, tmp_path, lines, class_lines=["1 2 3 4 5 6 7"]) == (expected, {"any_lane"})


def test_classes_of_the_line_come_before_the_class_file(source, tmp_path):
    lines = [line_of(lanes=[[1, 2, 3]] * 2, classes=[1, 2])]
    assert categories(source, tmp_path, lines, class_lines=["1 2"])[0] == ["dashed_white", "solid_white"]


def test_a_split_is_the_training_set_a_day_of_it_or_the_test_set(source):
    source([line_of()], class_lines=["3 3 3 3"])
    source([line_of("0531/1"), line_of("0531/2")], "label_data_0531.json")
    root = source([line_of("0530/7")], "test_label.json")
    (root / "label_data_0313_withclasses.json").write_text("made of the other by a script of TuSimple-lane-classes\n")

    def ids(split):
        return [frame.sample_id for frame in TuSimpleConverter(root, split).frames()]

    assert ids("train") == ["0313-1_6040_20", "0531_1_20", "0531_2_20"]
    assert ids("0531") == ["0531_1_20", "0531_2_20"]
    assert ids("test") == ["0530_7_20"]
    with pytest.raises(ConversionError, match=r"labels of split '0601' are missing(.|\n)*label_data_0601\.json"):
        ids("0601")


BAD_LINES = [
    ('{"raw_file": "clips/0313-1/5', "a JSON object"),
    ("[1]", "{raw_file, lanes, h_samples}"),
    (json.dumps({"raw_file": "clips/a/1.jpg", "lanes": []}), "{raw_file, lanes, h_samples}"),
    (json.dumps(line_of(raw_file="/etc/passwd.jpg")), "raw_file: a path"),
    (json.dumps(line_of(raw_file="clips/../../a.jpg")), "raw_file: a path"),
    (json.dumps(line_of(h_samples=[20, 40, 30])), "h_samples: increasing numbers"),
    (json.dumps(line_of(h_samples=[20, 30])), "lanes: 2 numbers each(.|\n)*got: +3 values"),
    (json.dumps(line_of(lanes=[[1, 2, None]])), "lanes: 3 numbers each"),
    (json.dumps(line_of(lanes=3)), "lanes: a list"),
    (json.dumps(line_of(classes=[1, 1, 1])), r"4 classes, one for each lane(.|\n)*got: +\[1, 1, 1\]"),
    (json.dumps(line_of(classes="1 1 1 1")), "4 classes, one for each lane"),
    (json.dumps(line_of(classes=[1, 1, 1, 9])), "classes from 0 to 8(.|\n)*got: +9"),
]


@pytest.mark.parametrize(("line", "message"), BAD_LINES)
def test_malformed_line_is_named(source, tmp_path, line, message):
    root = source([line_of()])
    label_file = root / "label_data_0313.json"
    label_file.write_text(label_file.read_text() + line)
    with pytest.raises(ConversionError, match=message) as error:
        convert_source(TuSimpleConverter(root), tmp_path / "out", num_workers=1)
    assert error.value.where == f"{label_file}:2"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("class_lines", "number", "message"),
    [
        (["1 2 3 4"], 2, "the class file is truncated"),
        (["1 2 3 4", "1 2 3"], 2, "4 classes, one for each lane"),
        (["1 2 3 4", "1 2 3 x"], 2, "classes from 1 to 7(.|\n)*got: +'x'"),
        (["1 2 3 4", "1 2 3 4", "1 1"], 3, "more lines than the label file"),
    ],
)
def test_class_file_must_fit(source, class_lines, number, message):
    root = source([line_of(), line_of("0313-1/6060")], class_lines=class_lines)
    with pytest.raises(ConversionError, match=message) as error:
        list(TuSimpleConverter(root).frames())
    assert error.value.where == f"{root / 'label_data_0313_classes.txt'}:{number}"


def test_labels_of_another_photo_and_missing_photos(source, tmp_path):
    root = source([line_of(lanes=[[40, 30, 201]])])
    with pytest.raises(ConversionError, match=r"far outside(.|\n)*label_data_0313\.json:1(.|\n)*201"):
        convert_source(TuSimpleConverter(root), tmp_path / "out", num_workers=1)
    (root / "clips/0313-1/6040/20.jpg").unlink()
    with pytest.raises(ConversionError, match=r"is missing: the image of frame '0313-1_6040_20'(.|\n)*label_data_0313\.json:1"):
        convert_source(TuSimpleConverter(root), tmp_path / "out", num_workers=1)


@pytest.mark.skipif(not os.environ.get("ADMLOPS_REAL_DATA"), reason="ADMLOPS_REAL_DATA is not set")
def test_real_frames(tmp_path):
    source = Path(os.environ["ADMLOPS_REAL_DATA"]) / "tusimple"
    report = convert_source(TuSimpleConverter(source), tmp_path / "out", num_workers=1)
    assert report["image_sizes"] == {"1280x720": 3}
    lines = {name: counts.get("lines") for name, counts in report["classes"]["seg_lane"].items()}
    assert lines == {"dashed_white": 6, "solid_white": 3, "solid_yellow": 3, "(ignore)": None}
    frames = list(TuSimpleConverter(source / "labels_only", "0531").frames())
    assert len(frames) == 358
    kinds = [kind for frame in frames for kind in frame.annotation["kinds"]]
    assert {kind: kinds.count(kind) for kind in kinds} == {"dashed": 486, "solid white": 298, "solid yellow": 334}
