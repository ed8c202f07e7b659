from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from conversion_helpers import load_release

from admlops.conversion import OpenLaneConverter, convert_source
from admlops.errors import ConversionError

SEGMENT = "segment-10023947602400723454_1120_000_1140_000_with_camera_labels"
FRAME = "155254327219606900"
UV = [[40.5, 30.0], [50.0, 55.0]]


def line_of(category, uv=UV):
    # 3D points and their visibility are there for more points than the image shows.
    return {
        "category": category,
        "visibility": [0.0, 1.0, 1.0],
        "uv": uv,
        "xyz": [[1.0] * 3] * 3,
        "attribute": 1,
        "track_id": 2,
    }


@pytest.fixture
def source(tmp_path):
    def write(lines, split="training", labels="lane3d_1000"):
        root = tmp_path / "OpenLane"
        photo = root / "images" / split / SEGMENT / f"{FRAME}.jpg"
        photo.parent.mkdir(parents=True)
        photo.write_bytes(cv2.imencode(".jpg", np.zeros((60, 100, 3), np.uint8))[1].tobytes())
        label = root / labels / split / SEGMENT / f"{FRAME}.json"
        label.parent.mkdir(parents=True)
        content = {"extrinsic": [], "intrinsic": [], "lane_lines": lines, "file_path": f"{split}/{SEGMENT}/{FRAME}.jpg"}
        label.write_text(json.dumps(content))
        return root

    return write


def test_categories_become_classes_any_or_ignored(source, tmp_path):
    numbers = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 21]
    root = source([line_of(number) for number in numbers])
    report = convert_source(OpenLaneConverter(root), tmp_path / "out", num_workers=1)
    (record,) = load_release(tmp_path / "out")
    label = record["labels"]["seg_lane"]
    classes = {0: "any_lane", 1: "dashed_white", 2: "solid_white", 8: "solid_yellow", 10: "double_yellow"}
    assert [line["category"] for line in label["polylines"]] == [classes.get(number) for number in numbers]
    assert label["polylines"][0]["points"] == [[40.5, 50], [30, 55]]
    assert label["category_sets"].keys() == {"any_lane"}
    assert "ignore_regions" not in label
    assert (record["sample_id"], record["attributes"]["scene"]) == (f"{SEGMENT}_{FRAME}", SEGMENT)
    assert record["image"]["path"] == str(root / "images/training" / SEGMENT / f"{FRAME}.jpg")
    assert report["classes"]["seg_lane"] == {
        "(ignore)": {"lines": 9},
        **{name: {"lines": 1} for name in classes.values()},
    }
    assert report["refused"]["double-white-solid: ignored"] == 1


def test_beyond_a_left_kerb_nothing_is_known(source, tmp_path):
    convert_source(OpenLaneConverter(source([line_of(20)])), tmp_path / "out", num_workers=1)
    label = load_release(tmp_path / "out")[0]["labels"]["seg_lane"]
    assert label["ignore_regions"] == [[[0, 50], [40.5, 50], [30, 55], [0, 55]]]
    assert "category_sets" not in label


def test_splits_and_the_smaller_release(source):
    root = source([], "validation", "lane3d_300")
    (frame,) = OpenLaneConverter(root, "validation").frames()
    assert frame.files["lanes"] == root / "lane3d_300/validation" / SEGMENT / f"{FRAME}.json"
    with pytest.raises(ConversionError, match=r"labels of split 'training' are missing(.|\n)*lane3d_1000/training"):
        list(OpenLaneConverter(root).frames())


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (line_of(13), "category: one of 0, 1, 2"),
        (line_of("1"), "category: one of"),
        (3, "category: one of"),
        (line_of(1, [[1, 2], [3]]), "uv: two lists of as many numbers"),
        (line_of(1, [[1, 2], [3, None]]), "uv: two lists"),
        (line_of(1, [[1, 2]]), "uv: two lists"),
        (line_of(1, [[1, 2], [3, 400]]), "far outside of the image"),
    ],
)
def test_malformed_entry_is_named(source, tmp_path, entry, message):
    root = source([line_of(1), entry])
    with pytest.raises(ConversionError, match=message) as error:
        convert_source(OpenLaneConverter(root), tmp_path / "out", num_workers=1)
    assert str(error.value.where).endswith(f"{FRAME}.json (lane_lines[1])")
    assert not (tmp_path / "out").exists()


def test_cut_label_and_missing_photo(source, tmp_path):
    root = source([line_of(1)])
    label = root / "lane3d_1000/training" / SEGMENT / f"{FRAME}.json"
    content = label.read_text()
    for text, message in ((content[:-30], r"\.json:1\n(.|\n)*fetch the file again"), ("[]", "lane_lines: a list")):
        label.write_text(text)
        with pytest.raises(ConversionError, match=f"malformed OpenLane label(.|\n)*{message}"):
            convert_source(OpenLaneConverter(root), tmp_path / "out", num_workers=1)
    (root / "images/training" / SEGMENT / f"{FRAME}.jpg").unlink()
    with pytest.raises(ConversionError, match="is missing: the image of frame"):
        convert_source(OpenLaneConverter(root), tmp_path / "out", num_workers=1)
