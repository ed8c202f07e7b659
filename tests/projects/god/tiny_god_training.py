"""The demo's config on a grid of 32 x 32 cells and a release of a few hand-made sweeps, two iterations a step."""

import json

import numpy as np
from hand_made_sweeps import floor, put, write_sweep

from admlops.engine.config import load_config
from admlops.engine.config_check import type_name
from admlops.point_class import PointClass
from admlops.synthetic.lidar.point_labels import pack_labels

GRID = {"x_min_m": -3.2, "y_min_m": -3.2, "cell_m": 0.2, "rows": 32, "cols": 32}
TASKS = ("god_base", "drivable_2cls")


def write_release(root, count=3):
    """Flat ground with a block of obstacles that stands elsewhere in each sweep."""
    records = []
    for number in range(count):
        block = [
            row
            for x in range(4)
            for y in range(4)
            for row in put(number + 0.2 * x + 0.1, 0.2 * y - 2, 0.8, PointClass.STATIC, 2)
        ]
        rows = np.array(floor() + block)
        points = np.column_stack([rows[:, :3] + np.random.default_rng(number).normal(0, 0.01, (len(rows), 3)), rows[:, 3] / 8])
        classes = rows[:, 3].astype(np.int64)
        labels = pack_labels(classes, np.where(classes == PointClass.STATIC, 1, 0))
        lidar = write_sweep(root / str(number), points, labels)
        label = {"point_labels": f"{number}/sweep.label", "taxonomy": "rendered"}
        record = {"sample_id": f"s{number}", "lidar": {**lidar, "path": f"{number}/sweep.bin"}}
        records.append(record | {"labels": dict.fromkeys(TASKS, label)})
    (root / "index.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    versions = ["v1.0.0-20260101-000000"]
    meta = {"release_name": "t", "consumer_version": "v1.0.0", "version": "v1.0.0", "bundle_versions": versions}
    entry = {"name": "one", "obs_path": "index.jsonl", "bundle_versions": versions, "duplicate": 1, "task_tags": list(TASKS)}
    (root / "training_dataset.json").write_text(json.dumps({"meta": meta | {"tasks": list(TASKS)}, "dataset_index": [entry]}))
    return root


def write_config(path, release):
    cfg = load_config("projects/god/configs/multi_task_demo.py")
    cfg.model.data_preprocessor.grid = cfg.model.encoder.grid = GRID
    cfg.model.encoder.channels = 4
    cfg.model.backbone.update(in_channels=16, channels=(8, 12))
    cfg.model.branches = {name: branch for name, branch in cfg.model.branches.items() if branch.task in TASKS}
    for branch in cfg.model.branches.values():
        branch.head.in_channels = 8
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        for key in ("prefetch_factor", "persistent_workers"):
            loader.pop(key, None)
        loader.num_workers = 0
        loader.dataset.data_release = {"root": str(release), "tasks": list(TASKS)}
        # Shifts of some metres would leave nothing on so small a grid.
        kept = [transform for transform in loader.dataset.pipeline if not type_name(transform).startswith("Random")]
        loader.dataset.pipeline = kept
        for transform in loader.dataset.pipeline:
            if "grid" in transform:
                transform.grid = GRID
            if "min_range_m" in transform:
                transform.min_range_m = 0.5
    for evaluator in (cfg.test_evaluator,):
        evaluator.metrics = [metric for metric in evaluator.metrics if metric.task in TASKS]
        for metric in evaluator.metrics:
            if "grid" in metric:
                metric.grid = GRID
    cfg.visualizer.update(tasks=list(TASKS))
    # What is validated is tested elsewhere, and draws figures.
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    for step in cfg.solver[:3]:
        step.train_cfg.update(max_iters=2, val_interval=2)
    for step in cfg.solver[1:3]:
        step.observers.update(calibration_batches=2, observe_until=0.5)
    for key in ("step", "train_cfg", "optim_wrapper", "param_scheduler"):
        cfg.pop(key, None)
    cfg.dump(path)
    return path
