"""The rendered lidar release: same bytes always, records that pass, labels that agree with the points."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from admlops.data_release import JsonlIndex, open_release
from admlops.errors import ConfigError
from admlops.point_class import PointClass
from admlops.synthetic.lidar.domain import TRAIN
from admlops.synthetic.lidar.lidar_sample import render_lidar_sample
from admlops.synthetic.lidar.lidar_sources import TRAIN_SOURCES, VAL_SOURCES, make_lidar_labels
from admlops.synthetic.lidar.point_labels import DRIVABLE, INSTANCE_SHIFT
from admlops.synthetic.lidar.scene import sample_scene
from admlops.task_spec import LIDAR_TASKS

SIZE = {"num_train": 16, "num_val": 4}


def read_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out_dir = tmp_path_factory.mktemp("render") / "lidar_sample"
    assert render_lidar_sample(out_dir, num_workers=1, **SIZE).is_new
    return out_dir


def records_of(release: Path, source: str) -> list[dict]:
    split = "val" if source.startswith("val") else "train"
    return [json.loads(line) for line in (release / split / source / "index.jsonl").read_text().splitlines()]


def read_points(release: Path, source: str, record: dict) -> np.ndarray:
    split = "val" if source.startswith("val") else "train"
    lidar = record["lidar"]
    return np.fromfile(release / split / source / lidar["path"], lidar["dtype"]).reshape(-1, lidar["num_features"])


def read_labels(release: Path, source: str, label: dict) -> np.ndarray:
    split = "val" if source.startswith("val") else "train"
    return np.fromfile(release / split / source / label["point_labels"], np.uint32)


def test_bytes_do_not_depend_on_the_number_of_workers(release: Path, tmp_path: Path) -> None:
    tiny = {"num_train": 5, "num_val": 1}
    render_lidar_sample(tmp_path / "one", num_workers=1, **tiny)
    render_lidar_sample(tmp_path / "two", num_workers=2, **tiny)
    one, two = read_files(tmp_path / "one"), read_files(tmp_path / "two")
    assert one.keys() == two.keys()
    assert [name for name in one if one[name] != two[name]] == []


def test_a_finished_release_is_kept_and_another_seed_renders_anew(tmp_path: Path) -> None:
    tiny = {"num_train": 5, "num_val": 1, "num_workers": 1}
    first = render_lidar_sample(tmp_path / "sample", **tiny)
    points = (tmp_path / "sample" / "train" / "joint" / "points" / "0000.bin").read_bytes()
    again = render_lidar_sample(tmp_path / "sample", **tiny)
    assert (first.is_new, again.is_new) == (True, False)
    assert again.points == first.points
    assert render_lidar_sample(tmp_path / "sample", seed=1, **tiny).is_new
    assert (tmp_path / "sample" / "train" / "joint" / "points" / "0000.bin").read_bytes() != points


def test_a_class_of_another_number_renders_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = {"num_train": 5, "num_val": 1, "num_workers": 1}
    render_lidar_sample(tmp_path / "sample", **tiny)
    read_bytes = Path.read_bytes
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda path: read_bytes(path).replace(b"    MOVABLE = 6\n", b"    MOVABLE = 66\n"))
        assert render_lidar_sample(tmp_path / "sample", **tiny).is_new
    assert render_lidar_sample(tmp_path / "sample", **tiny).is_new


def test_the_release_reads_as_any_other(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMLOPS_CACHE", str(tmp_path))
    for split, total in (("train", SIZE["num_train"]), ("val", SIZE["num_val"])):
        selected = open_release(root=release / split).select(list(LIDAR_TASKS))
        indexes = [JsonlIndex(entry.index_path) for entry in selected]
        assert sum(len(index) for index in indexes) == total
        # Reading a record checks its shape.
        assert all(index[i]["lidar"]["num_features"] == 4 for index in indexes for i in range(len(index)))


@pytest.mark.parametrize("source", [*TRAIN_SOURCES, *VAL_SOURCES], ids=lambda source: source.name)
def test_each_source_labels_the_tasks_that_it_is_released_for(release: Path, source) -> None:
    split = "val" if source.name.startswith("val") else "train"
    entries = json.loads((release / split / "training_dataset.json").read_text())
    assert entries["meta"]["tasks"] == ["god_base", "god_hd", "drivable_2cls", "drivable_multi"]
    (entry,) = [entry for entry in entries["dataset_index"] if entry["name"] == source.name]
    records = records_of(release, source.name)
    assert entry["integrity"]["num_samples"] == len(records)
    for record in records:
        assert tuple(record["labels"]) == tuple(entry["task_tags"]) == source.tasks
        points = read_points(release, source.name, record)
        assert len(points) > 20_000
        for label in record["labels"].values():
            if "point_labels" in label:
                assert label["taxonomy"] == "rendered"
                assert len(read_labels(release, source.name, label)) == len(points)


def test_every_value_of_the_taxonomy_occurs(release: Path) -> None:
    values: set[int] = set()
    for source in (*TRAIN_SOURCES, *VAL_SOURCES):
        for record in records_of(release, source.name):
            for label in record["labels"].values():
                if "point_labels" in label:
                    values |= set(np.unique(read_labels(release, source.name, label) & 0xFFFF).tolist())
    assert values == set(PointClass)


def test_the_coarse_source_cannot_tell_road_from_parking(release: Path) -> None:
    for record in records_of(release, "coarse"):
        label = record["labels"]["drivable_multi"]
        assert label["category_sets"] == {"driveable_surface": ["road", "parking"]}
        classes = set(np.unique(read_labels(release, "coarse", label) & 0xFFFF))
        assert PointClass.DRIVEABLE in classes
        assert not classes & set(DRIVABLE)


def test_boxes_hold_points_and_polygons_lie_on_the_road(release: Path) -> None:
    for record in records_of(release, "god_boxes"):
        points = read_points(release, "god_boxes", record)[:, :3]
        boxes = record["labels"]["god_base"]["boxes_3d"]
        assert record["labels"]["god_base"]["categories"] == ["obstacle"] * len(boxes)
        assert len(boxes) > 3
        for x, y, z, *size_m, yaw in boxes:
            away_m = points - (x, y, z)
            along_m = away_m[:, 0] * np.cos(yaw) + away_m[:, 1] * np.sin(yaw)
            across_m = away_m[:, 1] * np.cos(yaw) - away_m[:, 0] * np.sin(yaw)
            # z is the centre's: within half the height up and down.
            inside = np.abs(np.stack([along_m, across_m, away_m[:, 2]], 1)) < np.array(size_m) / 2 + 0.15
            assert inside.all(axis=1).any()
        polygons = [np.float32(corners) for corners in record["labels"]["drivable_2cls"]["polygons"]]
        assert record["labels"]["drivable_2cls"]["categories"] == ["drivable"] * len(polygons)
        # The sensor's own place is on the road, and the ground below it near z = 0 of the vehicle's frame.
        origin = record["lidar"]["origin"]
        assert any(cv2.pointPolygonTest(corners, (origin[0], origin[1]), False) > 0 for corners in polygons)
        around = points[np.hypot(points[:, 0] - origin[0], points[:, 1] - origin[1]) < 6, 2]
        assert np.median(around) == pytest.approx(0, abs=0.35)
        assert 1.5 <= origin[2] <= 2.1


def test_polygons_agree_with_labelled_points(release: Path) -> None:
    (source,) = [source for source in TRAIN_SOURCES if source.has_boxes]
    for seed in range(6):
        rng = np.random.default_rng([2, seed])
        scene = sample_scene(TRAIN, seed, rng)
        sweep = scene.sweep(rng)
        label = make_lidar_labels(source, scene, sweep, "")["drivable_2cls"]
        classes = sweep.labels_N & 0xFFFF
        near = (classes >= PointClass.ROAD) & (classes <= PointClass.TERRAIN)
        near &= np.hypot(*sweep.points_N4[:, :2].T) < 40
        xy_m = sweep.points_N4[near, :2] + np.float32([1.35, 0])
        mask = np.zeros((1000, 1000), np.uint8)
        for corners in label["polygons"]:
            cv2.fillPoly(mask, [np.round((np.float32(corners) + 50) * 10).astype(np.int32)], 1)
        cell = ((xy_m + 50) * 10).astype(int)
        assert np.mean(mask[cell[:, 1], cell[:, 0]] == np.isin(classes[near], DRIVABLE)) > 0.97


def test_instances_reach_the_files(release: Path) -> None:
    for record in records_of(release, "val_full"):
        labels = read_labels(release, "val_full", record["labels"]["god_base"])
        instances = labels[labels >> INSTANCE_SHIFT > 0]
        assert len(np.unique(instances >> INSTANCE_SHIFT)) > 5
        assert set(instances & 0xFFFF) <= {PointClass.MOVABLE, PointClass.STATIC}


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds something else"):
        render_lidar_sample(tmp_path, num_train=5, num_val=1)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_numbers_out_of_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be rendered"):
        render_lidar_sample(tmp_path / "sample", num_train=3)
