from __future__ import annotations

import cv2
import numpy as np
import pytest
from conversion_helpers import CAR_LINE, load_release

from admlops.conversion import KittiTrackingConverter, convert_source
from admlops.errors import ConversionError

BOX = "10.000000 20.000000 50.000000 60.000000 1.5 1.6 4.0 1.0 1.5 20.0 -1.55"
DONT_CARE = "-1 DontCare -1 -1 -10.000000 100.0 20.0 150.0 60.0 -1000 -1000 -1000 -10 -1 -1 -1"


@pytest.fixture
def tracking_source(tmp_path):
    """Write ``{drive: (number of frames, label lines)}`` with images of 200x100."""

    def write(drives, lidar=False):
        folder = tmp_path / "tracking" / "training"
        for drive, (num_frames, lines) in drives.items():
            for name in (f"{frame:06d}" for frame in range(num_frames)):
                image = folder / "image_02" / drive / f"{name}.png"
                image.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(image), np.zeros((100, 200, 3), np.uint8))
                if lidar:
                    (folder / "velodyne" / drive).mkdir(parents=True, exist_ok=True)
                    np.zeros((5, 4), np.float32).tofile(folder / "velodyne" / drive / f"{name}.bin")
            (folder / "label_02").mkdir(exist_ok=True)
            (folder / "label_02" / f"{drive}.txt").write_text("\n".join(lines) + "\n")
        return folder.parent

    return write


def test_lines_of_a_drive_become_records_of_its_frames(tracking_source, tmp_path):
    lines = [
        f"0 {DONT_CARE}",
        f"0 7 Van 2 1 -1.570000 {BOX}",
        f"0 8 Car 0 0 0.000000 {BOX}",
        f"2 7 Van 0 3 1.570000 {BOX}",
        f"2 9 Person 0 0 0.100000 {BOX}",
        f"2 4 Cyclist 1 0 0.100000 {BOX}",
    ]
    report = convert_source(KittiTrackingConverter(tracking_source({"0003": (3, lines)})), tmp_path / "out", num_workers=1)
    first, second, third = load_release(tmp_path / "out")
    assert [record["sample_id"] for record in (first, second, third)] == ["0003_000000", "0003_000001", "0003_000002"]
    rear = first["labels"]["det_rear"]
    assert rear["categories"] == ["vehicle_rear", "vehicle_head", "vehicle_rear", "vehicle_rear", "vehicle_head"]
    assert rear["ignore"] == [True, True, False, True, True]
    assert first["attributes"] == {
        "source": "kitti_tracking",
        "split": "training",
        "scene": "0003",
        "frame": 0,
        "track_ids": {
            "det_cyclist_light": [-1],
            "det_person": [-1],
            "det_rear": [-1, -1, 7, 8, 8],
            "det_vehicle_sign": [-1, 7, 8],
        },
    }
    # A frame without lines shows nothing, and that is known.
    assert all(second["labels"][task]["boxes"] == [] for task in second["labels"])
    assert len(second["labels"]) == 4
    assert third["labels"]["det_rear"]["categories"] == ["vehicle_head"]
    assert third["labels"]["det_person"]["categories"] == ["person"]
    assert third["labels"]["det_cyclist_light"]["boxes"] == [[10.0, 20.0, 50.0, 60.0]]
    assert report["source_categories"] == {"Car": 1, "Cyclist": 1, "DontCare": 1, "Person": 1, "Van": 2}


def test_only_some_drives(tracking_source):
    source = tracking_source({"0000": (1, []), "0001": (1, []), "0002": (1, [])})
    frames = KittiTrackingConverter(source, drives=("0002", "0000")).frames()
    assert [frame.sample_id for frame in frames] == ["0000_000000", "0002_000000"]
    with pytest.raises(ConversionError, match=r"no drive '003'(.|\n)*0000, 0001, 0002"):
        list(KittiTrackingConverter(source, drives=("003",)).frames())


def test_lidar_but_for_the_sweeps_that_were_never_published(tracking_source, tmp_path):
    source = tracking_source({"0001": (1, [])}, lidar=True)
    image = source / "training/image_02/0001/000000.png"
    (image.parent / "000177.png").write_bytes(image.read_bytes())
    report = convert_source(KittiTrackingConverter(source), tmp_path / "out", num_workers=1)
    with_sweep, without = load_release(tmp_path / "out")
    assert with_sweep["lidar"]["path"] == str(source / "training/velodyne/0001/000000.bin")
    assert without["sample_id"] == "0001_000177"
    assert "lidar" not in without
    assert report["refused"] == {"sweep that KITTI never published: camera only": 1}
    (image.parent / "000181.png").write_bytes(image.read_bytes())
    with pytest.raises(ConversionError, match="the lidar of frame '0001_000181'"):
        convert_source(KittiTrackingConverter(source), tmp_path / "out2")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (CAR_LINE, r"17 columns: frame track_id type(.|\n)*15 columns"),  # of the object benchmark
        (f"0 1 Car 0 0 -1.57 {BOX} 0.9", r"17 columns(.|\n)*18 columns(.|\n)*result file with scores"),
        (f"first 1 Car 0 0 -1.57 {BOX}", r"a frame number from 0 on(.|\n)*'first'"),
        (f"0 1.5 Car 0 0 -1.57 {BOX}", r"a track id(.|\n)*'1.5'"),
        (f"0 1 Car 3 0 -1.57 {BOX}", r"truncated within 0 to 2(.|\n)*3"),
        (f"0 1 car 0 0 -1.57 {BOX}", r"a type: Car(.|\n)*did you mean 'Car'"),
        ("0 1 Car 0 0 -1.57 10 20 250 60 1 1 1 1 1 1 1", r"inside of the image \(200x100"),
    ],
)
def test_malformed_line_is_named(tracking_source, tmp_path, line, message):
    source = tracking_source({"0000": (1, [f"0 {DONT_CARE}", line])})
    with pytest.raises(ConversionError, match=message) as error:
        convert_source(KittiTrackingConverter(source), tmp_path / "out", num_workers=1)
    assert error.value.where == f"{source / 'training/label_02/0000.txt'}:2"
    assert not (tmp_path / "out").exists()


def test_missing_and_truncated_parts(tracking_source, tmp_path):
    source = tracking_source({"0000": (1, [f"0 {DONT_CARE}", f"1 {DONT_CARE}"]), "0001": (1, [])})
    label = source / "training/label_02/0000.txt"
    with pytest.raises(ConversionError, match="the image of frame '0000_000001'") as error:
        convert_source(KittiTrackingConverter(source), tmp_path / "out")
    assert error.value.expected == f"a file, because of {label}"
    label.write_text(label.read_text()[:-1])
    with pytest.raises(ConversionError, match="the label file is truncated") as error:
        list(KittiTrackingConverter(source).frames())
    assert error.value.where == f"{label}:2"
    label.unlink()
    with pytest.raises(ConversionError, match="a part of drive 0000 is missing") as error:
        list(KittiTrackingConverter(source).frames())
    assert error.value.where == label
    with pytest.raises(ConversionError, match="a folder of KITTI's layout is missing"):
        list(KittiTrackingConverter(source / "training").frames())
