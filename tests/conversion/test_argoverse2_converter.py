from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from conversion_helpers import load_release, points_in_boxes
from pyarrow import ipc
from source_images import write_png

from admlops.conversion import Argoverse2Converter, convert_source
from admlops.conversion.argoverse2 import clip_to_square
from admlops.errors import ConversionError, MachineError

STAMP = 315966265000000000
TURN = [0.0, 0.0, 0.0, 1.0]  # half a turn about z
NO_TURN = [1.0, 0.0, 0.0, 0.0]
POSE = ("qw", "qx", "qy", "qz", "tx_m", "ty_m", "tz_m")
# In the city the vehicle stands at (1000, 500, 20) and looks along -x: 10 m ahead are at x = 990.
AREA = [(990.0, 490.0), (990.0, 510.0), (1020.0, 510.0), (1020.0, 490.0)]


def write_feather(path: Path, columns: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pyarrow.table(columns)
    with ipc.new_file(str(path), table.schema) as file:
        file.write_table(table)


def poses(*rows: list[float]) -> dict:
    return dict(zip(POSE, zip(*rows, strict=True), strict=True))


@pytest.fixture
def log(tmp_path):
    """One log with one sweep of two points, one cuboid and one drivable area."""
    folder = tmp_path / "av2/sensor/val/0a1b"
    sweep = {
        "x": np.array([10.5, -3], np.float16),
        "y": np.array([-2, 4], np.float16),
        "z": np.array([0.25, -0.5], np.float16),
        "intensity": np.array([0, 255], np.uint8),
        "laser_number": np.array([31, 1], np.uint8),
    }
    write_feather(folder / f"sensors/lidar/{STAMP}.feather", sweep)
    write_feather(
        folder / "calibration/egovehicle_SE3_sensor.feather",
        {"sensor_name": ["ring_front_center", "up_lidar", "down_lidar"]}
        | poses([*NO_TURN, 9, 9, 9], [*NO_TURN, 1.4, 0.2, 1.7], [*TURN, 1.2, 0.0, 1.5]),
    )
    write_feather(
        folder / "city_SE3_egovehicle.feather",
        {"timestamp_ns": [STAMP - 1, STAMP]} | poses([*NO_TURN, 0, 0, 0], [*TURN, 1000, 500, 20]),
    )
    cuboid = {"category": ["STROLLER"], "length_m": [2.0], "width_m": [1.0], "height_m": [0.5], "num_interior_pts": [1]}
    half = np.sqrt(0.5)  # a quarter of a turn about z
    write_feather(
        folder / "annotations.feather", {"timestamp_ns": [STAMP]} | cuboid | poses([half, 0, 0, half, 10.5, -1.5, 0.25])
    )
    (folder / "map").mkdir()
    areas = {"7": {"area_boundary": [{"x": x, "y": y, "z": 19.5} for x, y in AREA], "id": 7}}
    (folder / "map/log_map_archive_0a1b.json").write_text(json.dumps({"drivable_areas": areas}))
    return folder


def convert(log: Path, out: Path) -> dict:
    return convert_source(Argoverse2Converter(log.parents[2], "val"), out, num_workers=1)


def test_record(log, tmp_path):
    report = convert(log, tmp_path / "out")
    (record,) = load_release(tmp_path / "out")
    boxes = {"boxes_3d": [[10.5, -1.5, 0.25, 2.0, 1.0, 0.5, 1.5708]], "categories": ["obstacle"]}
    # Ahead is city -x, left is city -y. The corners come in the order of the map.
    polygon = [[10.0, 10.0], [10.0, -10.0], [-20.0, -10.0], [-20.0, 10.0]]
    assert record == {
        "sample_id": f"0a1b_{STAMP}",
        "lidar": {
            "path": f"lidar/0a1b_{STAMP}.bin",
            "dtype": "float32",
            "num_features": 4,
            "origin": [1.3, 0.1, 1.6],
            "intensity_max": 255,
        },
        "labels": {
            "god_base": boxes,
            "god_hd": boxes,
            "drivable_2cls": {"polygons": [polygon], "categories": ["drivable"]},
        },
        "attributes": {"source": "argoverse2", "split": "val", "scene": "0a1b", "timestamp_ns": STAMP},
    }
    points = np.fromfile(tmp_path / "out" / record["lidar"]["path"], "<f4").reshape(-1, 4)
    assert points.tolist() == [[10.5, -2.0, 0.25, 0.0], [-3.0, 4.0, -0.5, 255.0]]
    assert report["lidar"] == {"points": 2, "sweeps": 1}
    assert report["source_categories"] == {"STROLLER": 1}
    assert report["classes"]["drivable_2cls"] == {"drivable": {"polygons": 1}}


def test_what_is_not_there_is_unknown(log, tmp_path):
    (log / "annotations.feather").unlink()
    (log / "map/log_map_archive_0a1b.json").unlink()
    (log / "map").rmdir()
    report = convert(log, tmp_path / "out")
    (record,) = load_release(tmp_path / "out")
    assert record["labels"] == {}
    assert report["refused"] == {"sweep without any cuboid: obstacles unknown": 1}


def test_nearest_camera_frame(log, tmp_path):
    cameras = log / "sensors/cameras/ring_front_center"
    for shift in (-30_000_000, 20_000_000):
        write_png(cameras / f"{STAMP + shift}.jpg", np.zeros((4, 3, 3), np.uint8))  # a PNG inside: only its size is read
    convert(log, tmp_path / "out")
    (record,) = load_release(tmp_path / "out")
    assert record["image"] == {"path": str(cameras / f"{STAMP + 20_000_000}.jpg"), "width": 3, "height": 4}
    (cameras / f"{STAMP + 20_000_000}.jpg").rename(cameras / f"{STAMP + 60_000_000}.jpg")
    (cameras / f"{STAMP - 30_000_000}.jpg").unlink()
    (frame,) = Argoverse2Converter(log.parents[2], "val").frames()
    assert "image" not in frame.files


def test_broken_files_are_named(log, tmp_path):
    def fails(match: str, where: object) -> None:
        with pytest.raises(ConversionError, match=match) as error:
            convert(log, tmp_path / "out")
        assert error.value.where == where
        assert not (tmp_path / "out").exists()

    sweep = log / f"sensors/lidar/{STAMP}.feather"
    whole = sweep.read_bytes()
    sweep.write_bytes(whole[:-20])
    fails("the feather file is truncated or malformed", sweep)
    write_feather(sweep, {"x": [1.0], "y": [1.0], "z": [1.0]})
    fails(r"lacks column intensity(.|\n)*x, y, z", sweep)
    sweep.write_bytes(whole)
    calibration = log / "calibration/egovehicle_SE3_sensor.feather"
    write_feather(calibration, {"sensor_name": ["up_lidar"]} | poses([*NO_TURN, 1, 0, 1]))
    fails("the calibration lacks down_lidar", calibration)


def test_broken_poses_and_maps_are_named(log, tmp_path):
    def fails(match: str, where: object) -> None:
        with pytest.raises(ConversionError, match=match) as error:
            convert(log, tmp_path / "out")
        assert error.value.where == where

    city = log / "city_SE3_egovehicle.feather"
    write_feather(city, {"timestamp_ns": [STAMP]} | poses([0.5, 0, 0, 0, 0, 0, 0]))
    fails("not a pose(.|\n)*unit quaternion", city)
    write_feather(city, {"timestamp_ns": [STAMP - 1]} | poses([*NO_TURN, 0, 0, 0]))
    fails(f"the vehicle's pose is missing(.|\n)*{STAMP}", city)


def test_broken_map_is_named(log, tmp_path):
    archive = log / "map/log_map_archive_0a1b.json"
    archive.write_text(archive.read_text()[:-5])
    with pytest.raises(ConversionError, match="the map is truncated or malformed") as error:
        convert(log, tmp_path / "out")
    assert error.value.where == archive
    archive.rename(archive.with_name("log_map.json"))
    with pytest.raises(ConversionError, match="a log has no map"):
        convert(log, tmp_path / "out")


def test_missing_folders(log, tmp_path):
    with pytest.raises(ConversionError, match="the folder of split 'train' is missing"):
        list(Argoverse2Converter(log.parents[2]).frames())
    (log / f"sensors/lidar/{STAMP}.feather").unlink()
    (log / "sensors/lidar").rmdir()
    with pytest.raises(ConversionError, match="a log has no sweeps"):
        list(Argoverse2Converter(log.parents[1], "val").frames())


def test_without_pyarrow_the_extra_is_named(log, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MachineError, match=r"feather files need pyarrow(.|\n)*\.\[av2\]"):
        convert(log, tmp_path / "out")


def test_polygons_are_cut_at_a_square():
    # A rectangle that reaches out on the right; one outside; a ring road's U whose arms reach in from the right.
    assert clip_to_square(np.array([(0.0, -1), (9, -1), (9, 1), (0, 1)]), 3.0).tolist() == [[0, -1], [3, -1], [3, 1], [0, 1]]
    assert len(clip_to_square(np.array([(5.0, 5), (6, 5), (6, 6)]), 3.0)) == 0
    arms = np.array([(0.0, 2), (0, 1), (5, 1), (5, -1), (0, -1), (0, -2), (6, -2), (6, 2)])
    corners = clip_to_square(arms, 3.0)
    assert corners.tolist() == [[0, 2], [0, 1], [3, 1], [3, -1], [0, -1], [0, -2], [3, -2], [3, 2]]


@pytest.mark.skipif(not os.environ.get("ADMLOPS_REAL_DATA"), reason="ADMLOPS_REAL_DATA is not set")
def test_real_log(tmp_path, monkeypatch):
    source = Path(os.environ["ADMLOPS_REAL_DATA"]) / "av2"
    report = convert_source(Argoverse2Converter(source, "val"), tmp_path / "out", num_workers=1)
    assert report["lidar"] == {"points": 99_229 + 99_466, "sweeps": 2}
    assert report["classes"]["god_base"] == {"obstacle": {"boxes": 162}}
    (annotations,) = source.glob("sensor/val/*/annotations.feather")
    table = ipc.open_file(str(annotations)).read_all()
    monkeypatch.chdir(tmp_path / "out")
    for record in load_release(tmp_path / "out"):
        of_sweep = table["timestamp_ns"].to_numpy() == record["attributes"]["timestamp_ns"]
        declared = table["num_interior_pts"].to_numpy()[of_sweep]
        assert np.array_equal(points_in_boxes(record, "god_base"), declared)
        assert record["lidar"]["origin"] == [1.3485, 0.0023, 1.583]
        assert len(record["labels"]["drivable_2cls"]["polygons"]) == 10
