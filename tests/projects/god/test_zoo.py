"""Models of mmdet3d's zoo on records: what they are given, what is refused, what is measured, and that one learns."""

import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest
import shapely.affinity
import torch
from mmcv.ops import DynamicScatter
from mmdet3d.registry import MODELS
from mmdet3d.structures import LiDARInstance3DBoxes
from mmengine.dataset import pseudo_collate
from torch import nn

from admlops.datasets import ReleaseDataset
from admlops.engine.browse import browse
from admlops.engine.config import load_config
from admlops.engine.rungs import read_exportable
from admlops.engine.test import run_test
from admlops.engine.train import train
from admlops.errors import ConfigError, MachineError, RecordError
from admlops.registry import DATASETS
from god.transforms import LoadPoints, SanitizePoints
from god.zoo import BevBoxMetric, OperatorHook, ToMmdet3d

ROOT = Path(__file__).resolve().parents[3]
CONFIG = "projects/god/configs/zoo_pointpillars.py"
CLASSES = ("pedestrian", "cyclist", "car")
DET3D = {"name": "det3d", "kind": "detection", "classes": CLASSES}
RANGE_M = (0.0, -5.12, -3.0, 10.24, 5.12, 1.0)
CAR = [6.0, 1.0, -0.9, 3.9, 1.6, 1.5, 0.4]
VAN = [3.0, -3.5, -0.9, 3.9, 1.6, 1.5, 0.0]


def points_of(box, step_m=0.2):
    """Points on the sides of a box."""
    x, y, z, length, width, height, yaw = box
    along, across, up = np.meshgrid(
        np.arange(-length / 2, length / 2, step_m) + 0.01, [-width / 2 + 0.01, width / 2 - 0.01],
        np.arange(-height / 2, height / 2, step_m) + 0.01, indexing="ij",
    )  # fmt: skip
    along, across, up = (values.ravel() for values in (along, across, up))
    return np.stack(
        [x + along * np.cos(yaw) - across * np.sin(yaw), y + along * np.sin(yaw) + across * np.cos(yaw), z + up,
         np.full(len(up), 0.5)], axis=1,
    )  # fmt: skip


def ground_points():
    x, y = np.meshgrid(np.arange(0.1, 10.2, 0.25), np.arange(-5.0, 5.1, 0.25))
    return np.stack([x.ravel(), y.ravel(), np.full(x.size, -1.7), np.zeros(x.size)], axis=1)


@pytest.fixture
def release(tmp_path):
    """Write a release of one sweep, with these labels; ``origin_z`` moves sweep and boxes alike."""

    def write(label, origin_z=0.0):
        root = tmp_path / "release"
        root.mkdir(exist_ok=True)
        points = np.concatenate([ground_points(), points_of(CAR), points_of(VAN)]).astype(np.float32)
        points[:, 2] += origin_z
        points.tofile(root / "sweep.bin")
        lidar = {"path": "sweep.bin", "dtype": "float32", "num_features": 4, "origin": [0.0, 0.0, origin_z]}
        labels = {} if label is None else {"det3d": label}
        (root / "frames.jsonl").write_text(json.dumps({"sample_id": "0", "lidar": lidar, "labels": labels}) + "\n")
        meta = {
            "release_name": "tiny",
            "consumer_version": "v1.0.0",
            "bundle_versions": ["v1.0.0-release"],
            "version": "v1.0.0",
        }
        entry = {
            "name": "frames",
            "obs_path": "frames.jsonl",
            "bundle_versions": ["v1.0.0-release"],
            "duplicate": 1,
            "task_tags": ["det3d"],
        }
        (root / "training_dataset.json").write_text(json.dumps({"meta": meta, "dataset_index": [entry | {"duplicate": 1}]}))
        return root

    return write


def label(**more):
    return {"boxes_3d": [CAR, VAN], "categories": ["car", "car"], "ignore": [False, True], **more}


def read(root, frame):
    pipeline = [LoadPoints(), SanitizePoints(min_range_m=0.0), ToMmdet3d("det3d", frame)]
    return ReleaseDataset(data_release={"root": str(root)}, tasks=[DET3D], pipeline=pipeline)[0]


# -- what mmdet3d is given ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin_z", [0.0, 1.75])
def test_boxes_keep_their_centre(release, origin_z):
    moved = label(boxes_3d=[[*box[:2], box[2] + origin_z, *box[3:]] for box in (CAR, VAN)])
    results = read(release(moved, origin_z), "input")
    boxes = results["gt_bboxes_3d"]
    assert len(boxes) == 1
    np.testing.assert_allclose(boxes.gravity_center[0].numpy(), CAR[:3], atol=1e-6)
    # mmdet3d holds the middle of the bottom face.
    np.testing.assert_allclose(boxes.tensor[0].numpy(), [6.0, 1.0, -1.65, 3.9, 1.6, 1.5, 0.4], atol=1e-6)
    assert results["gt_labels_3d"].tolist() == [CLASSES.index("car")]


def test_points_in_ignored_boxes_are_taken_from_the_loss_but_not_from_the_metric(release):
    root = release(label())
    num_van = len(points_of(VAN))
    training, evaluation = read(root, "input"), read(root, "original")
    assert training["point_counts"]["unlabelled"] == num_van
    assert len(evaluation["points"]) - len(training["points"]) == num_van
    assert evaluation["eval_ann_info"]["ignore_flags"].tolist() == [False, True]
    assert "gt_bboxes_3d" not in evaluation


@pytest.mark.parametrize("frame", ["input", "original"])
def test_points_that_nobody_labelled_are_taken_away(release, frame):
    region = [[0.0, 0.0], [20.0, 0.0], [20.0, 20.0], [0.0, 20.0]]
    points = read(release(label(labelled_region=region)), frame)["points"].tensor
    assert len(points) > 100
    assert bool((points[:, 1] > 0).all())


@pytest.mark.parametrize(
    ("partial", "covered"),
    [
        (label(labelled_categories=["car"]), "only every car"),
        (label(non_exhaustive_categories=["cyclist"]), "only every pedestrian, every car"),
        (label(category_sets={"rider": ["pedestrian", "cyclist"]}), "only every car"),
    ],
)
def test_training_refuses_what_its_loss_would_take_for_background(release, partial, covered):
    root = release(partial)
    with pytest.raises(RecordError, match="would take what this sample does not label") as caught:
        read(root, "input")
    assert covered in str(caught.value)
    assert read(root, "original")["eval_ann_info"]["in_metric"].tolist() == [name in covered for name in CLASSES]


def test_moved_points_are_refused(release):
    results = read(release(label()), "input")
    results["bev_from_points"] = np.diag([1.0, -1.0, 1.0])
    with pytest.raises(ConfigError, match="after points were moved"):
        ToMmdet3d("det3d")(results)


# -- the metric -----------------------------------------------------------------------------------------------------------


def boxes_of(rows):
    return LiDARInstance3DBoxes(torch.tensor(rows, dtype=torch.float32).reshape(-1, 7), origin=(0.5, 0.5, 0.5))


def sample_of(truth, found, scores, ignore=None, in_metric=(True, True, True), name="0"):
    number = CLASSES.index("car")
    return {
        "sample_id": name,
        "source": "frames",
        "eval_ann_info": {
            "bboxes_3d": boxes_of(truth),
            "labels": np.full(len(truth), number),
            "ignore_flags": np.array(ignore or [False] * len(truth), dtype=bool),
            "in_metric": np.array(in_metric),
        },
        "pred_instances_3d": {
            "bboxes_3d": boxes_of(found),
            "scores_3d": torch.tensor(scores, dtype=torch.float32),
            "labels_3d": torch.full((len(found),), number),
        },
    }


def measure(*samples, iou=0.5):
    metric = BevBoxMetric(DET3D, iou=dict.fromkeys(CLASSES, iou))
    metric.process(None, samples)
    return metric.evaluate(len(samples))


FAR = [40.0, 0.0, -1.0, 3.9, 1.6, 1.5, 0.0]


def test_found_boxes_count_from_the_best_score_down():
    # Found, wrong, found: precision 1 up to recall 1/2, then 2/3.
    metrics = measure(sample_of([CAR, VAN], [VAN, FAR, CAR], [0.5, 0.7, 0.9]))
    assert metrics["det3d/car/AP_bev"] == pytest.approx((20 * 1 + 20 * 2 / 3) / 40)
    assert metrics["det3d/car/num_boxes"] == 2
    assert np.isnan(metrics["det3d/cyclist/AP_bev"])
    assert metrics["det3d/AP_bev"] == metrics["det3d/car/AP_bev"]


def test_a_box_is_found_once_and_by_its_own_sample_only():
    repeated = measure(sample_of([CAR, VAN], [CAR, CAR, VAN], [0.9, 0.8, 0.7]))
    assert repeated["det3d/car/AP_bev"] == pytest.approx((20 * 1 + 20 * 2 / 3) / 40)
    twice = measure(sample_of([CAR], [], [], name="0"), sample_of([VAN], [VAN, CAR], [0.5, 0.9], name="1"))
    assert twice["det3d/car/AP_bev"] == pytest.approx(20 * 0.5 / 40)


def test_ignored_boxes_are_neither_missed_nor_found():
    assert measure(sample_of([CAR, VAN], [VAN, CAR], [0.9, 0.8], ignore=[False, True]))["det3d/car/AP_bev"] == 1.0
    assert measure(sample_of([CAR, VAN], [CAR], [0.8], ignore=[False, True]))["det3d/car/num_boxes"] == 1


def test_a_class_that_a_sample_does_not_label_is_not_measured_there():
    metrics = measure(sample_of([CAR], [FAR], [0.9], in_metric=(True, True, False)))
    assert np.isnan(metrics["det3d/car/AP_bev"])


def test_yaw_turns_boxes_the_way_of_the_points():
    turned = [CAR[0] + 0.5, CAR[1] + 0.1, *CAR[2:6], CAR[6] + 0.1]

    def footprint(box):
        x, y, _, length, width, _, yaw = box
        lying = shapely.box(x - length / 2, y - width / 2, x + length / 2, y + width / 2)
        return shapely.affinity.rotate(lying, yaw, use_radians=True)

    a, b = footprint(CAR), footprint(turned)
    iou = a.intersection(b).area / a.union(b).area
    assert 0.4 < iou < 0.8
    assert measure(sample_of([CAR], [turned], [0.9]), iou=iou - 0.01)["det3d/car/AP_bev"] == 1.0
    assert measure(sample_of([CAR], [turned], [0.9]), iou=iou + 0.01)["det3d/car/AP_bev"] == 0.0


def test_each_class_needs_its_threshold():
    with pytest.raises(ConfigError, match="cyclist"):
        BevBoxMetric(DET3D, iou={"pedestrian": 0.5, "car": 0.7})


# -- operators ------------------------------------------------------------------------------------------------------------


class Network(nn.Module):
    """A network of one layer that calls ``forward`` of a test."""

    def __init__(self, run):
        super().__init__()
        self.layer = nn.BatchNorm1d(3)
        self.run = run
        self.modes = []

    def data_preprocessor(self, batch, training):
        return {"inputs": torch.rand(4, 3)}

    def forward(self, inputs, mode):
        self.modes.append(mode)
        return self.run(self.layer(inputs))


def runner_of(run):
    class Runner:
        network = Network(run)
        train_dataloader = test_dataloader = type("Loader", (), {"dataset": [{"inputs": 0}]})

    return Runner()


def test_a_missing_operator_is_named_before_training():
    scatter = DynamicScatter([1.0, 1.0, 1.0], [0, 0, 0, 8, 8, 8], average_points=True)
    runner = runner_of(lambda x: scatter(x, torch.zeros(4, 3, dtype=torch.int32)))
    if torch.cuda.is_available():
        pytest.skip("looks for an operator without a CPU kernel")
    with pytest.raises(MachineError, match="scatter_points") as caught:
        OperatorHook().before_train(runner)
    assert "dynamic_point_to_voxel_forward_impl: implementation for device cpu not found" in str(caught.value)


def test_a_try_changes_nothing():
    runner = runner_of(lambda x: x)
    before = {name: tensor.clone() for name, tensor in runner.network.state_dict().items()}
    OperatorHook().before_train(runner)
    assert runner.network.modes == ["loss", "predict"]
    assert runner.network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in runner.network.state_dict().items())


def test_other_faults_are_not_taken_for_a_missing_operator():
    def fail(_):
        raise RuntimeError("implementation for device cpu not found, says somebody else")

    with pytest.raises(RuntimeError, match="somebody else"):
        OperatorHook().before_test(runner_of(fail))


# -- training -------------------------------------------------------------------------------------------------------------


def base_config():
    spec = importlib.util.spec_from_file_location("pointpillars", ROOT / "projects/god/configs/_base_/pointpillars.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def by_name(node):
    """Classes by their names: a config that is written into the work dir cannot hold them."""
    if isinstance(node, dict):
        return {key: by_name(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [by_name(value) for value in node]
    # Of the package: the module's own name may be that of a function, as mmdet's smooth_l1_loss.
    return f"{node.__module__.rpartition('.')[0]}.{node.__qualname__}" if hasattr(node, "__qualname__") else node


def small(range_m, root, num_iters, lr=2e-3):
    """Options of a training on a small grid, without random transforms."""
    base = base_config()
    training = base.training_boxes({"root": str(root)}, range_m, batch_size=1, load_threads=0)
    steps = training["dataset"]["pipeline"]
    random = {"RandomFlip3D", "GlobalRotScaleTrans"}
    training["dataset"]["pipeline"] = [step for step in steps if step["type"].__name__ not in random]
    evaluation = base.evaluation_boxes({"root": str(root)}, range_m, load_threads=0)
    return {
        "model": by_name(base.pointpillars(range_m)),
        "train_dataloader": by_name(training),
        "val_dataloader": by_name(evaluation),
        "test_dataloader": by_name(evaluation),
        "solver.0.train_cfg.max_iters": num_iters,
        "solver.0.train_cfg.val_interval": num_iters,
        "solver.0.param_scheduler": [],
        "solver.0.optim_wrapper.optimizer.lr": lr,
    }


def test_a_model_of_the_zoo_learns_is_saved_and_is_tested(release, tmp_path):
    options = small(RANGE_M, release(label()), num_iters=8)
    runner = train(CONFIG, work_dir=tmp_path / "run", options=options)
    losses = runner.message_hub.get_scalar("train/loss").data[0]
    assert losses[-1] < 0.5 * losses[0]
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    lineage = json.loads((tmp_path / "run" / "with-bn-last.pth.lineage.json").read_text())
    assert lineage["packages"]["mmdet3d"] == "1.4.0"
    assert [entry["name"] for entry in lineage["data"]["entries"]] == ["frames"]
    again = run_test(CONFIG, tmp_path / "run" / "with-bn-last.pth", work_dir=tmp_path / "test", options=options)
    assert again["det3d/car/num_boxes"] == 1
    assert str(metrics).count("AP_bev")
    checkpoint = tmp_path / "run" / "with-bn-last.pth"
    for wish in ("out", "show_dir"):
        with pytest.raises(ConfigError, match="cannot be drawn or written"):
            run_test(CONFIG, checkpoint, work_dir=tmp_path / "test", options=options, **{wish: tmp_path / wish})
    with pytest.raises(ConfigError, match="cannot be drawn or written"):
        browse(CONFIG, tmp_path / "browsed", num_pictures=1, options=options)
    with pytest.raises(ConfigError, match="a VoxelNet can be trained and tested here"):
        read_exportable(load_config(CONFIG, options), checkpoint)


def test_default_work_dir_is_the_plug_ins():
    assert load_config(CONFIG).work_dir == "work_dirs/god/zoo_pointpillars"


@pytest.fixture(scope="module")
def kitti(tmp_path_factory):
    """Convert the real frames of KITTI."""
    if not os.environ.get("ADMLOPS_REAL_DATA"):
        pytest.skip("ADMLOPS_REAL_DATA is not set")
    from admlops.conversion import CONVERTERS, convert_source

    root = tmp_path_factory.mktemp("real") / "kitti"
    convert_source(CONVERTERS["kitti"](Path(os.environ["ADMLOPS_REAL_DATA"]) / "kitti"), root, num_workers=1)
    return root


def test_boxes_of_real_frames_hold_points(kitti):
    from god.transforms.load_bev_evidence import find_in_boxes

    pipeline = [LoadPoints(), SanitizePoints(), ToMmdet3d("det3d")]
    data = ReleaseDataset(data_release={"root": str(kitti)}, tasks=[DET3D], pipeline=pipeline)
    results = data[0]
    boxes = torch.cat([results["gt_bboxes_3d"].gravity_center, results["gt_bboxes_3d"].tensor[:, 3:]], dim=1)
    assert [CLASSES[i] for i in results["gt_labels_3d"]] == ["pedestrian"]
    inside = find_in_boxes(results["points"].tensor.numpy(), boxes.numpy().astype(float), np.zeros(1, dtype=bool))
    assert np.count_nonzero(inside) > 100


def test_the_model_of_the_config_has_a_loss_on_a_real_frame(kitti):
    config = load_config(CONFIG, {"train_dataloader.dataset.data_release.root": str(kitti)})
    sample = DATASETS.build(config.train_dataloader.dataset)[0]
    torch.manual_seed(0)
    network = MODELS.build(config.model)
    network.init_weights()
    batch = network.data_preprocessor(pseudo_collate([sample]), training=True)
    with torch.no_grad():
        _, losses = network.parse_losses(network(**batch, mode="loss"))
    assert {"loss_cls", "loss_bbox", "loss_dir"} <= losses.keys()
    assert all(bool(torch.isfinite(value)) for value in losses.values())
    # Without an anchor on the pedestrian it would be 0.
    assert losses["loss_bbox"] > 0
