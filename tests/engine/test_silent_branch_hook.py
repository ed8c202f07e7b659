"""A branch that learns nothing is told of, whatever the reason; one that learns, or is frozen, is not."""

import json
import shutil

import cv2
import numpy as np
import pytest
import torch

from admlops.engine.config import load_config
from admlops.engine.config_check import type_name
from admlops.engine.hooks import silent_branch_hook
from admlops.engine.release_runner import ReleaseRunner
from admlops.registry import MODELS

BRANCHES = ("det_person", "det_rear", "det_vehicle_sign", "seg_default", "seg_lane")


@pytest.fixture
def release(tiny_release, tmp_path):
    """One whose records lack people and rears, and whose lanes are unknown in every pixel."""
    root = shutil.copytree(tiny_release, tmp_path / "release")
    records = [json.loads(line) for line in (root / "boxes.jsonl").read_text().splitlines()]
    for record in records:
        del record["labels"]["det_person"], record["labels"]["det_rear"]
    (root / "boxes.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    for mask in (root / "images").glob("*_seg_lane.png"):
        cv2.imwrite(str(mask), np.full_like(cv2.imread(str(mask), cv2.IMREAD_UNCHANGED), 255))
    return root


def test_a_branch_without_labels_is_told_of_once(release, tmp_path, monkeypatch):
    monkeypatch.setattr(silent_branch_hook, "NUM_ITERS", 2)
    options = {
        "train_dataloader.dataset.data_release": {"root": str(release), "tasks": list(BRANCHES)},
        "train_dataloader.dataset.pipeline.1.resize.resize_hw": (72, 128),
        "train_dataloader.dataset.pipeline.2.crop_hw": (64, 128),
        "train_dataloader.batch_size": 8,
        "train_dataloader.num_workers": 0,
        "solver.0.train_cfg.max_iters": 3,
        "model.frozen": ("branches.det_rear",),
        "load_from": str(tmp_path / "start.pth"),
    }
    cfg = load_config("configs/4pe_resize/multitask.py", options, tmp_path / "run")
    cfg.model.branches = {name: cfg.model.branches[name] for name in BRANCHES}
    for split in ("val", "test"):
        cfg[f"{split}_dataloader"] = cfg[f"{split}_cfg"] = cfg[f"{split}_evaluator"] = None
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if type_name(hook) == "BranchLossHook"]
    cfg.experiment_name = tmp_path.name
    torch.save({"state_dict": MODELS.build(cfg.model).state_dict()}, tmp_path / "start.pth")
    ReleaseRunner.from_cfg(cfg).train()

    (log,) = (tmp_path / "run").glob("*/*.log")
    told = [line for line in log.read_text().splitlines() if "learns nothing" in line]
    assert [line.partition("WARNING - ")[2].split()[0] for line in told] == ["det_person", "seg_lane"]
    assert "in all of the first 2 iterations" in told[0]
    assert f"Release: {release / 'training_dataset.json'}." in told[0]
    assert "tools/browse_dataset.py" in told[0]
    assert "multitask.py. " in told[0]
