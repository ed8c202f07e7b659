"""Every config that people start from: loaded, dumped, reloaded, built, stepped once."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch.nn.modules.batchnorm import _BatchNorm

from admlops.engine.config import load_config
from admlops.engine.config_check import type_name
from admlops.engine.fusion_bn import match_fusion_bn
from admlops.engine.release_runner import ReleaseRunner
from admlops.engine.steps import read_steps

ROOT = Path(__file__).parents[1]
NO_CONFIGS = {"utils.py", "__init__.py"}


def configs_at(pattern):
    return sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(pattern) if path.name not in NO_CONFIGS)


CONFIGS = configs_at("configs/[!_]*/*.py")
# Networks of mmdet3d's zoo have parts of their own: tests/projects/god/test_zoo.py.
ZOO_CONFIGS = configs_at("projects/god/configs/zoo_*.py")
SWEEP_CONFIGS = [name for name in configs_at("projects/god/configs/*.py") if name not in ZOO_CONFIGS]


def on_tiny_release(cfg, release, work_dir):
    """The same config on small pictures, in one process, without validation."""
    for transform in cfg.train_dataloader.dataset.pipeline:
        if "resize" in transform:
            transform.resize.resize_hw = (72, 128)
        if type_name(transform) == "RandomCrop":
            transform.crop_hw = (64, 128)
    # Both sources in one batch, so that every branch learns.
    cfg.train_dataloader.batch_size = 16
    return for_one_step(cfg, release, work_dir)


def on_tiny_sweeps(cfg, release, work_dir):
    """The same config on a small grid beside the sensor."""
    for part in (cfg.model.encoder, cfg.model.data_preprocessor, *cfg.train_dataloader.dataset.pipeline, cfg.visualizer):
        if "grid" in part:
            part.grid.update(x_min_m=2.6, y_min_m=-1.6, rows=64, cols=64)
    return for_one_step(cfg, release, work_dir)


def for_one_step(cfg, release, work_dir):
    cfg.train_dataloader.dataset.data_release.root = str(release)
    cfg.train_cfg.max_iters = 1
    for key in ("val_dataloader", "val_cfg", "val_evaluator", "test_dataloader", "test_cfg", "test_evaluator"):
        cfg[key] = None
    cfg.work_dir = str(work_dir)
    return cfg


def test_the_configs_of_the_resize_network_are_there():
    names = {Path(name).stem for name in CONFIGS if "4pe_resize" in name}
    assert names >= {
        "det_cyclist_light",
        "det_person",
        "det_rear",
        "det_vehicle_sign",
        "multitask",
        "multitask_demo",
        "seg_default",
        "seg_lane",
    }


def test_the_crop_network_cuts_what_the_resize_network_shrinks():
    crop, resize = (load_config(f"configs/4pe_{kind}/multitask.py") for kind in ("crop", "resize"))
    names = {Path(name).stem for name in CONFIGS if "4pe_crop" in name}
    assert names == {"multitask", *crop.model.branches}
    assert list(crop.model.branches) == [name for name in resize.model.branches if name != "seg_default"]
    assert (crop.model.neck.pop("upscale_group_base"), resize.model.neck.pop("upscale_group_base")) == (4, 8)
    assert (crop.model.backbone, crop.model.neck) == (resize.model.backbone, resize.model.neck)
    steps = [type_name(step) for step in crop.train_dataloader.dataset.pipeline]
    assert steps == ["LoadLabels", "LoadImage", "RandomCrop", "RandomFlip", "Photometric", "PackMultiTask"]
    assert crop.train_dataloader.dataset.pipeline[2].crop_hw == (448, 1216)
    steps = [type_name(step) for step in crop.val_dataloader.dataset.pipeline]
    assert steps == ["LoadImage", "LoadLabels", "PackMultiTask"]
    assert crop.work_dir != resize.work_dir


def test_the_configs_of_the_lidar_network_are_there():
    assert {Path(name).stem for name in SWEEP_CONFIGS} >= {
        "multi_task",
        "multi_task_demo",
        "god_base",
        "god_base_finetune",
        "god_hd",
        "drivable_2cls",
        "drivable_multi",
    }
    assert load_config("projects/god/configs/multi_task.py").work_dir == "work_dirs/god/multi_task"


@pytest.mark.parametrize("name", CONFIGS + SWEEP_CONFIGS + ZOO_CONFIGS)
def test_a_config_survives_a_dump_and_a_reload(name, tmp_path):
    cfg = load_config(name)
    cfg.dump(tmp_path / "first.py")
    again = load_config(tmp_path / "first.py", work_dir=cfg.work_dir)
    again.dump(tmp_path / "second.py")
    assert again.to_dict() == cfg.to_dict()
    assert (tmp_path / "first.py").read_text() == (tmp_path / "second.py").read_text()


@pytest.mark.parametrize("name", CONFIGS + SWEEP_CONFIGS)
def test_a_config_builds_and_steps(name, tiny_release, tiny_sweeps, tmp_path):
    cfg: Config = load_config(name, {"train_dataloader.num_workers": 0})
    cfg = on_tiny_release(cfg, tiny_release, tmp_path) if name in CONFIGS else on_tiny_sweeps(cfg, tiny_sweeps, tmp_path)
    cfg.load_from = str(tmp_path / "start.pth")  # parts that are frozen do not start at random
    runner = ReleaseRunner.from_cfg(cfg)
    assert [step.name for step in read_steps(cfg)] == ["with-bn", "fusion-bn-c1", "fusion-bn-c2", "int-inference"]
    absorbed = match_fusion_bn(runner.network, cfg.fusion_bn_patterns)
    layers = {name for name, module in runner.network.named_modules() if isinstance(module, _BatchNorm)}
    assert set(absorbed["fusion-bn-c1"]) | set(absorbed["fusion-bn-c2"]) == layers
    runner.network.init_weights()
    runner.network._is_init = True
    before = {key: value.clone() for key, value in runner.network.state_dict().items()}
    torch.save({"state_dict": before}, cfg.load_from)
    runner.train()
    after = runner.network.state_dict()
    assert all(torch.isfinite(value.float()).all() for value in after.values())
    for part in (*runner.network.shared_parts, *(f"branches.{branch}" for branch in runner.network.branches)):
        moved = [key for key in before if key.startswith(f"{part}.") and not torch.equal(before[key], after[key])]
        assert bool(moved) != (part in runner.network.frozen), f"{part} did not learn, or learned though it is frozen"
