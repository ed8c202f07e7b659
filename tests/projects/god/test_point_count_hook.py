"""What a validation, a test and a training say of the points that they read."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_god_training import write_config, write_release
from torch import distributed as dist
from torch import multiprocessing

from admlops.engine.config import load_config
from admlops.engine.config_check import type_name
from admlops.engine.test import run_test
from admlops.engine.train import train
from admlops.structures import MultiTaskDataSample
from god import point_count_hook
from god.point_count_hook import PointCountHook


def batch(*samples):
    """Samples of ``(sample_id, counts)``."""
    return {
        "data_samples": [
            MultiTaskDataSample(
                metainfo={"sample_id": name, "source": "one", "lidar_path": f"{name}.bin", "point_counts": counts}
            )
            for name, counts in samples
        ]
    }


def counts(read, out_of_range, **others):
    return {"read": read, "not_finite": 0, "ego": 10, **others, "out_of_range": out_of_range}


def evaluate(samples, rank=0):
    hook, runner, metrics = PointCountHook(), SimpleNamespace(rank=rank, iter=5), {}
    hook.before_test_epoch(runner)
    for number, sample in enumerate(samples):
        hook.after_test_iter(runner, number, batch(sample), None)
    hook.after_test_epoch(runner, metrics)
    return metrics


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(point_count_hook, "print_log", lambda text, **_: lines.append(text))
    return lines


def test_sums_are_said_and_added_to_the_metrics(said):
    metrics = evaluate([("a", counts(1000, 90)), ("b", counts(2000, 80))])
    assert said == [
        "test: 2 sweeps, 3,000 points read: 0 not finite, 20 on the ego vehicle, 170 out of range, 2,810 in the grid"
    ]
    assert metrics == {
        f"points/{fate}/num_points": number
        for fate, number in {"read": 3000, "not_finite": 0, "ego": 20, "out_of_range": 170, "in_grid": 2810}.items()
    }


def test_sweeps_with_hardly_a_point_in_the_grid_are_named(said):
    empty = {"read": 0, "not_finite": 0, "ego": 0, "out_of_range": 0}
    evaluate([("a", counts(1000, 980)), ("b", counts(1000, 979)), ("c", empty)])
    assert said[1].splitlines() == [
        "test: 2 of 3 sweeps have hardly a point in the grid; are they in m?",
        "  a of one: 10 of 1000 points, a.bin",
        "  c of one: 0 of 0 points, c.bin",
    ]
    said.clear()
    evaluate([(str(number), empty) for number in range(7)])
    assert len(said[1].splitlines()) == 7
    assert said[1].endswith("\n  and 2 more")


def test_training_is_said_once_before_each_validation_and_at_its_end(said):
    hook, runner = PointCountHook(), SimpleNamespace(rank=0, iter=5)
    hook.before_val_epoch(runner)
    assert said == []
    for _ in range(2):
        hook.after_train_iter(runner, 0, batch(("a", counts(100, 20, thinned=5)), ("a", counts(100, 20, thinned=5))), {})
    hook.before_val_epoch(runner)
    hook.after_train(runner)
    assert said == [
        "training up to iteration 5: 4 sweeps, 400 points read: "
        "0 not finite, 40 on the ego vehicle, 20 thinned out, 80 out of range, 260 in the grid"
    ]


def _rank(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    # The sampler's padding: sample a twice.
    shares = ([("a", counts(1000, 90)), ("c", counts(500, 0))], [("b", counts(2000, 80)), ("a", counts(1000, 90))])
    torch.save(evaluate(shares[rank], rank), f"{folder}/{rank}.pth")
    dist.destroy_process_group()


def test_two_processes_count_each_sweep_once(tmp_path):
    multiprocessing.spawn(_rank, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pth") for rank in range(2))
    assert first == second
    assert first["points/read/num_points"] == 3500


def test_a_release_in_millimetres_is_tested_with_a_warning(tmp_path):
    release = write_release(tmp_path / "release", count=2)
    config = write_config(tmp_path / "config.py", release)
    hooks = load_config(config).custom_hooks
    assert type_name(hooks[0]) == "EMAHook"
    assert "PointCountHook" in map(type_name, hooks)
    train(config, work_dir=tmp_path / "run")
    (log,) = (tmp_path / "run").glob("*/*.log")
    assert "training up to iteration 2: 4 sweeps, 6,528 points read: 0 not finite" in log.read_text()
    for file in release.glob("*/sweep.bin"):
        points = np.fromfile(file, np.float32).reshape(-1, 4)
        points[:, :3] *= 1000
        points.tofile(file)
    run_test(config, tmp_path / "run" / "with-bn-last.pth", work_dir=tmp_path / "test")
    (log,) = (tmp_path / "test").glob("*/*.log")
    text = log.read_text()
    assert "test: 2 sweeps, 3,264 points read: 0 not finite, 0 on the ego vehicle, 3,264 out of range, 0 in the grid" in text
    assert "WARNING - test: 2 of 2 sweeps have hardly a point in the grid; are they in m?" in text
    assert f"\n  s0 of one: 0 of 1632 points, {release}" in text
    metrics = json.loads((tmp_path / "test" / "metrics.json").read_text())["metrics"]
    assert metrics["points/out_of_range/num_points"] == metrics["points/read/num_points"] == 3264
