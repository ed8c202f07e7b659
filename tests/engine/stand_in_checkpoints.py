"""Checkpoints of all steps without a training: random weights and statistics, ranges from a picture of noise."""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.registry import DefaultScope
from torch.nn.modules.batchnorm import _BatchNorm

from admlops.engine.config import load_config
from admlops.engine.fusion_bn import match_fusion_bn
from admlops.engine.integer_step import convert_to_integers
from admlops.engine.steps import NetworkState, read_steps
from admlops.quantization import QuantSpec, absorb_bn, calibrating, prepare
from admlops.registry import MODELS

CONFIG = "configs/4pe_resize/multitask.py"
STEPS = ("with-bn", "fusion-bn-c1", "fusion-bn-c2", "int-inference")


def tiny_options(release: Path) -> dict[str, object]:
    roots = {f"{split}_dataloader.dataset.data_release.root": str(release) for split in ("train", "val", "test")}
    sizes = {f"{split}_dataloader.dataset.pipeline.1.resize_hw": (72, 128) for split in ("val", "test")}
    return {**roots, **sizes, "val_dataloader.num_workers": 0, "test_dataloader.num_workers": 0}


def build_float_network(config: str = CONFIG):
    cfg = load_config(config)
    with DefaultScope.overwrite_default_scope("admlops"):
        network = MODELS.build(cfg.model).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, _BatchNorm):
                module.weight.uniform_(0.3, 1.2)
                module.bias.normal_(0, 0.3)
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 2)
    return network


def write_checkpoints(work_dir: Path, release: Path, config: str = CONFIG, **quantization: object) -> Path:
    """Write ``<step>-last.pth`` of each step, as trainings would."""
    options = tiny_options(release)
    spec = QuantSpec(**quantization)
    network = build_float_network(config)
    matched = match_fusion_bn(network, load_config(config).fusion_bn_patterns)
    _save(network, work_dir, NetworkState("with-bn"))
    prepare(network, spec)
    noise = (torch.randint(0, 256, (1, 3, 72, 128)).float() - 128) / 128
    with torch.no_grad(), calibrating(network):
        network(noise, mode="tensor")
    absorbed: tuple[str, ...] = ()
    for step, names in matched.items():
        absorb_bn(network, names)
        absorbed += tuple(names)
        _save(network, work_dir, NetworkState(step, spec, absorbed))
    cfg = load_config(config, options, work_dir, step=3)
    convert_to_integers(cfg, read_steps(cfg)[3], work_dir / "fusion-bn-c2-last.pth")
    return work_dir


def _save(network: torch.nn.Module, work_dir: Path, state: NetworkState) -> None:
    work_dir.mkdir(parents=True, exist_ok=True)
    checkpoint = {"meta": {"step": state.to_meta(), "iter": 7}, "state_dict": network.state_dict()}
    torch.save(checkpoint, work_dir / f"{state.step}-last.pth")
