from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from conversion_helpers import load_release, points_in_boxes

from admlops.conversion import KittiConverter, convert_source
from admlops.conversion.kitti_lidar import read_calibration
from admlops.errors import ConversionError

# 1 m to the right, bottom 1.5 m below the camera, 20 m ahead, heading forwards: rotation about the camera's y is -pi/2.
BOX = "10.00 20.00 50.00 60.00 1.5 1.6 4.0 1.0 1.5 20.0 -1.5708"
DONT_CARE = "DontCare -1 -1 -10 100.00 20.00 150.00 60.00 -1 -1 -1 -1000 -1000 -1000 -10"
# The reference camera looks along the Velodyne's x from 0.2 m ahead of it; the colour camera is 0.3 m to its left, 90 degrees
# wide with 200 px.
CALIBRATION = """P2: 100 0 100 30 0 100 50 0 0 0 1 0
R0_rect: 1 0 0 0 1 0 0 0 1
Tr_velo_to_cam: 0 -1 0 0 0 0 -1 0 1 0 0 -0.2

"""


@pytest.fixture
def lidar_source(kitti_source):
    def write(lines: list[str], sweeps: str = "velodyne", calibration: str = CALIBRATION) -> Path:
        root = kitti_source({"000007": lines}, lidar=True)
        (root / "training/velodyne").rename(root / "training" / sweeps)
        (root / "training/calib").mkdir()
        (root / "training/calib/000007.txt").write_text(calibration)
        return root

    return write


def convert_labels(root: Path, out: Path) -> dict:
    convert_source(KittiConverter(root), out, num_workers=1)
    (record,) = load_release(out)
    return record["labels"]


def test_boxes_move_from_the_camera_to_the_velodyne(lidar_source, tmp_path):
    labels = convert_labels(lidar_source([f"Car 0.00 0 -1.57 {BOX}", DONT_CARE]), tmp_path / "out")
    # Camera (1, 1.5 - 0.75, 20) is Velodyne (20 + 0.2, -1, -0.75); z is the centre.
    assert labels["god_base"] == {
        "boxes_3d": [[20.2, -1.0, -0.75, 4.0, 1.6, 1.5, 0.0]],
        "categories": ["obstacle"],
        "labelled_region": [[0.2, 0.3], [150.2, 150.3], [150.2, -149.7]],
    }
    assert labels["god_hd"] == labels["god_base"]
    assert labels["det3d"] == labels["god_base"] | {"categories": ["car"]}
    assert "drivable_2cls" not in labels


def test_every_type_is_an_obstacle_and_three_are_classes_of_mmdet3d(lidar_source, tmp_path):
    types = ["Truck", "Car", "Van", "Misc", "Tram", "Pedestrian", "Person_sitting", "Cyclist"]
    labels = convert_labels(lidar_source([f"{kind} 0.00 0 -1.57 {BOX}" for kind in types]), tmp_path / "out")
    assert labels["god_base"]["categories"] == ["obstacle"] * 8
    assert "ignore" not in labels["god_base"]
    assert labels["det3d"]["categories"] == ["car", "car", "pedestrian", "pedestrian", "cyclist"]
    assert labels["det3d"]["ignore"] == [False, True, False, True, False]


def test_nothing_in_view_is_a_true_negative(lidar_source, tmp_path):
    labels = convert_labels(lidar_source([]), tmp_path / "out")
    assert (labels["god_hd"]["boxes_3d"], labels["det3d"]["boxes_3d"]) == ([], [])


def test_reduced_sweeps_are_read_where_there_are_no_others(lidar_source, tmp_path):
    root = lidar_source([], sweeps="velodyne_reduced")
    report = convert_source(KittiConverter(root), tmp_path / "out", num_workers=1)
    (record,) = load_release(tmp_path / "out")
    assert record["lidar"]["path"] == str(root / "training/velodyne_reduced/000007.bin")
    assert report["lidar"] == {"points": 5, "sweeps": 1}


def test_without_calibration_boxes_are_unknown(kitti_source, tmp_path):
    report = convert_source(KittiConverter(kitti_source({"000007": []}, lidar=True)), tmp_path / "out", num_workers=1)
    (record,) = load_release(tmp_path / "out")
    assert set(record["labels"]) == {"det_cyclist_light", "det_person", "det_rear", "det_vehicle_sign"}
    assert report["unknown_records"]["god_base"] == {"*": 1}
    assert report["refused"] == {"sweep without calibration: nobody knows where its boxes are": 1}


@pytest.mark.parametrize(
    ("calibration", "expected", "got"),
    [
        ("", "P2: and 12 numbers", "no P2"),
        (CALIBRATION.replace("Tr_velo_to_cam", "Tr_velo_cam"), "Tr_velo_to_cam: and 12", "no Tr_velo_to_cam"),
        (CALIBRATION[:-8], "Tr_velo_to_cam: and 12 numbers", "0 -1 0 0"),
        (CALIBRATION.replace("R0_rect: 1", "R0_rect: x"), "R0_rect: and 9 numbers", "x 0 0"),
        (CALIBRATION.replace("R0_rect: 1", "R0_rect: 2"), "that rotate", "2 0 0"),
    ],
)
def test_malformed_calibration_is_named(lidar_source, tmp_path, calibration, expected, got):
    root = lidar_source([], calibration=calibration)
    path = root / "training/calib/000007.txt"
    with pytest.raises(ConversionError, match=f"calibration file is(.|\n)*{expected}(.|\n)*{got}") as error:
        convert_source(KittiConverter(root), tmp_path / "out", num_workers=1)
    assert error.value.where == path


@pytest.mark.parametrize("size", ["1.5 0 4", "1.5 nan 4"])
def test_a_box_without_a_size_is_named(lidar_source, tmp_path, size):
    root = lidar_source([f"Car 0.00 0 -1.57 {BOX.replace('1.5 1.6 4.0', size)}"])
    with pytest.raises(ConversionError, match=rf"000007\.txt:1(.|\n)*height, width and length above 0(.|\n)*{size}"):
        convert_source(KittiConverter(root), tmp_path / "out", num_workers=1)


def test_a_source_of_boxes_in_the_image_needs_no_others(kitti_source, tmp_path):
    root = kitti_source({"000007": [f"Car 0.00 0 -1.57 {BOX.replace('1.5 1.6 4.0', 'nan 0 0')}"]}, lidar=False)
    convert_source(KittiConverter(root), tmp_path / "out", num_workers=1)
    (record,) = load_release(tmp_path / "out")
    assert record["labels"]["det_vehicle_sign"]["categories"] == ["vehicle"]


REAL_DATA = pytest.mark.skipif(not os.environ.get("ADMLOPS_REAL_DATA"), reason="ADMLOPS_REAL_DATA is not set")


@REAL_DATA
def test_real_boxes_hold_the_points_of_their_objects(tmp_path):
    source = Path(os.environ["ADMLOPS_REAL_DATA"]) / "kitti"
    report = convert_source(KittiConverter(source), tmp_path / "out", num_workers=1)
    assert report["labelled_records"]["god_base"] == report["labelled_records"]["det3d"] == 3
    first, second, third = load_release(tmp_path / "out")
    # mmdet3d's own infos of frame 0 declare 377 points for the pedestrian.
    assert points_in_boxes(first, "god_base").tolist() == [377]
    assert points_in_boxes(second, "god_base").tolist() == [72, 9, 18]
    assert points_in_boxes(third, "god_base").tolist() == [1346, 67]
    assert second["labels"]["det3d"]["categories"] == ["car", "cyclist"]
    for record in (first, second, third):
        (camera_x, camera_y), left, right = record["labels"]["god_base"]["labelled_region"]
        assert 0.2 < camera_x < 0.4
        assert abs(camera_y) < 0.1
        # KITTI's camera is about 80 degrees wide.
        angles = [np.degrees(np.arctan2(y - camera_y, x - camera_x)) for x, y in (left, right)]
        assert 39 < angles[0] < 42
        assert -42 < angles[1] < -39


def test_calibration_of_the_fixture(tmp_path):
    path = tmp_path / "000007.txt"
    path.write_text(CALIBRATION)
    calibration = read_calibration(path)
    assert np.allclose(calibration.lidar_from_camera.apply([0, 0, 0]), [0.2, 0, 0])
