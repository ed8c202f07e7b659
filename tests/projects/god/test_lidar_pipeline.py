"""From a record on disk to what the network gets, step by step."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hand_made_sweeps import FIELDS, GROUND_Z_M, SMALL, at, floor, put, write_lidar_release, write_sweep

from admlops.data_release import validate_record
from admlops.datasets import ReleaseDataset
from admlops.datasets.transforms import LoadImage, LoadLabels
from admlops.errors import ConfigError, RecordError
from admlops.point_class import PointClass as P
from admlops.structures import MultiTaskDataSample
from admlops.task_spec import TASKS, resolve_task
from god.geometry import BevGrid
from god.transforms import (
    LoadBevEvidence,
    LoadPoints,
    PackBevInputs,
    RandomBevAffine,
    RandomIntensity,
    RandomPointDrop,
    RasterizeBevLabels,
    SanitizePoints,
)
from god.transforms.load_bev_evidence import find_in_boxes
from god.transforms.random_bev_affine import move_sweep

RENDERED = {"point_labels": "sweep.label", "taxonomy": "rendered"}


def make_results(folder, lidar, **labels):
    specs = {name: TASKS.get(name) or resolve_task({"name": name, "kind": "detection", "classes": ["car"]}) for name in labels}
    return {
        "sample_id": "s",
        "source": "one",
        "record_where": "index.jsonl:7",
        "base_dir": folder,
        "lidar": lidar,
        "task_specs": specs,
        "record_labels": labels,
        "rng": np.random.default_rng(0),
    }


def run(results, *transforms):
    for transform in transforms:
        results = transform(results)
    return results


def scene():
    """A floor of road with a box of instance 3 on it; (N, 4) points with intensity 0.5, (N,) labels as rendered."""
    rows = floor() + put(1.1, 1.1, 0.5, P.MOVABLE, 2)
    array = np.array(rows)
    points = np.column_stack([array[:, :3], np.full(len(rows), 0.5)]).astype(np.float32)
    labels = array[:, 3].astype(np.uint32)
    labels[-2:] |= 3 << 16
    return points, labels


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_points_are_read_and_z_is_about_the_sensor(tmp_path, dtype):
    points = np.array([[1, 2, 3, 128, 9], [4, 5, 6, 300, 9]])
    lidar = write_sweep(tmp_path, points, origin=(1.0, 0.5, 2.0), dtype=dtype, num_features=5, intensity_max=256)
    results = run(make_results(tmp_path, lidar), LoadPoints())
    cloud = results["cloud"]
    assert cloud.points_N4.dtype == np.float32
    assert cloud.points_N4.tolist() == [[1, 2, 1, 0.5], [4, 5, 4, 1.0]]
    assert cloud.origin_3.tolist() == [1.0, 0.5, 0.0]
    assert results["point_counts"] == {"read": 2}
    assert results["lidar_path"] == str(tmp_path / "sweep.bin")


def test_points_without_intensity_and_no_points_at_all(tmp_path):
    lidar = write_sweep(tmp_path, [[1, 2, 3]], num_features=3)
    assert run(make_results(tmp_path, lidar), LoadPoints())["cloud"].points_N4.tolist() == [[1, 2, 3, 0]]
    lidar = write_sweep(tmp_path, np.zeros((0, 4)))
    assert run(make_results(tmp_path, lidar), LoadPoints())["cloud"].points_N4.shape == (0, 4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"num_features": 7},
            r"sweep is no whole number of points.*index\.jsonl:7.*multiple of 28 bytes: 7 values of float32.*32 bytes",
        ),
        ({"dtype": "flot32"}, r"sweeps of 'flot32' cannot be read.*index\.jsonl:7.*did you mean 'float32'"),
        ({"dtype": "int8"}, r"sweeps of 'int8' cannot be read.*float16, float32, float64"),
        ({"path": "gone.bin"}, r"sweep cannot be read.*index\.jsonl:7.*gone\.bin"),
    ],
)
def test_sweeps_that_cannot_be_read_are_refused(tmp_path, changes, message):
    lidar = write_sweep(tmp_path, np.zeros((2, 4))) | changes
    with pytest.raises(RecordError, match=f"(?s){message}"):
        run(make_results(tmp_path, lidar), LoadPoints())


def test_a_record_without_the_sensor_is_refused(tmp_path):
    results = make_results(tmp_path, write_sweep(tmp_path, np.zeros((2, 4))), seg_default={"mask": "m.png"})
    for transform in (LoadImage(), LoadLabels()):
        with pytest.raises(RecordError, match=r"(?s)not a camera record.*index\.jsonl:7.*image \{path.*a record of lidar"):
            transform(results)
    results["image"] = results.pop("lidar")
    with pytest.raises(RecordError, match=r"(?s)not a lidar record.*index\.jsonl:7.*lidar \{path, dtype.*a record of image"):
        LoadPoints()(results)


def test_tasks_share_the_file_of_labels(tmp_path):
    points, labels = scene()
    lidar = write_sweep(tmp_path, points, labels)
    results = make_results(tmp_path, lidar, god_base=RENDERED, drivable_2cls=RENDERED, drivable_multi=RENDERED)
    results = run(results, LoadPoints(), LoadBevEvidence(), RasterizeBevLabels(FIELDS))
    assert len(results["cloud"].fields) == 2
    masks = {name: annotation.mask for name, annotation in results["labels"].items()}
    assert {name: (at(mask, 1.1, 1.1), at(mask, 2.1, 2.1)) for name, mask in masks.items()} == {
        "god_base": (1, 0),
        "drivable_2cls": (255, 1),
        "drivable_multi": (255, 0),
    }


@pytest.mark.parametrize(
    ("task", "label", "message"),
    [
        ("god_base", RENDERED | {"point_labels": "short.label"}, "match the sweep.*index.*1602 integers of 32.*7 integers"),
        ("god_base", RENDERED | {"taxonomy": "nuscenes_lidarseg"}, "do not match.*of 8 bits.*6408 integers"),
        ("god_base", RENDERED | {"taxonomy": "semantic_kitti"}, "label 6 has no meaning.*index.*sweep.label"),
        ("god_base", RENDERED | {"taxonomy": "renderd"}, "unknown taxonomy.*index.*'rendered'"),
        ("god_base", RENDERED | {"point_labels": "gone.label"}, "point labels cannot be read.*index.*gone.label"),
        ("god_base", {"polygons": [], "categories": []}, "god_base cannot be told.*index.*point_labels or boxes_3d"),
        ("drivable_2cls", {"boxes_3d": [], "categories": []}, "drivable_2cls cannot be told.*point_labels or polygons"),
        ("drivable_2cls", {"polygons": [[[0, 0], [1, 0], [0, 1]]], "categories": ["drivble"]}, "'drivble'.*did you mean"),
        ("drivable_multi", RENDERED, "does not tell road from parking.*index.*category_sets.*1 points that are either"),
    ],
)  # fmt: skip
def test_labels_that_do_not_fit_are_refused(tmp_path, task, label, message):
    points, labels = scene()
    labels[0] = P.DRIVEABLE if task == "drivable_multi" else labels[0]
    lidar = write_sweep(tmp_path, points, labels)
    labels[:7].tofile(tmp_path / "short.label")
    with pytest.raises(RecordError, match=f"(?s){message}"):
        run(make_results(tmp_path, lidar, **{task: label}), LoadPoints(), LoadBevEvidence())


def test_tasks_and_orders_that_do_not_fit_are_refused(tmp_path):
    points, labels = scene()
    lidar = write_sweep(tmp_path, points, labels)
    with pytest.raises(ConfigError, match=r"(?s)'det3d' is none of a grid.*free, obstacle.*a detection task: car"):
        run(make_results(tmp_path, lidar, det3d=RENDERED), LoadPoints(), LoadBevEvidence())
    for early in (SanitizePoints(), RandomBevAffine()):
        with pytest.raises(ConfigError, match="LoadBevEvidence comes after points were dropped or moved"):
            run(make_results(tmp_path, lidar, god_base=RENDERED), LoadPoints(), early, LoadBevEvidence())
    original = RasterizeBevLabels(FIELDS, frame="original")
    with pytest.raises(ConfigError, match="frame='original'"):
        run(make_results(tmp_path, lidar, god_base=RENDERED), LoadPoints(), LoadBevEvidence(), RandomBevAffine(), original)
    with pytest.raises(ConfigError, match=r"(?s)unknown frame.*did you mean 'original'"):
        RasterizeBevLabels(FIELDS, frame="origin")


def test_road_or_parking_is_the_record_s_set_and_unlabelled_classes_are_unknown(tmp_path):
    points, labels = scene()
    labels[:800], labels[800:900] = P.DRIVEABLE, P.TERRAIN
    lidar = write_sweep(tmp_path, points, labels)
    sets = {"other": ["terrain", "sidewalk"], "flat": ["parking", "road"]}
    label = RENDERED | {"category_sets": sets, "labelled_categories": ["road", "parking", "sidewalk"]}
    results = run(
        make_results(tmp_path, lidar, drivable_multi=label), LoadPoints(), LoadBevEvidence(), RasterizeBevLabels(FIELDS)
    )
    values, counts = np.unique(results["labels"]["drivable_multi"].mask, return_counts=True)
    assert dict(zip(values.tolist(), counts.tolist(), strict=True)) == {0: 699, 6: 800, 255: 101}  # terrain, and the box


def test_box_z_is_the_centre_and_yaw_turns_from_x_to_y():
    boxes = np.array([[10, 0, 1, 4, 2, 2, 0], [0, 10, 1, 4, 2, 2, np.pi / 2], [10, 0, 1, 1, 1, 1, 0]], dtype=np.float64)
    z_m = [-0.01, 0.01, 1.99, 2.01]
    column = np.array([[11.5, 0.5, z, 0] for z in z_m], dtype=np.float32)
    ignore = np.zeros(3, dtype=bool)
    assert find_in_boxes(column, boxes, ignore).tolist() == [0, 1, 1, 0]
    points = np.array(
        [[0.9, 11.9, 1, 0], [1.9, 10.9, 1, 0], [10, 0, 1, 0], [np.nan, 0, 1, 0], [np.inf, 0, 1, 0]], dtype=np.float32
    )
    assert find_in_boxes(points, boxes, ignore).tolist() == [2, 0, 3, 0, 0]
    assert find_in_boxes(points, boxes, ~ignore).tolist() == [-1, 0, -1, 0, 0]
    assert find_in_boxes(points, boxes, np.array([False, False, True])).tolist() == [2, 0, 1, 0, 0]


def test_boxes_of_a_record(tmp_path):
    points, _ = scene()
    points[:, 2] += 1.8  # recorded in a frame whose zero is 1.8 m below the sensor
    lidar = write_sweep(tmp_path, points, origin=(0, 0, 1.8))
    boxes = [[1.1, 1.1, 0.45, 0.6, 0.4, 0.5, 0.1], [-3.1, -3.1, 0.45, 0.6, 0.4, 1.0, 0.0]]
    label = {"boxes_3d": boxes, "categories": ["car", "bin"], "labelled_region": [[-4, 0], [4, 0], [4, 4], [-4, 4]]}
    validate_record({"sample_id": "s", "lidar": lidar, "labels": {"god_base": label}})
    steps = (LoadPoints(), LoadBevEvidence(), SanitizePoints(min_range_m=0), RasterizeBevLabels(FIELDS, "original"))
    annotation = run(make_results(tmp_path, lidar, god_base=label), *steps)["original_labels"]["god_base"]
    expected = np.zeros((40, 40))
    expected[:20] = 255  # outside of the region
    expected[25, 25] = 1
    assert np.array_equal(annotation.mask, expected)
    assert annotation.objects.ids.tolist() == [1]
    np.testing.assert_allclose(annotation.objects.size_m, [0.6])
    ignored = run(make_results(tmp_path, lidar, god_base=label | {"ignore": [True, False]}), *steps)["original_labels"]
    assert at(ignored["god_base"].mask, 1.1, 1.1) == 255


def test_polygons_of_a_record(tmp_path):
    lidar = write_sweep(tmp_path, scene()[0])
    label = {"polygons": [[[0, 0], [2, 0], [2, 2], [0, 2]]], "categories": ["drivable"]}
    steps = (LoadPoints(), LoadBevEvidence(), RasterizeBevLabels(FIELDS, "original"))
    mask = run(make_results(tmp_path, lidar, drivable_2cls=label), *steps)["original_labels"]["drivable_2cls"].mask
    assert (int((mask == 1).sum()), int((mask == 0).sum()), at(mask, 1.1, 1.1)) == (99, 1500, 255)
    positives = label | {"labelled_categories": ["drivable"]}
    mask = run(make_results(tmp_path, lidar, drivable_2cls=positives), *steps)["original_labels"]["drivable_2cls"].mask
    assert (int((mask == 1).sum()), int((mask == 0).sum())) == (99, 0)
    multi = {"polygons": label["polygons"], "categories": ["flat"], "category_sets": {"flat": ["road", "parking"]}}
    mask = run(make_results(tmp_path, lidar, drivable_multi=multi), *steps)["original_labels"]["drivable_multi"].mask
    assert (int((mask == 5).sum()), int((mask == 255).sum())) == (99, 1501)


def test_what_is_not_finite_or_on_the_vehicle_is_dropped_and_counted(tmp_path):
    points = np.zeros((8, 4), dtype=np.float32)
    points[:, 0] = [1.0, 3.0, 4, 5, 6, 7, 8, 1e30]
    points[1, 0], points[2, 2], points[3, 3] = np.nan, np.inf, np.nan
    lidar = write_sweep(tmp_path, points, np.arange(8), origin=(0.5, 0, 0))
    steps = (LoadPoints(), LoadBevEvidence(), SanitizePoints(min_range_m=2.0))
    results = run(make_results(tmp_path, lidar, god_base=RENDERED), *steps)
    assert results["point_counts"] == {"read": 8, "not_finite": 3, "ego": 1}
    assert results["cloud"].points_N4[:3, 0].tolist() == [6, 7, 8]
    assert results["cloud"].fields["class sweep.label rendered"].tolist() == [4, 5, 6, 7]
    assert results["cloud"].ego_radius_m == 2.0
    packed = PackBevInputs({})(results)
    assert packed["data_samples"].point_counts == {"read": 8, "not_finite": 3, "ego": 1, "out_of_range": 1}
    with pytest.raises(RecordError, match=r"(?s)too many points.*index\.jsonl:7.*at most 25%.*3 of 8 points of .*sweep\.bin"):
        run(make_results(tmp_path, lidar), LoadPoints(), SanitizePoints(max_not_finite=0.25))


def test_an_intensity_that_is_not_finite_is_not_clipped_to_one_that_is(tmp_path):
    points = np.full((6, 4), 9.0)
    points[:, 3] = [np.inf, 64.0, -np.inf, np.nan, 1e300, -1.0]
    lidar = write_sweep(tmp_path, points, np.arange(6), dtype="float64", intensity_max=256)
    results = run(make_results(tmp_path, lidar, god_base=RENDERED), LoadPoints(), LoadBevEvidence(), SanitizePoints())
    assert results["point_counts"] == {"read": 6, "not_finite": 3, "ego": 0}
    assert results["cloud"].points_N4[:, 3].tolist() == [0.25, 1.0, 0.0]
    assert results["cloud"].fields["class sweep.label rendered"].tolist() == [1, 4, 5]


def test_random_transforms_move_everything_together_and_repeat_themselves(tmp_path):
    points, labels = scene()
    lidar = write_sweep(tmp_path, points, labels, origin=(0.2, 0.1, 0))
    label = {"polygons": [[[0, 0], [2, 0], [2, 2]]], "categories": ["drivable"]}

    def moved(seed):
        results = make_results(tmp_path, lidar, drivable_2cls=label, god_base=RENDERED)
        results["rng"] = np.random.default_rng(seed)
        affine = RandomBevAffine(scale=(1.1, 1.2), translation=(1.0, 2.0, 0.5))
        return run(
            results, LoadPoints(), LoadBevEvidence(), SanitizePoints(1.0), affine, RandomIntensity(), RandomPointDrop(0.5)
        )

    clouds = {seed: moved(seed)["cloud"] for seed in (1, 2)}
    assert np.array_equal(moved(1)["cloud"].points_N4, clouds[1].points_N4)
    assert not np.array_equal(clouds[1].points_N4[:9], clouds[2].points_N4[:9])
    determinants = set()
    for seed in range(20):
        results = moved(seed)
        cloud, matrix = results["cloud"], results["bev_from_points"]
        scale = np.sqrt(abs(np.linalg.det(matrix)))
        determinants.add(np.sign(np.linalg.det(matrix)))
        assert 1.1 <= scale <= 1.2
        np.testing.assert_allclose(cloud.origin_3[:2], (matrix @ [0.2, 0.1, 1])[:2])
        np.testing.assert_allclose(cloud.polygons["drivable_2cls"][0][1], (matrix @ [2, 0, 1])[:2])
        np.testing.assert_allclose(cloud.ego_radius_m, scale)
        back = np.linalg.inv(matrix) @ np.column_stack([cloud.points_N4[:, :2], np.ones(len(cloud))]).T
        box = cloud.fields["class sweep.label rendered"] == P.MOVABLE
        np.testing.assert_allclose(back[:2, box].T, np.full((box.sum(), 2), 1.1), atol=1e-5)
        assert not box.any() or np.ptp(cloud.points_N4[:, 2]) == pytest.approx(0.5 * scale)
        assert 0.4 < len(cloud) / len(points) < 1
    assert determinants == {-1, 1}


def test_two_moves_compose(tmp_path):
    results = run(make_results(tmp_path, write_sweep(tmp_path, scene()[0])), LoadPoints())
    quarter = np.array([[0.0, -1, 0, 3], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    move_sweep(move_sweep(results, quarter), np.diag([2.0, 2.0, 2.0, 1.0]))
    assert results["bev_from_points"].tolist() == [[0, -2, 6], [2, 0, 0], [0, 0, 1]]


def test_intensity_is_scaled_or_erased(tmp_path):
    lidar = write_sweep(tmp_path, [[9, 0, 0, 0.5], [9, 0, 0, 0.9]])
    results = run(make_results(tmp_path, lidar), LoadPoints())
    brighter = RandomIntensity(erase_prob=0, gain=(1.5, 1.5))(dict(results))["cloud"].points_N4
    assert brighter[:, 3].tolist() == [0.75, 1.0]
    assert RandomIntensity(erase_prob=1)(dict(results))["cloud"].points_N4[:, 3].tolist() == [0, 0]
    assert results["cloud"].points_N4[:, 3].tolist() == [np.float32(0.5), np.float32(0.9)]


@pytest.mark.parametrize("num_points", [0, 1, 2_000_000])
def test_sweeps_of_any_size(tmp_path, num_points):
    rng = np.random.default_rng(0)
    points = rng.uniform((-60, -60, -6, 0), (60, 60, 6, 1), (num_points, 4)).astype(np.float32)
    points[::1000, rng.integers(4)] = np.nan if num_points > 1 else 0.5
    points[5::1000] = np.inf
    lidar = write_sweep(tmp_path, points, rng.integers(0, 10, num_points))
    flat = RENDERED | {"category_sets": {"flat": ["road", "parking"]}}
    results = make_results(tmp_path, lidar, god_base=RENDERED, drivable_2cls=RENDERED, drivable_multi=flat)
    steps = (LoadPoints(), LoadBevEvidence(), SanitizePoints(), RandomBevAffine(), RandomIntensity(), RandomPointDrop())
    packed = run(results, *steps, RasterizeBevLabels({}), PackBevInputs({}))
    sample, inputs = packed["data_samples"], packed["inputs"]
    counts = sample.point_counts
    assert (counts["read"], counts["not_finite"]) == (num_points, 2 * (num_points // 1000))
    assert torch.isfinite(inputs["points"]).all()
    assert inputs["points"].shape == (len(inputs["cell"]), 4)
    assert num_points == len(inputs["points"]) + counts["not_finite"] + counts["ego"] + counts["thinned"]
    assert int((inputs["cell"] == BevGrid().num_cells).sum()) == counts["out_of_range"]
    assert bool((sample.gt.god_base.sem_seg.data == 1).any()) == (num_points > 1)


def test_packed_samples(tmp_path):
    points, labels = scene()
    results = make_results(tmp_path, write_sweep(tmp_path, points, labels), god_base=RENDERED, drivable_2cls=RENDERED)
    results = run(results, LoadPoints(), LoadBevEvidence(), SanitizePoints(0.5))
    train = run(dict(results), RasterizeBevLabels(SMALL), PackBevInputs(FIELDS))
    sample = train["data_samples"]
    assert isinstance(sample, MultiTaskDataSample)
    assert "gt_original" not in sample
    assert (train["inputs"]["points"].dtype, train["inputs"]["cell"].dtype) == (torch.float32, torch.int64)
    assert train["inputs"]["cell"][-1] == 25 * 40 + 25
    assert (sample.ori_shape, sample.img_shape) == ((40, 40), (40, 40))
    assert np.array_equal(sample.input_from_original, np.eye(3))
    assert sample.metainfo.keys() == {
        "sample_id", "source", "lidar", "lidar_path", "grid", "ori_shape", "img_shape", "input_from_original", "origin",
        "point_counts", "bev_from_points",
    }  # fmt: skip
    gt = sample.gt.god_base
    assert (gt.sem_seg.data.shape, gt.sem_seg.data.dtype) == ((1, 40, 40), torch.uint8)
    assert (gt.sem_seg.weight.dtype, float(gt.sem_seg.weight.max())) == (torch.float32, 10.0)
    assert gt.class_labelled.tolist() == [True, True]
    assert "weight" not in sample.gt.drivable_2cls.sem_seg
    test = run(dict(results), RasterizeBevLabels(SMALL, frame="original"), PackBevInputs(FIELDS))["data_samples"]
    assert "gt" not in test
    gt = test.gt_original.god_base
    assert (gt.sem_seg.object_id.shape, gt.sem_seg.object_id.dtype) == ((1, 40, 40), torch.int32)
    assert (gt.objects.ids.tolist(), gt.objects.size_m.tolist()) == ([1], [0.5])
    assert (gt.objects.ids.dtype, gt.objects.size_m.dtype, gt.objects.distance_m.dtype) == (torch.int32, *[torch.float32] * 2)
    assert "weight" not in gt.sem_seg


@pytest.mark.parametrize("cell_m", [0.2, 0.05])
def test_one_metre_of_a_wall_weighs_as_five_cells_of_20_cm(tmp_path, cell_m):
    array = np.array(floor() + [put(1.01, y, 0.5, P.STATIC)[0] for y in np.arange(0.025, 1.0, 0.05)])
    points = np.column_stack([array[:, :3], np.zeros(len(array))]).astype(np.float32)
    results = make_results(tmp_path, write_sweep(tmp_path, points, array[:, 3]), god_base=RENDERED)
    num = round(8 / cell_m)
    rasterize = RasterizeBevLabels(FIELDS | {"cell_m": cell_m, "rows": num, "cols": num})
    label = run(results, LoadPoints(), LoadBevEvidence(), SanitizePoints(0.5), rasterize)["labels"]["god_base"]
    assert int((label.mask == 1).sum()) == round(1 / cell_m)
    assert np.unique(label.weight[label.mask == 1]).tolist() == [4.0]


def test_a_release_of_sweeps(tmp_path):
    points, labels = scene()
    lidar = write_sweep(tmp_path, points, labels)
    record = {"sample_id": "s", "lidar": lidar, "labels": {"god_base": RENDERED, "drivable_2cls": RENDERED}}
    steps = [LoadPoints, LoadBevEvidence, SanitizePoints, RandomBevAffine, RandomIntensity, RandomPointDrop]
    pipeline = [{"type": step} for step in steps] + [
        {"type": step, "grid": FIELDS} for step in (RasterizeBevLabels, PackBevInputs)
    ]
    root = write_lidar_release(tmp_path, record)
    dataset = ReleaseDataset({"root": str(root)}, ["god_base"], pipeline, seed=3)
    first, again = dataset[0], dataset[0]
    assert torch.equal(first["inputs"]["points"], again["inputs"]["points"])
    assert torch.equal(first["data_samples"].gt.god_base.sem_seg.data, again["data_samples"].gt.god_base.sem_seg.data)
    assert "drivable_2cls" not in first["data_samples"].gt


REAL = os.environ.get("ADMLOPS_REAL_DATA")


@pytest.mark.skipif(REAL is None, reason="ADMLOPS_REAL_DATA names no folder of real frames")
def test_ground_of_a_real_frame_is_free_around_its_car(tmp_path):
    folder = Path(REAL) / "kitti" / "training"
    lidar = {"path": "velodyne/000002.bin", "dtype": "float32", "num_features": 4, "origin": [0.0, 0.0, 0.0]}
    # label_2/000002.txt, Car, through calib/000002.txt
    label = {"boxes_3d": [[34.68, -3.15, -1.31, 4.36, 1.58, 1.41, -0.01]], "categories": ["car"]}
    steps = (LoadPoints(), LoadBevEvidence(), SanitizePoints(), RasterizeBevLabels({}, "original"))
    results = run(make_results(folder, lidar, god_base=label), *steps)
    mask = results["original_labels"]["god_base"].mask
    row, col = np.nonzero(mask == 1)
    x_m, y_m = BevGrid().centres_m()
    assert 10 < len(row) < 200
    assert (abs(x_m[col] - 34.68) < 2.4).all()
    assert (abs(y_m[row] + 3.15) < 1.0).all()
    assert GROUND_Z_M - 0.3 < np.median(results["cloud"].points_N4[:, 2]) < 0
    assert int((mask == 0).sum()) > 3000
