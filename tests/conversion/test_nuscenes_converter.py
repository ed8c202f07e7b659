from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from conversion_helpers import load_release, points_in_boxes
from scipy.spatial.transform import Rotation
from source_images import write_png

from admlops.conversion import NuScenesConverter, convert_source
from admlops.errors import ConversionError

NO_TURN = [1.0, 0.0, 0.0, 0.0]
LEFT = [np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)]  # a quarter of a turn about z
TASKS = ["god_base", "god_hd", "drivable_2cls", "drivable_multi"]


def tables() -> dict[str, list[dict]]:
    """Scene A with one key frame and a sweep between key frames, scene B with one key frame and no camera.

    The vehicle stands at (100, 200, 0) and looks along the city's y; its lidar 2 m above looks along the vehicle's y, so
    that the lidar's x is the city's -x. The car is 10 m ahead of the vehicle and stands across: it looks along the city's x.
    """
    car = {"token": "box", "sample_token": "s1", "instance_token": "i1", "translation": [100, 210, 1.0], "size": [2, 4, 1.5]}
    return {
        "scene": [{"token": "sceneA", "name": "scene-0001"}, {"token": "sceneB", "name": "scene-0002"}],
        "sample": [{"token": "s2", "scene_token": "sceneB"}, {"token": "s1", "scene_token": "sceneA"}],
        "sensor": [{"token": "lid", "channel": "LIDAR_TOP"}, {"token": "cam", "channel": "CAM_FRONT"}],
        "calibrated_sensor": [
            {"token": "c-lid", "sensor_token": "lid", "rotation": LEFT, "translation": [0, 0, 2.0]},
            {"token": "c-cam", "sensor_token": "cam", "rotation": NO_TURN, "translation": [0, 0, 0]},
        ],
        "ego_pose": [
            {"token": "p1", "rotation": LEFT, "translation": [100, 200, 0]},
            {"token": "p2", "rotation": NO_TURN, "translation": [0, 0, 0]},
        ],
        "sample_data": [
            sample_data("d1", "s1", "c-lid", "p1", "samples/LIDAR_TOP/a.pcd.bin", 1_000_000),
            sample_data("d2", "s1", "c-lid", "p2", "sweeps/LIDAR_TOP/b.pcd.bin", 1_050_000, key=False),
            sample_data("d3", "s1", "c-cam", "p2", "samples/CAM_FRONT/a.jpg", 1_000_001),
            sample_data("d4", "s2", "c-lid", "p2", "samples/LIDAR_TOP/c.pcd.bin", 9_000_000),
        ],
        "category": [{"token": "car", "name": "vehicle.car"}],
        "instance": [{"token": "i1", "category_token": "car"}],
        "sample_annotation": [{**car, "rotation": NO_TURN}],
    }


def sample_data(token, sample, calibration, pose, filename, timestamp, key=True) -> dict:
    return {
        "token": token,
        "sample_token": sample,
        "calibrated_sensor_token": calibration,
        "ego_pose_token": pose,
        "filename": filename,
        "timestamp": timestamp,
        "is_key_frame": key,
    }


def write_tables(root: Path, content: dict[str, list[dict]], version: str = "v1.0-mini") -> None:
    (root / version).mkdir(exist_ok=True)
    for name, rows in content.items():
        (root / version / f"{name}.json").write_text(json.dumps(rows))


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "nuscenes"
    for name in ("a", "c"):
        path = root / f"samples/LIDAR_TOP/{name}.pcd.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.arange(15, dtype="<f4").tofile(path)
    write_png(root / "samples/CAM_FRONT/a.jpg", np.zeros((9, 16, 3), np.uint8))
    write_tables(root, tables())
    return root


def convert(root: Path, out: Path, **options) -> dict:
    return convert_source(NuScenesConverter(root, **({"split": "v1.0-mini"} | options)), out, num_workers=1)


def test_boxes_of_the_tables(root, tmp_path):
    report = convert(root, tmp_path / "out")
    first, second = load_release(tmp_path / "out")
    # 10 m ahead of the vehicle is 10 m along the city's y, which is the lidar's -y. The car looks along the lidar's -x.
    boxes = {"boxes_3d": [[0.0, -10.0, -1.0, 4.0, 2.0, 1.5, -3.1416]], "categories": ["obstacle"]}
    box = first["labels"]["god_base"]["boxes_3d"][0]
    box[6] = -abs(box[6])  # half a turn has two signs
    assert first == {
        "sample_id": "a",
        "image": {"path": str(root / "samples/CAM_FRONT/a.jpg"), "width": 16, "height": 9},
        "lidar": {
            "path": str(root / "samples/LIDAR_TOP/a.pcd.bin"),
            "dtype": "float32",
            "num_features": 5,
            "origin": [0.0, 0.0, 0.0],
            "intensity_max": 255,
        },
        "labels": {"god_base": boxes, "god_hd": first["labels"]["god_hd"]},
        "attributes": {
            "source": "nuscenes",
            "split": "v1.0-mini",
            "scene": "scene-0001",
            "timestamp_ns": 1_000_000_000,
            "token": "s1",
        },
    }
    assert "image" not in second
    assert second["labels"]["god_base"] == {"boxes_3d": [], "categories": []}  # nothing is there
    assert report["source_categories"] == {"vehicle.car": 1}
    assert report["lidar"] == {"points": 6, "sweeps": 2}


def test_lidarseg_labels_all_four_tasks(root, tmp_path):
    folder = root / "lidarseg/v1.0-mini"
    folder.mkdir(parents=True)
    labels = folder / "d1_lidarseg.bin"
    np.array([24, 17, 24], np.uint8).tofile(labels)
    write_tables(root, {"lidarseg": [{"sample_data_token": "d1", "filename": "lidarseg/v1.0-mini/d1_lidarseg.bin"}]})
    report = convert(root, tmp_path / "out")
    first, second = load_release(tmp_path / "out")
    label = {"point_labels": str(labels), "taxonomy": "nuscenes_lidarseg"}
    driveable = {"category_sets": {"driveable_surface": ["road", "parking"]}}
    assert first["labels"] == dict.fromkeys(TASKS, label) | {"drivable_multi": label | driveable}
    assert set(second["labels"]) == {"god_base", "god_hd"}
    assert report["source_categories"] == {"flat.driveable_surface": 2, "vehicle.car": 1}
    np.array([24, 17], np.uint8).tofile(labels)
    with pytest.raises(ConversionError, match=r"the labels do not fit the sweep(.|\n)*3 bytes(.|\n)*2 bytes"):
        convert(root, tmp_path / "out2")
    np.array([24, 32, 32], np.uint8).tofile(labels)
    with pytest.raises(ConversionError, match=r"a class that nuScenes-lidarseg does not have(.|\n)*32 on 2 points"):
        convert(root, tmp_path / "out2")


def test_chosen_scenes_and_the_test_split(root, tmp_path):
    convert(root, tmp_path / "out", scenes=("scene-0002",))
    (record,) = load_release(tmp_path / "out")
    assert record["sample_id"] == "c"
    with pytest.raises(ConversionError, match=r"no scene 'scene-0003'(.|\n)*2 scenes(.|\n)*did you mean"):
        convert(root, tmp_path / "out2", scenes=("scene-0003",))
    (root / "v1.0-mini").rename(root / "v1.0-test")
    report = convert(root, tmp_path / "out3", split="v1.0-test")
    assert [record["labels"] for record in load_release(tmp_path / "out3")] == [{}, {}]
    assert report["refused"] == {"sweep without labels: every task unknown": 2}


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("sample_data", lambda rows: rows[0].pop("filename"), r"a malformed row in a nuScenes table(.|\n)*row 0"),
        ("sample_data", lambda rows: rows[0].update(ego_pose_token="gone"), r"a row of a nuScenes table(.|\n)*ego_pose.json"),
        ("sample", lambda rows: rows[0].update(scene_token="gone"), r"a row of a nuScenes table is missing(.|\n)*scene.json"),
        ("ego_pose", lambda rows: rows[0].update(rotation=[2, 0, 0, 0]), r"not a pose(.|\n)*sample.json \(s1\)"),
        ("sample_annotation", lambda rows: rows[0].update(size=[1, "2", 3]), r"a malformed box(.|\n)*token box"),
        ("sample_annotation", lambda rows: rows[0].update(size=[1, 2]), r"a malformed box(.|\n)*token box(.|\n)*3 \+ 3 \+ 4"),
    ],
)
def test_broken_tables_are_named(root, tmp_path, name, change, match):
    rows = tables()[name]
    change(rows)
    write_tables(root, {name: rows})
    with pytest.raises(ConversionError, match=match):
        convert(root, tmp_path / "out")


def test_truncated_and_missing_files_are_named(root, tmp_path):
    sweep = root / "samples/LIDAR_TOP/a.pcd.bin"
    sweep.write_bytes(sweep.read_bytes()[:-4])
    with pytest.raises(
        ConversionError, match=r"the lidar sweep is truncated(.|\n)*20 bytes \(x, y, z, intensity, ring"
    ) as error:
        convert(root, tmp_path / "out")
    assert error.value.where == sweep
    sweep.unlink()
    with pytest.raises(ConversionError, match="a source file is missing: the lidar of frame 'a'"):
        convert(root, tmp_path / "out")
    (root / "v1.0-mini/category.json").unlink()
    with pytest.raises(ConversionError, match="an annotation file is missing"):
        convert(root, tmp_path / "out")
    with pytest.raises(ConversionError, match=r"a folder of nuScenes' layout is missing(.|\n)*--infos"):
        convert(root, tmp_path / "out", split="v1.0-trainval")


INFOS = {
    "metainfo": {"categories": {"car": 0}},
    "data_list": [
        {
            "timestamp": 1.5,
            "lidar_points": {"lidar_path": "a.pcd.bin", "num_pts_feats": 5},
            "images": {"CAM_FRONT": {"img_path": "samples/CAM_FRONT/a.jpg"}},
            "instances": [
                {"bbox_3d": [1, 2, 3, 4, 2, 1.5, 0.1], "bbox_label_3d": 0, "velocity": [float("nan"), 0.0]},
                {"bbox_3d": [5, 2, 3, 1, 1, 1, 0.0], "bbox_label_3d": -1},
            ],
        }
    ],
}


def test_infos_of_mmdet3d(root, tmp_path):
    (root / "infos.json").write_text(json.dumps(INFOS))
    report = convert(root, tmp_path / "out", infos=Path("infos.json"))
    (record,) = load_release(tmp_path / "out")
    assert record["labels"]["god_hd"]["boxes_3d"] == [[1.0, 2.0, 3.0, 4.0, 2.0, 1.5, 0.1], [5.0, 2.0, 3.0, 1.0, 1.0, 1.0, 0.0]]
    assert record["lidar"]["path"] == str(root / "samples/LIDAR_TOP/a.pcd.bin")
    assert record["image"]["width"] == 16
    assert record["attributes"]["timestamp_ns"] == 1_500_000_000
    assert report["source_categories"] == {"car": 1, "other": 1}


def test_infos_without_instances_are_no_true_negatives(root, tmp_path):
    (frame,) = INFOS["data_list"]
    nobody_looked = {key: frame[key] for key in ("timestamp", "lidar_points")}
    nothing_is_there = nobody_looked | {"lidar_points": {"lidar_path": "c.pcd.bin"}, "instances": []}
    (root / "infos.json").write_text(json.dumps(INFOS | {"data_list": [nobody_looked, nothing_is_there]}))
    report = convert(root, tmp_path / "out", infos=Path("infos.json"))
    assert {record["sample_id"]: record["labels"] for record in load_release(tmp_path / "out")} == {
        "a": {},
        "c": dict.fromkeys(["god_base", "god_hd"], {"boxes_3d": [], "categories": []}),
    }
    assert report["refused"] == {"sweep without labels: every task unknown": 1}
    assert report["unknown_records"]["god_base"] == {"*": 1}
    # lidarseg labels a frame without instances.
    np.array([24, 17, 24], np.uint8).tofile(root / "labels.bin")
    (root / "infos.json").write_text(
        json.dumps(INFOS | {"data_list": [nobody_looked | {"pts_semantic_mask_path": "labels.bin"}]})
    )
    report = convert(root, tmp_path / "out2", infos=Path("infos.json"))
    (record,) = load_release(tmp_path / "out2")
    assert list(record["labels"]) == TASKS
    assert report["refused"] == {}


def test_broken_infos_are_named(root, tmp_path):
    def fails(content: str, match: str, name: str = "infos.json", **options) -> None:
        (root / name).write_text(content)
        with pytest.raises(ConversionError, match=match):
            convert(root, tmp_path / "out", infos=Path(name), **options)

    fails(json.dumps(INFOS)[:-3], "infos are missing, truncated or malformed")
    fails('{"metainfo": {}}', r"infos are missing, truncated or malformed(.|\n)*KeyError: 'data_list'")
    fails('{"metainfo": {}, "data_list": [{"timestamp": 1}]}', r"a malformed frame(.|\n)*data_list\[0\](.|\n)*lidar_points")
    fails("", r"a pickle may run anything(.|\n)*json.dump", name="infos.pkl")
    fails("{}", "--scenes or --infos, not both", scenes=("scene-0001",))


REAL_DATA = pytest.mark.skipif(not os.environ.get("ADMLOPS_REAL_DATA"), reason="ADMLOPS_REAL_DATA is not set")
REAL_INFOS = "n015-2018-07-24-11-22-45+0800.json"


@REAL_DATA
def test_real_key_frame(tmp_path):
    source = Path(os.environ["ADMLOPS_REAL_DATA"]) / "nuscenes_keyframe"
    report = convert(source, tmp_path / "out", infos=Path(REAL_INFOS))
    assert report["lidar"] == {"points": 34_688, "sweeps": 1}
    assert report["image_sizes"] == {"1600x900": 1}
    (record,) = load_release(tmp_path / "out")
    instances = json.loads((source / REAL_INFOS).read_text())["data_list"][0]["instances"]
    declared = np.array([item["num_lidar_pts"] for item in instances])
    inside = points_in_boxes(record, "god_base")
    # The declared ones were counted in tilted boxes of the global frame; the most that one box differs by is a bus's 16.
    assert (inside.sum(), declared.sum()) == (994, 1009)
    assert abs(inside - declared).sum() == 29
    for box in record["labels"]["god_base"]["boxes_3d"]:
        box[2] += box[5] / 2  # as if z were the bottom
    assert points_in_boxes(record, "god_base").sum() == 484


@REAL_DATA
def test_tables_give_the_boxes_of_the_infos(tmp_path):
    """The real key frame written as native tables, moved to the global frame by 4x4 matrices."""
    source = Path(os.environ["ADMLOPS_REAL_DATA"]) / "nuscenes_keyframe"
    (info,) = json.loads((source / REAL_INFOS).read_text())["data_list"]
    ego_from_lidar, global_from_ego = np.array(info["lidar_points"]["lidar2ego"]), np.array(info["ego2global"])

    def pose(matrix: np.ndarray) -> dict:
        x, y, z, w = Rotation.from_matrix(matrix[:3, :3]).as_quat()
        return {"rotation": [w, x, y, z], "translation": matrix[:3, 3].tolist()}

    annotations = []
    for number, item in enumerate(info["instances"]):
        x, y, z, length, width, height, yaw = item["bbox_3d"]
        in_lidar = np.eye(4)
        in_lidar[:3, :3], in_lidar[:3, 3] = Rotation.from_euler("z", yaw).as_matrix(), (x, y, z)
        row = {"token": str(number), "sample_token": "s1", "instance_token": "i1", "size": [width, length, height]}
        annotations.append(row | pose(global_from_ego @ ego_from_lidar @ in_lidar))
    content = tables() | {"sample_annotation": annotations, "sample": tables()["sample"][1:]}
    content["calibrated_sensor"][0] |= pose(ego_from_lidar)
    content["ego_pose"][0] |= pose(global_from_ego)
    root = tmp_path / "nuscenes"
    (root / "samples/LIDAR_TOP").mkdir(parents=True)
    (root / "samples/LIDAR_TOP/a.pcd.bin").write_bytes((source / info["lidar_points"]["lidar_path"]).read_bytes())
    write_png(root / "samples/CAM_FRONT/a.jpg", np.zeros((9, 16, 3), np.uint8))
    write_tables(root, content)
    convert(root, tmp_path / "out")
    (record,) = load_release(tmp_path / "out")
    expected = np.array([item["bbox_3d"] for item in info["instances"]])
    assert np.abs(np.array(record["labels"]["god_base"]["boxes_3d"]) - expected).max() < 1e-3
