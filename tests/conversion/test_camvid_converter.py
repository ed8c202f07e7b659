from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from conversion_helpers import load_release

from admlops.conversion import CamVidConverter, convert_source
from admlops.errors import ConversionError

# Channels of seg_default: road 0, sidewalk 1, building 2, fence 3, pole 4, sign 5, vegetation 6, terrain 7, sky 8, person 9,
# cyclist 10, vehicle 11; 12 = the first category set.
TREE_AS_SET = [[8, 2, 4, 0], [1, 12, 5, 3], [11, 9, 10, 255]]
IDS = "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11"
TREE_AS_VEGETATION = [[8, 2, 4, 0], [1, 6, 5, 3], [11, 9, 10, 255]]


def test_ids_become_channels_and_tree_is_vegetation_or_terrain(camvid_source, tmp_path):
    root = camvid_source()
    report = convert_source(CamVidConverter(root), tmp_path / "out")
    records = load_release(tmp_path / "out")
    assert [record["sample_id"] for record in records] == ["0006R0_f00930", "0016E5_07959"]
    assert records[0] == {
        "sample_id": "0006R0_f00930",
        "image": {"path": str(root / "CamVid/train/0006R0_f00930.png"), "width": 4, "height": 3},
        "labels": {
            "seg_default": {
                "mask": "masks/0006R0_f00930.png",
                "category_sets": {"vegetation_or_terrain": ["vegetation", "terrain"]},
            }
        },
        "attributes": {"source": "camvid", "split": "train", "scene": "0006R0"},
    }
    mask = cv2.imread(str(tmp_path / "out/masks/0006R0_f00930.png"), cv2.IMREAD_UNCHANGED)
    assert mask.tolist() == TREE_AS_SET
    assert report["classes"]["seg_default"]["vegetation_or_terrain"] == {"pixels": 2}
    assert report["classes"]["seg_default"]["terrain"] == {"pixels": 0}
    assert report["unknown"].keys() == {"det_cyclist_light", "det_person", "det_rear", "det_vehicle_sign", "seg_lane"}
    assert report["refused"] == {"void pixels: ignored": 2}


def test_tree_as_vegetation_leaves_terrain_unknown(camvid_source, tmp_path):
    report = convert_source(CamVidConverter(camvid_source(), tree="vegetation"), tmp_path / "out")
    label = load_release(tmp_path / "out")[0]["labels"]["seg_default"]
    assert "terrain" not in label["labelled_categories"]
    assert len(label["labelled_categories"]) == 11
    assert "category_sets" not in label
    mask = cv2.imread(str(tmp_path / "out" / label["mask"]), cv2.IMREAD_UNCHANGED)
    assert mask.tolist() == TREE_AS_VEGETATION
    assert report["unknown"]["seg_default"] == ["terrain"]
    assert report["unknown_records"]["seg_default"] == {"terrain": 2}


def test_folder_itself_or_the_one_above_and_other_prefixes(camvid_source):
    root = camvid_source() / "CamVid"
    listing = root / "train.txt"
    listing.write_text(listing.read_text().replace("/SegNet/CamVid/", "/home/me/data/") + "\n")
    frames = list(CamVidConverter(root).frames())
    assert [frame.files["mask"] for frame in frames] == [
        root / "trainannot/0006R0_f00930.png",
        root / "trainannot/0016E5_07959.png",
    ]


@pytest.mark.parametrize(
    ("line", "got"),
    [
        ("/SegNet/CamVid/train/a.png", "'/SegNet/CamVid/train/a.png'"),
        ("train/a.png trainannot/b.png", "'train/a.png trainannot/b.png'"),
        ("a.png a.png", "'a.png a.png'"),
    ],
)
def test_malformed_list_names_its_line(camvid_source, tmp_path, line, got):
    root = camvid_source()
    listing = root / "CamVid" / "train.txt"
    listing.write_text(listing.read_text() + line + "\n")
    with pytest.raises(ConversionError, match="malformed line in a CamVid list") as error:
        convert_source(CamVidConverter(root), tmp_path / "out")
    assert error.value.where == f"{listing}:3"
    assert error.value.got == got
    assert not (tmp_path / "out").exists()


def test_missing_list_names_those_that_are_there(camvid_source):
    with pytest.raises(ConversionError, match=r"the list of the split is missing(.|\n)*val.txt(.|\n)*got: .*train\.txt"):
        list(CamVidConverter(camvid_source(), split="val").frames())


def test_mask_faults(camvid_source, tmp_path):
    root = camvid_source()
    mask = root / "CamVid/trainannot/0016E5_07959.png"

    def fault(pixels: np.ndarray) -> ConversionError:
        mask.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
        with pytest.raises(ConversionError) as error:
            convert_source(CamVidConverter(root), tmp_path / "out", num_workers=1)
        assert not (tmp_path / "out").exists()
        return error.value

    unknown_id = np.zeros((3, 4), np.uint8)
    unknown_id[1, 2] = 12
    error = fault(unknown_id)
    assert (str(error.where), error.expected, error.got) == (f"{mask} (row 1, column 2)", f"one of {IDS}", 12)
    error = fault(np.zeros((3, 5), np.uint8))
    assert error.what == "mask and image differ in size"
    assert (error.where, error.got) == (mask, "5x3")
    error = fault(np.zeros((3, 4, 3), np.uint8))
    assert error.what == "the mask is not an index PNG"
    assert error.got == "PNG colour type 2, 8 bits"


@pytest.mark.skipif(not os.environ.get("ADMLOPS_REAL_DATA"), reason="ADMLOPS_REAL_DATA is not set")
def test_real_frames(tmp_path):
    source = Path(os.environ["ADMLOPS_REAL_DATA"]) / "camvid"
    report = convert_source(CamVidConverter(source), tmp_path / "out", num_workers=1)
    assert report["records"] == 30
    assert report["image_sizes"] == {"480x360": 30}
    pixels = {name: counts["pixels"] for name, counts in report["classes"]["seg_default"].items()}
    assert sum(pixels.values()) == 30 * 480 * 360
    assert pixels["vegetation"] == pixels["terrain"] == 0
    # Below the horizon of frame f01320 lies a lawn, which CamVid calls `tree`.
    mask = cv2.imread(str(tmp_path / "out/masks/0006R0_f01320.png"), cv2.IMREAD_UNCHANGED)
    image = cv2.imread(json.loads((tmp_path / "out/camvid_train.jsonl").read_text().splitlines()[4])["image"]["path"])
    lawn = (cv2.cvtColor(image, cv2.COLOR_BGR2HSV)[220:, :, 0] > 30) & (mask[220:] == 12)
    assert lawn.sum() > 5000
