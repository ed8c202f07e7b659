from __future__ import annotations

import csv
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from conversion_helpers import load_release
from PIL import Image

from admlops.conversion import ApolloScapeConverter, convert_source
from admlops.conversion.apolloscape import BESIDE_LANE_ID, CLASS_OF_ID, mark_beside_lanes
from admlops.conversion.png_file import read_png
from admlops.errors import ConversionError

CAMERA = "Record001/Camera 5"
STEM = "170927_063811892_Camera_5"


@pytest.fixture
def source(tmp_path):
    def write(ids, road="road02", photo_hw=None):
        root = tmp_path / "ApolloScape"
        mask = root / f"Labels_{road}" / "Label" / CAMERA / f"{STEM}_bin.png"
        mask.parent.mkdir(parents=True)
        image = Image.fromarray(ids)
        image.putpalette([0, 0, 0, *range(3, 256), *range(256), *range(256)])
        image.save(mask)
        photo = root / f"ColorImage_{road}" / "ColorImage" / CAMERA / f"{STEM}.jpg"
        photo.parent.mkdir(parents=True)
        height, width = photo_hw or ids.shape
        photo.write_bytes(cv2.imencode(".jpg", np.zeros((height, width, 3), np.uint8))[1].tobytes())
        return root

    return write


def test_every_id_becomes_a_class_background_or_ignored(source, tmp_path):
    # Masks this low have lines that are drawn less than a pixel wide, so that nothing lies beside them.
    ids = np.array([sorted(set(CLASS_OF_ID) - {BESIDE_LANE_ID})], dtype=np.uint8)
    report = convert_source(ApolloScapeConverter(source(ids)), tmp_path / "out", num_workers=1)
    (record,) = load_release(tmp_path / "out")
    assert record["sample_id"] == f"road02_Record001_{STEM}"
    assert record["attributes"] == {"source": "apolloscape", "split": "all", "scene": "road02_Record001"}
    label = record["labels"]["seg_lane"]
    assert label == {"mask": f"masks/road02_Record001_{STEM}.png", "non_exhaustive_categories": ["dashed_white"]}
    mask = cv2.imread(str(tmp_path / "out" / label["mask"]), cv2.IMREAD_UNCHANGED)
    # dashed_white 1, solid_white 2, solid_yellow 3, double_yellow 4.
    of_id = dict(zip(ids[0].tolist(), mask[0].tolist(), strict=True))
    assert {value: of_id.pop(value) for value in (200, 201, 204, 209)} == {200: 2, 201: 1, 204: 3, 209: 4}
    ignored = {203, 206, 207, 208, 211, 213, 218, 219, 223, 249, 250, 255}
    assert of_id == {value: 255 if value in ignored else 0 for value in of_id}
    assert report["source_categories"]["c_wy_z (pixels)"] == 1
    assert report["refused"]["ds_w_dn pixels: ignored"] == 1


def test_void_beside_lane_lines_is_ignored():
    # 720 rows: 4 px on either side. A stop line (217) is none, and what is marked stays.
    ids = np.zeros((720, 16), np.uint8)
    ids[:, 6] = 200
    ids[:, 8] = 217
    row = mark_beside_lanes(ids)[300].tolist()
    b = BESIDE_LANE_ID
    assert row == [0, 0, 0, b, b, b, 200, b, 217, b, 0, 0, 0, 0, 0, 0]
    ids[:, 6] = 250
    assert mark_beside_lanes(ids)[300].tolist() == ids[300].tolist()


def test_a_split_is_a_road_or_all(source):
    ids = np.zeros((2, 3), np.uint8)
    source(ids)
    root = source(ids, "road03")
    assert [frame.sample_id for frame in ApolloScapeConverter(root).frames()] == [
        f"road02_Record001_{STEM}",
        f"road03_Record001_{STEM}",
    ]
    assert len(list(ApolloScapeConverter(root, "road03").frames())) == 1
    with pytest.raises(ConversionError, match=r"the masks are missing(.|\n)*Labels_road04"):
        list(ApolloScapeConverter(root, "road04").frames())


def test_faults_name_the_file(source, tmp_path):
    root = source(np.array([[0, 1]], np.uint8))
    masks = root / "Labels_road02" / "Label" / CAMERA
    with pytest.raises(ConversionError, match="an id that this source does not have") as error:
        convert_source(ApolloScapeConverter(root), tmp_path / "out", num_workers=1)
    assert error.value.where == f"{masks / STEM}_bin.png (row 0, column 1)"
    photo = root / "ColorImage_road02" / "ColorImage" / CAMERA / f"{STEM}.jpg"
    photo.write_bytes(cv2.imencode(".jpg", np.zeros((2, 2, 3), np.uint8))[1].tobytes())
    with pytest.raises(ConversionError, match="mask and image differ in size"):
        convert_source(ApolloScapeConverter(root), tmp_path / "out", num_workers=1)
    photo.rename(photo.with_name("170927_063812000_Camera_5.jpg"))
    with pytest.raises(ConversionError, match=f"is missing: the image of frame 'road02_Record001_{STEM}'"):
        convert_source(ApolloScapeConverter(root), tmp_path / "out", num_workers=1)
    (masks / f"{STEM}_bin.png").unlink()
    with pytest.raises(ConversionError, match="is missing: the mask of frame 'road02_Record001_170927_063812000_Camera_5'"):
        convert_source(ApolloScapeConverter(root), tmp_path / "out", num_workers=1)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not os.environ.get("ADMLOPS_REAL_DATA"), reason="ADMLOPS_REAL_DATA is not set")
def test_real_masks():
    root = Path(os.environ["ADMLOPS_REAL_DATA"]) / "apolloscape" / "lane_segmentation"
    with (root / "class_ids.csv").open() as table:
        published = {row["name"]: int(row["id"]) for row in csv.DictReader(table)}
    assert {name: value for value, (name, _) in CLASS_OF_ID.items() if value != BESIDE_LANE_ID} == published
    (path,) = root.glob("gt_dir/labels/*/*/171206_025742296_Camera_5_bin.png")
    ids = read_png(path).read_index_mask(((0, 0, 0),))
    values, counts = np.unique(ids, return_counts=True)
    assert ids.shape == (2710, 3384)
    assert set(values.tolist()) <= set(CLASS_OF_ID)
    assert dict(zip(values.tolist(), counts.tolist(), strict=True))[200] == 3150
    # The zebra crossing lies across the road ahead, the solid line beyond it.
    assert ids[2008, 611] == 214
    assert ids[1873, 1205] == 200
