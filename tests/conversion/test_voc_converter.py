from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from conversion_helpers import load_release

from admlops.conversion import VocConverter, convert_source
from admlops.errors import AdmlopsError, ConversionError

SIZE = "  <size>\n    <width>{}</width>\n    <height>{}</height>\n    <depth>3</depth>\n  </size>\n"
PERSON = "det_person/person"


def item(name: str, box: tuple = (11, 21, 50, 60), difficult: str = "0", part: str = "") -> str:
    corners = "".join(
        f"      <{side}>{value}</{side}>\n" for side, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    head = f"  <object>\n    <name>{name}</name>\n{part}    <difficult>{difficult}</difficult>\n"
    return f"{head}    <bndbox>\n{corners}    </bndbox>\n  </object>\n"


@pytest.fixture
def voc_source(tmp_path):
    """Write ``{photo: objects}`` in VOC's layout with photos of 200x100; the object of the first line 8 begins there."""

    def write(frames, size=(200, 100), root="VOCdevkit/VOC2012", folders=("Annotations", "JPEGImages"), suffix=".jpg") -> Path:
        base = tmp_path / "voc" / root
        for folder in folders:
            (base / folder).mkdir(parents=True, exist_ok=True)
        for name, objects in frames.items():
            cv2.imwrite(str(base / folders[1] / f"{name}{suffix}"), np.zeros((100, 200, 3), np.uint8))
            # The file's own file name and path are wrong in many sets.
            text = "<annotation>\n  <filename>other.jpg</filename>\n" + SIZE.format(*size) + "".join(objects) + "</annotation>"
            (base / folders[0] / f"{name}.xml").write_text(text)
        return tmp_path / "voc"

    return write


def convert_one(source, tmp_path, **options):
    report = convert_source(VocConverter(source, **options), tmp_path / "out", num_workers=1)
    (record,) = load_release(tmp_path / "out")
    return record, report


def test_voc2012_persons_and_vehicles(voc_source, tmp_path):
    part = "    <part>\n      <name>head</name>\n      <bndbox><xmin>1</xmin></bndbox>\n    </part>\n"
    objects = [item("person", part=part), item("bus"), item("car", (1, 1, 200, 100)), item("sofa")]
    record, report = convert_one(voc_source({"2007_000001": objects}), tmp_path)
    assert record["sample_id"] == "2007_000001"
    assert record["attributes"] == {"source": "voc", "split": "all", "classes": "voc2012"}
    assert (record["image"]["width"], record["image"]["height"]) == (200, 100)
    # Pixels 11 to 50, counted from 1 and both included, cover 10 to 50 on the axis.
    assert record["labels"]["det_person"] == {
        "boxes": [[10.0, 20.0, 50.0, 60.0]],
        "categories": ["person"],
        "labelled_categories": ["person"],
    }
    assert record["labels"]["det_vehicle_sign"] == {
        "boxes": [[10.0, 20.0, 50.0, 60.0], [0.0, 0.0, 200.0, 100.0]],
        "categories": ["vehicle", "vehicle"],
        "labelled_categories": ["vehicle"],
        "non_exhaustive_categories": ["vehicle"],
    }
    assert report["source_categories"] == {"person": 1, "bus": 1, "car": 1, "sofa": 1}
    assert report["refused"] == {"sofa, mapped to nothing: left out": 1}
    assert report["unknown"]["det_vehicle_sign"] == ["traffic_sign"]
    assert report["unknown"]["det_cyclist_light"] == ["cyclist", "traffic_light"]


def test_difficult_objects_and_riders_are_ignored(voc_source, tmp_path):
    objects = [
        item("person", (1, 1, 40, 60)),  # shares 20 x 20 of the machine's 40 x 40
        item("person", (101, 1, 140, 60)),
        item("motorbike", (21, 41, 60, 80)),
        item("car", difficult="1"),
    ]
    record, report = convert_one(voc_source({"a": objects}), tmp_path)
    assert record["labels"]["det_person"]["ignore"] == [True, False]
    assert record["labels"]["det_vehicle_sign"]["ignore"] == [True]
    assert report["refused"] == {
        "car, difficult: ignore box": 1,
        "motorbike, mapped to nothing: left out": 1,
        "person, perhaps on a cycle: ignore box": 1,
    }


def test_preset_of_road_signs_in_its_own_layout(voc_source, tmp_path):
    objects = [item(name) for name in ("trafficlight", "stop", "speedlimit", "crosswalk")]
    source = voc_source({"road1": objects}, root=".", folders=("annotations", "images"), suffix=".png")
    record, report = convert_one(source, tmp_path, classes="roadsign")
    light, sign = record["labels"]["det_cyclist_light"], record["labels"]["det_vehicle_sign"]
    assert (light["categories"], light["non_exhaustive_categories"]) == (["traffic_light"], ["traffic_light"])
    assert (sign["categories"], sign["labelled_categories"]) == (["traffic_sign"] * 3, ["traffic_sign"])
    assert sign["non_exhaustive_categories"] == ["traffic_sign"]
    assert "det_person" not in record["labels"]
    assert report["options"]["classes"] == "roadsign"


def test_preset_of_traffic_lights_ignores_countdowns(voc_source, tmp_path):
    record, _ = convert_one(voc_source({"a": [item("redleft"), item("greentime")]}), tmp_path, classes="traffic-light")
    assert record["labels"]["det_cyclist_light"] == {
        "boxes": [[10.0, 20.0, 50.0, 60.0]] * 2,
        "categories": ["traffic_light"] * 2,
        "ignore": [False, True],
        "labelled_categories": ["traffic_light"],
        "non_exhaustive_categories": ["traffic_light"],
    }


def test_own_mapping(voc_source, tmp_path):
    mapping = ["taxi=det_vehicle_sign/vehicle", "taxi=det_rear/vehicle_rear", "trailer=det_vehicle_sign/vehicle:ignore", "dog="]
    source = voc_source({"a": [item("taxi"), item("trailer"), item("dog")]})
    record, report = convert_one(source, tmp_path, mapping=mapping, some_of=["det_rear/vehicle_rear"])
    assert record["labels"]["det_vehicle_sign"]["ignore"] == [False, True]
    assert record["labels"]["det_rear"]["categories"] == ["vehicle_rear"]
    assert record["labels"]["det_rear"]["non_exhaustive_categories"] == ["vehicle_rear"]
    assert record["attributes"]["classes"] == "map"
    assert report["refused"] == {"dog, mapped to nothing: left out": 1, "trailer, mapped to ignore: ignore box": 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mapping": ["person"]}, r"malformed --map(.|\n)*'person'"),
        ({"mapping": ["dog="]}, "--map labels no class"),
        ({"mapping": ["man=person"]}, r"malformed class(.|\n)*TASK/CLASS"),
        ({"mapping": ["man=det_persn/person"]}, r"no detection task 'det_persn'(.|\n)*did you mean 'det_person'"),
        ({"mapping": ["man=seg_default/person"]}, "no detection task 'seg_default'"),
        ({"mapping": ["man=det_person/pedestrian"]}, "has no class 'pedestrian'"),
        ({"mapping": [f"man={PERSON}", "car=det_vehicle_sign/vehicle:ignore"]}, "no object becomes det_vehicle_sign/vehicle"),
        ({"mapping": [f"man={PERSON}"], "some_of": ["det_rear/vehicle_rear"]}, "no object becomes det_rear/vehicle_rear"),
        ({"some_of": [PERSON]}, "--some-of without --map"),
        ({"classes": "voc2O12"}, r"no set 'voc2O12'(.|\n)*did you mean 'voc2012'"),
    ],
)
def test_unusable_options(tmp_path, options, message):
    with pytest.raises(AdmlopsError, match=message):
        VocConverter(tmp_path, **options)


@pytest.mark.parametrize(
    ("objects", "line", "message"),
    [
        ([item("person"), item("persn")], 18, r"unknown object name 'persn'(.|\n)*did you mean 'person'"),
        ([item("person").replace("<xmax>50</xmax>", "<xmax>5O</xmax>")], 14, r"a number in <xmax>(.|\n)*'5O'"),
        ([item("person").replace("<ymin>21</ymin>", "")], 11, r"<ymin> in <bndbox>"),
        ([item("person").replace("bndbox", "box")], 8, r"<bndbox> in <object>"),
        ([item("person", difficult="2")], 10, r"<difficult> 0 or 1(.|\n)*'2'"),
        ([item("person", (60, 21, 50, 60))], 11, r"left < right(.|\n)*59 20 50 60"),
        ([item("person", (11, 21, 202, 60))], 11, r"inside of the image \(200x100(.|\n)*10 20 202 60"),
        ([item("person").replace("</name>", "</nam>")], 9, r"truncated or malformed(.|\n)*mismatched tag"),
    ],
)
def test_faults_are_named_with_file_and_line(voc_source, tmp_path, objects, line, message):
    source = voc_source({"a": objects})
    with pytest.raises(ConversionError, match=message) as error:
        convert_source(VocConverter(source), tmp_path / "out", num_workers=1)
    assert error.value.where == f"{source / 'VOCdevkit/VOC2012/Annotations/a.xml'}:{line}"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "no element found"),
        ("<annotation>\n<object>\n<name>per", 3, "no element found"),
        ("<annotation>\n<object", 2, "unclosed token"),
        ("<voc>\n</voc>", 1, "<annotation> around everything"),
        ('<!DOCTYPE a [<!ENTITY b "c">]>\n<annotation>&b;</annotation>', 1, "declares a document type"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd">\n<annotation/>', 1, "declares a document type"),
        ('<?xml version="1.0" encoding="nowhere"?><annotation/>', 1, "truncated or malformed"),
    ],
)
def test_unusable_xml(voc_source, tmp_path, text, line, message):
    source = voc_source({"a": []})
    path = source / "VOCdevkit/VOC2012/Annotations/a.xml"
    path.write_text(text)
    with pytest.raises(ConversionError, match=message) as error:
        convert_source(VocConverter(source), tmp_path / "out", num_workers=1)
    assert error.value.where == f"{path}:{line}"


@pytest.mark.parametrize(("size", "counted"), [((0, 0), False), ((640, 480), True)])
def test_wrong_size_gives_way_to_the_photo(voc_source, tmp_path, size, counted):
    record, report = convert_one(voc_source({"a": [item("person")]}, size=size), tmp_path)
    assert (record["image"]["width"], record["image"]["height"]) == (200, 100)
    assert bool(report["refused"]) == counted


@pytest.mark.parametrize(("size", "what"), [((400, 200), "scaled"), ((100, 200), "turned")])
def test_photo_that_was_changed_after_it_was_annotated(voc_source, tmp_path, size, what):
    source = voc_source({"a": []}, size=size)
    with pytest.raises(ConversionError, match=f"the photo was {what} after it was annotated") as error:
        convert_source(VocConverter(source), tmp_path / "out", num_workers=1)
    assert error.value.where == f"{source / 'VOCdevkit/VOC2012/Annotations/a.xml'}:3"


def test_lists_of_image_sets(voc_source):
    source = voc_source({"a": [], "b": [], "c": []})
    listing = source / "VOCdevkit/VOC2012/ImageSets/Main/val.txt"
    with pytest.raises(ConversionError, match=r"the list of split 'val' is missing(.|\n)*--split all"):
        list(VocConverter(source, split="val").frames())
    listing.parent.mkdir(parents=True)
    listing.write_text("c\na\n")
    assert [frame.sample_id for frame in VocConverter(source, split="val").frames()] == ["c", "a"]
    listing.write_text("c\na -1\n")  # a list of one class
    with pytest.raises(ConversionError, match="malformed line in a VOC list") as error:
        list(VocConverter(source, split="val").frames())
    assert error.value.where == f"{listing}:2"


def test_missing_parts(voc_source, tmp_path):
    source = voc_source({"a": [], "b": []})
    root = source / "VOCdevkit/VOC2012"
    (root / "JPEGImages/b.png").write_bytes((root / "JPEGImages/b.jpg").read_bytes())
    with pytest.raises(ConversionError, match=r"two files may be frame 'b'(.|\n)*b\.jpg and b\.png"):
        list(VocConverter(source).frames())
    (root / "JPEGImages/b.png").unlink()
    (root / "JPEGImages/b.jpg").unlink()
    with pytest.raises(ConversionError, match="the image of frame 'b'") as error:
        convert_source(VocConverter(source), tmp_path / "out")
    assert error.value.where == root / "JPEGImages/b.jpg"
    (root / "Annotations/a.xml").unlink()
    with pytest.raises(ConversionError, match="the boxes of frame 'a'"):
        convert_source(VocConverter(source), tmp_path / "out")
    with pytest.raises(ConversionError, match="a folder of VOC's layout is missing"):
        list(VocConverter(root / "Annotations").frames())
    (source / "VOC2007/Annotations").mkdir(parents=True)
    with pytest.raises(ConversionError, match=r"holds several VOC sets(.|\n)*VOC2007(.|\n)*VOC2012"):
        list(VocConverter(source).frames())


REAL_DATA = pytest.mark.skipif(not os.environ.get("ADMLOPS_REAL_DATA"), reason="ADMLOPS_REAL_DATA is not set")


@REAL_DATA
def test_real_road_signs(tmp_path):
    source = Path(os.environ["ADMLOPS_REAL_DATA"]) / "roadsign"
    report = convert_source(VocConverter(source, classes="roadsign"), tmp_path / "out", num_workers=1)
    assert report["records"] == 24
    assert report["classes"] == {
        "det_cyclist_light": {"traffic_light": {"boxes": 10}},
        "det_vehicle_sign": {"traffic_sign": {"boxes": 28}},
    }
    assert report["refused"] == {}


@REAL_DATA
def test_real_traffic_lights(tmp_path):
    source = Path(os.environ["ADMLOPS_REAL_DATA"]) / "traffic_light_voc"
    report = convert_source(VocConverter(source, classes="traffic-light"), tmp_path / "out", num_workers=1)
    assert report["records"] == 40
    assert report["classes"] == {"det_cyclist_light": {"traffic_light": {"boxes": 117, "ignored": 19}}}
