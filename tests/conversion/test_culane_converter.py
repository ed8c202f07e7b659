from __future__ import annotations

import cv2
import numpy as np
import pytest
from conversion_helpers import load_release

from admlops.conversion import CULaneConverter, convert_source
from admlops.errors import ConversionError

LANES = "-16.9803 50 40 20 \n160.5 50 140 20 \n"
FRAME = "driver_23_30frame/05151649_0422.MP4/00030"


@pytest.fixture
def source(tmp_path):
    def write(lanes, list_name="train.txt", rest=""):
        root = tmp_path / "CULane"
        photo = root / f"{FRAME}.jpg"
        photo.parent.mkdir(parents=True)
        photo.write_bytes(cv2.imencode(".jpg", np.zeros((60, 200, 3), np.uint8))[1].tobytes())
        photo.with_suffix(".lines.txt").write_text(lanes)
        (root / "list").mkdir()
        (root / "list" / list_name).write_text(f"/{FRAME}.jpg{rest}\n")
        return root

    return write


def test_every_lane_may_be_of_any_class(source, tmp_path):
    root = source(LANES)
    report = convert_source(CULaneConverter(root), tmp_path / "out", num_workers=1)
    (record,) = load_release(tmp_path / "out")
    # The left line leaves the image; both go on from row 20, their highest, to row 60.
    left, right = [[40, 20], [-16.98, 50], [pytest.approx(-35.97, abs=0.01), 60]], [[140, 20], [160.5, 50], [167.33, 60]]
    assert record == {
        "sample_id": "driver_23_30frame_05151649_0422.MP4_00030",
        "image": {"path": str(root / f"{FRAME}.jpg"), "width": 200, "height": 60},
        "labels": {
            "seg_lane": {
                "polylines": [
                    {"category": "any_lane", "points": [[-16.98, 50], [40, 20]]},
                    {"category": "any_lane", "points": [[160.5, 50], [140, 20]]},
                ],
                "ignore_regions": [[[0, 20], *left, [0, 60]], [[200, 20], *right, [200, 60]]],
                "category_sets": {"any_lane": ["dashed_white", "solid_white", "solid_yellow", "double_yellow"]},
            }
        },
        "attributes": {"source": "culane", "split": "train", "scene": "05151649_0422.MP4"},
    }
    assert report["classes"] == {"seg_lane": {"(ignore)": {"regions": 2}, "any_lane": {"lines": 2}}}


def test_empty_file_says_that_there_is_no_lane(source, tmp_path):
    convert_source(CULaneConverter(source("")), tmp_path / "out", num_workers=1)
    assert load_release(tmp_path / "out")[0]["labels"] == {"seg_lane": {"polylines": []}}


def test_list_of_ground_truth(source):
    root = source(LANES, "val_gt.txt", f" /laneseg_label_w16/{FRAME}.png 1 1 1 1")
    (frame,) = CULaneConverter(root, "val").frames()
    assert frame.files["lanes"] == root / f"{FRAME}.lines.txt"
    with pytest.raises(ConversionError, match=r"list of split 'test' is missing(.|\n)*val_gt\.txt"):
        list(CULaneConverter(root, "test").frames())


@pytest.mark.parametrize("line", ["/a.jpg 1 1", "/../a.jpg", "/a.png"])
def test_malformed_list_names_its_line(source, line):
    root = source(LANES)
    listing = root / "list" / "train.txt"
    listing.write_text(f"{listing.read_text()}\n{line}\n")
    with pytest.raises(ConversionError, match="malformed line in a CULane list") as error:
        list(CULaneConverter(root).frames())
    assert error.value.where == f"{listing}:3"


@pytest.mark.parametrize(
    ("lanes", "message"),
    [
        (LANES[:-6], "the lane file is truncated"),
        (f"{LANES}1 2 3\n", "malformed line in a CULane lane file(.|\n)*3 words"),
        (f"{LANES}1 x\n", "malformed line"),
        (f"{LANES}1 2 3 nan\n", "far outside"),
        (f"{LANES}1 2 300 500\n", "far outside"),
    ],
)
def test_fault_names_its_line(source, tmp_path, lanes, message):
    root = source(lanes)
    number = 2 if "truncated" in message else 3
    with pytest.raises(ConversionError, match=message) as error:
        convert_source(CULaneConverter(root), tmp_path / "out", num_workers=1)
    assert error.value.where == f"{root / FRAME}.lines.txt:{number}"
    assert not (tmp_path / "out").exists()


def test_missing_lanes_are_named_before_any_work(source, tmp_path):
    root = source(LANES)
    (root / f"{FRAME}.lines.txt").unlink()
    with pytest.raises(ConversionError, match=r"is missing: the lanes of frame(.|\n)*list/train\.txt:1"):
        convert_source(CULaneConverter(root), tmp_path / "out", num_workers=1)
