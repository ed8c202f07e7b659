from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from conversion_helpers import load_release

from admlops.conversion import PennFudanConverter, convert_source
from admlops.errors import ConversionError

HEAD = """# Compatible with PASCAL Annotation Version 1.00
Image filename : "PennFudanPed/PNGImages/{name}.png"
Image size (X x Y x C) : 200 x 100 x 3
Database : "The Penn-Fudan-Pedestrian Database"
Objects with ground truth : {num} {{ {types} }}
# Note there may be some objects not included in the ground truth list for they are severe-occluded
# or have very small size.
# Top left pixel co-ordinates : (1, 1)
"""
OBJECT = """# Details for pedestrian {i} ("{type}")
Original label for object {i} "{type}" : "PennFudanPed"
Bounding box for object {i} "{type}" (Xmin, Ymin) - (Xmax, Ymax) : ({x1}, {y1}) - ({x2}, {y2})
Pixel mask for object {i} "{type}" : "PennFudanPed/PedMasks/{name}_mask.png"

"""
WALKING, STANDING = "PASpersonWalking", "PASpersonStanding"


@pytest.fixture
def source(tmp_path):
    """One photo of 200x100 with two pedestrians; the boxes stand in lines 11 and 16 of 18."""
    root = tmp_path / "pennfudan" / "PennFudanPed"
    for folder in ("Annotation", "PNGImages"):
        (root / folder).mkdir(parents=True)
    cv2.imwrite(str(root / "PNGImages/FudanPed00001.png"), np.zeros((100, 200, 3), np.uint8))
    name = "FudanPed00001"
    text = HEAD.format(name=name, num=2, types=f'"{WALKING}" "{STANDING}"')
    text += OBJECT.format(i=1, type=WALKING, x1=11, y1=21, x2=50, y2=60, name=name)
    text += OBJECT.format(i=2, type=STANDING, x1=1, y1=1, x2=200, y2=100, name=name)
    (root / "Annotation/FudanPed00001.txt").write_text(text)
    return root.parent


def test_pedestrians_of_whom_some_are_left_out(source, tmp_path):
    report = convert_source(PennFudanConverter(source), tmp_path / "out", num_workers=1)
    (record,) = load_release(tmp_path / "out")
    assert record == {
        "sample_id": "FudanPed00001",
        "image": {"path": str(source / "PennFudanPed/PNGImages/FudanPed00001.png"), "width": 200, "height": 100},
        # Pixels 11 to 50, counted from 1 and both included, cover 10 to 50 on the axis.
        "labels": {
            "det_person": {
                "boxes": [[10.0, 20.0, 50.0, 60.0], [0.0, 0.0, 200.0, 100.0]],
                "categories": ["person", "person"],
                "labelled_categories": ["person"],
                "non_exhaustive_categories": ["person"],
            }
        },
        "attributes": {"source": "pennfudan", "split": "all"},
    }
    assert report["source_categories"] == {STANDING: 1, WALKING: 1}


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("200 x 100 x 3", "201 x 100 x 3", 3, r"200x100 like(.|\n)*201x100"),
        ("truth : 2", "truth : two", 5, r"a line like 'Objects(.|\n)*truth : two"),
        ("truth : 2", "truth : 3", 18, r"truncated(.|\n)*3 objects with box and mask(.|\n)*2 boxes, 2 masks"),
        ("Objects with", "Object with", 18, r"truncated(.|\n)*a line 'Objects with ground truth'(.|\n)*none"),
        ("(11, 21)", "(11; 21)", 11, r"a line like 'Bounding box(.|\n)*11; 21"),
        ("(11, 21)", "(51, 21)", 11, r"left < right(.|\n)*50 20 50 60"),
        ("(200, 100)", "(202, 100)", 16, r"inside of the image \(200x100"),
        ("box for object 2", "box for object 3", 16, r"object 2(.|\n)*object 3"),
        (f'box for object 2 "{STANDING}"', 'box for object 2 "PASdog"', 16, r"begins with PASperson(.|\n)*'PASdog'"),
    ],
)
def test_faults_are_named_with_file_and_line(source, tmp_path, old, new, line, message):
    path = source / "PennFudanPed/Annotation/FudanPed00001.txt"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    with pytest.raises(ConversionError, match=message) as error:
        convert_source(PennFudanConverter(source), tmp_path / "out", num_workers=1)
    assert error.value.where == f"{path}:{line}"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("num_characters", [0, 200, -4, -60, -150])
def test_truncated_file(source, tmp_path, num_characters):
    path = source / "PennFudanPed/Annotation/FudanPed00001.txt"
    path.write_text(path.read_text()[:num_characters])
    with pytest.raises(ConversionError, match="truncated|malformed line") as error:
        convert_source(PennFudanConverter(source), tmp_path / "out", num_workers=1)
    assert str(error.value.where).startswith(f"{path}:")


def test_file_that_ends_behind_a_box(source, tmp_path):
    # Whether the box's last number is whole cannot be seen.
    path = source / "PennFudanPed/Annotation/FudanPed00001.txt"
    text = path.read_text()
    path.write_text(text[: text.rindex("\nPixel mask")])
    with pytest.raises(ConversionError, match=r"truncated(.|\n)*2 objects with box and mask(.|\n)*2 boxes, 1 masks") as error:
        convert_source(PennFudanConverter(source), tmp_path / "out", num_workers=1)
    assert error.value.where == f"{path}:16"


def test_missing_parts(source, tmp_path):
    root = source / "PennFudanPed"
    (root / "PNGImages/FudanPed00001.png").unlink()
    with pytest.raises(ConversionError, match="the image of frame 'FudanPed00001'"):
        convert_source(PennFudanConverter(root), tmp_path / "out")
    (root / "PNGImages").rmdir()
    with pytest.raises(ConversionError, match="a folder of Penn-Fudan's layout is missing") as error:
        list(PennFudanConverter(source).frames())
    assert error.value.where == root / "PNGImages"


@pytest.mark.skipif(not os.environ.get("ADMLOPS_REAL_DATA"), reason="ADMLOPS_REAL_DATA is not set")
def test_real_frames(tmp_path):
    source = Path(os.environ["ADMLOPS_REAL_DATA"]) / "pennfudan"
    report = convert_source(PennFudanConverter(source), tmp_path / "out", num_workers=1)
    assert report["records"] == 15
    assert report["source_categories"] == {STANDING: 1, WALKING: 35}
    first = load_release(tmp_path / "out")[0]
    assert first["labels"]["det_person"]["boxes"] == [[159.0, 181.0, 302.0, 431.0], [419.0, 170.0, 535.0, 486.0]]
