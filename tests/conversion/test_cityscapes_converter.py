from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from conversion_helpers import load_release
from source_images import write_png

from admlops.conversion import CityscapesConverter, convert_source
from admlops.errors import ConversionError

NAME = "aachen_000003_000019"
# Channels of seg_default: road 0, sidewalk 1, building 2, fence 3, pole 4, sign 5, vegetation 6, terrain 7, sky 8, person 9,
# cyclist 10, vehicle 11.
IDS = np.arange(36, dtype=np.uint16).reshape(4, 9)
IDS[3, 7:] = 33
CHANNELS = [
    [255, 255, 255, 255, 255, 255, 255, 0, 1],
    [255, 255, 2, 255, 3, 255, 255, 255, 4],
    [255, 255, 5, 6, 7, 8, 9, 10, 11],
    [11, 11, 11, 11, 11, 255, 255, 255, 255],
]


def street() -> np.ndarray:
    """A road with a person, a rider on a bicycle, a parked motorcycle, a car, and three groups."""
    pixels = np.full((20, 40), 7, np.uint16)
    pixels[2:8, 1:4] = 24000
    pixels[8:14, 10:18] = 33000
    pixels[4:10, 12:15] = 25000
    pixels[8:12, 20:24] = 32000
    pixels[10:16, 26:38] = 26000
    pixels[10:12, 26:38] = 24  # a crowd behind the car...
    pixels[0:2, 0:3] = 24  # ...and one on the other side
    pixels[18:20, 0:5] = 30  # trailers
    pixels[18:20, 6:9] = 33  # bicycles in a rack
    return pixels


@pytest.fixture
def cityscapes_source(tmp_path):
    def write(maps: dict[str, np.ndarray], suffix: str = "instanceIds", steps: str = "train/aachen") -> Path:
        root = tmp_path / "cityscapes"
        for name, pixels in maps.items():
            write_png(root / "leftImg8bit" / steps / f"{name}_leftImg8bit.png", np.zeros((*pixels.shape, 3), np.uint8))
            write_png(root / "gtFine" / steps / f"{name}_gtFine_{suffix}.png", pixels)
        return root

    return write


def convert_one(root: Path, out: Path, split: str = "train"):
    report = convert_source(CityscapesConverter(root, split), out, num_workers=1)
    (record,) = load_release(out)
    return record, report


def test_every_label_has_its_channel(cityscapes_source, tmp_path):
    root = cityscapes_source({NAME: IDS.astype(np.uint8)}, "labelIds")
    record, report = convert_one(root, tmp_path / "out")
    assert record == {
        "sample_id": NAME,
        "image": {"path": str(root / f"leftImg8bit/train/aachen/{NAME}_leftImg8bit.png"), "width": 9, "height": 4},
        "labels": {"seg_default": {"mask": f"masks/{NAME}.png"}},
        "attributes": {"source": "cityscapes", "split": "train", "scene": "aachen_000003"},
    }
    assert cv2.imread(str(tmp_path / f"out/masks/{NAME}.png"), cv2.IMREAD_UNCHANGED).tolist() == CHANNELS
    assert report["refused"]["traffic light pixels: ignored"] == 1
    assert report["refused"]["bicycle pixels: ignored"] == 3


def test_instances_become_boxes_and_groups_ignored_regions(cityscapes_source, tmp_path):
    record, report = convert_one(cityscapes_source({NAME: street()}), tmp_path / "out")
    labels = record["labels"]
    crowds = [[0.0, 0.0, 3.0, 2.0], [26.0, 10.0, 38.0, 12.0]]
    assert labels["det_person"] == {
        "boxes": [*crowds, [1.0, 2.0, 4.0, 8.0]],
        "categories": ["person"] * 3,
        "ignore": [True, True, False],
        "labelled_categories": ["person"],
    }
    assert labels["det_cyclist_light"] == {
        "boxes": [[10.0, 4.0, 18.0, 14.0]],
        "categories": ["cyclist"],
        "labelled_categories": ["cyclist"],
    }
    assert labels["det_vehicle_sign"] == {
        "boxes": [[0.0, 18.0, 5.0, 20.0], [26.0, 12.0, 38.0, 16.0]],
        "categories": ["vehicle"] * 2,
        "ignore": [True, False],
        "labelled_categories": ["vehicle"],
    }
    mask = cv2.imread(str(tmp_path / f"out/masks/{NAME}.png"), cv2.IMREAD_UNCHANGED)
    assert [mask[row, column] for row, column in ((0, 30), (3, 2), (5, 13), (12, 11), (13, 30), (19, 1))] == [
        0,
        9,
        10,
        255,
        11,
        11,
    ]
    assert report["refused"]["person group: ignore box in det_person"] == 2
    assert report["unknown"]["det_cyclist_light"] == ["traffic_light"]


def test_files_without_folders_of_splits(cityscapes_source, tmp_path):
    root = cityscapes_source({NAME: street()}, steps="")
    record, _ = convert_one(root, tmp_path / "out", "flat")
    assert record["attributes"]["split"] == "flat"
    with pytest.raises(ConversionError, match=r"a folder of Cityscapes' layout is missing(.|\n)*leftImg8bit/val") as error:
        list(CityscapesConverter(root, "val").frames())
    assert "--split flat" in str(error.value)


def test_missing_files_are_named(cityscapes_source, tmp_path):
    other = "bremen_000001_000019"
    root = cityscapes_source({NAME: street(), other: street()})
    for kind, role in (("leftImg8bit", "leftImg8bit"), ("gtFine", "gtFine_instanceIds")):
        path = root / kind / "train/aachen" / f"{other}_{role}.png"
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(ConversionError, match=f"a source file is missing.*{other}") as error:
            convert_source(CityscapesConverter(root), tmp_path / "out")
        assert error.value.where == path
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.full((4, 9), 34, np.uint16), r"holds an id that this source does not have(.|\n)*row 0, column 0(.|\n)*got: +34"),
        (np.full((4, 9), 34001, np.uint16), r"holds an id that this source does not have(.|\n)*got: +34"),
        (np.full((4, 8), 7, np.uint16), r"mask and image differ in size(.|\n)*9x4 like"),
        (np.full((4, 9, 3), 7, np.uint8), r"the instance map is not a grey PNG"),
    ],
)
def test_malformed_maps_are_refused(cityscapes_source, tmp_path, pixels, message):
    root = cityscapes_source({NAME: IDS})
    write_png(root / f"gtFine/train/aachen/{NAME}_gtFine_instanceIds.png", pixels)
    with pytest.raises(ConversionError, match=message):
        convert_source(CityscapesConverter(root), tmp_path / "out", num_workers=1)
    assert not (tmp_path / "out").exists()


REAL_DATA = os.environ.get("ADMLOPS_REAL_DATA")


@pytest.mark.skipif(not REAL_DATA, reason="ADMLOPS_REAL_DATA is not set")
def test_real_frame(tmp_path):
    record, report = convert_one(Path(REAL_DATA) / "cityscapes_pseudo", tmp_path / "out", "flat")
    # A silver estate car drives out of the picture on the right; behind it three people close together, one further left.
    assert record["labels"]["det_vehicle_sign"]["boxes"][-1] == [156.0, 38.0, 221.0, 72.0]
    assert len(record["labels"]["det_person"]["boxes"]) == 4
    pixels = report["classes"]["seg_default"]
    assert (pixels["road"]["pixels"], pixels["vehicle"]["pixels"]) == (9740, 1802)


@pytest.mark.skipif(not REAL_DATA, reason="ADMLOPS_REAL_DATA is not set")
@pytest.mark.parametrize(("variant", "split"), [("dataset", "train"), ("train_dataset", "train"), ("train_dataset", "val")])
def test_layouts_as_others_write_them(tmp_path, variant, split):
    record, _ = convert_one(Path(REAL_DATA) / "datumaro_fixtures/cityscapes_dataset" / variant, tmp_path / "out", split)
    assert (record["image"]["width"], record["image"]["height"]) == (5, 1)
    assert set(record["labels"]) == {"det_cyclist_light", "det_person", "det_vehicle_sign", "seg_default"}
