"""Train a config: what ``tools/train.py`` calls."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import find_latest_checkpoint

from admlops.engine import launch
from admlops.engine.config import load_config
from admlops.engine.config_check import type_name
from admlops.engine.fusion_bn import match_fusion_bn
from admlops.engine.pipeline_test import shorten
from admlops.engine.release_runner import ReleaseRunner
from admlops.errors import CheckpointError


def train(
    config: str | Path,
    *,
    work_dir: str | Path | None = None,
    resume: str | None = None,
    load_from: str | None = None,
    amp: bool = False,
    pipeline_test: bool = False,
    require_clean: bool = False,
    options: Mapping[str, Any] | None = None,
    launcher: str = "none",
    ctx: str | None = None,
) -> ReleaseRunner:
    """Train the network of a config.

    Args:
        config: Config file.
        work_dir: Where checkpoints, logs, metrics and pictures go; ``work_dirs/<folder>/<config name>`` by default.
        resume: ``"auto"`` for the work dir's latest checkpoint, or a checkpoint; ``None`` starts anew.
        load_from: Checkpoint whose weights to start from; what the network lacks or has more is left out.
        amp: Train in bfloat16 (GPU only).
        pipeline_test: A few iterations of train, validation and test on the validation split.
        require_clean: Refuse uncommitted code, and data of anything but a tag whose entries are pinned.
        options: Config values by dotted path.
        launcher: ``none``, ``pytorch``, ``slurm`` or ``mpi``.
        ctx: GPU ids such as ``0,1``.

    Returns:
        The runner, after training.

    Raises:
        ConfigError: The config cannot run, or what it runs could not be proved although that is required.
        MachineError: It asks for what this machine lacks.
        CheckpointError: There is nothing to resume, or both ``resume`` and ``load_from`` are given.
    """
    cfg = load_config(config, options, work_dir)
    launch.choose_devices(cfg, ctx, launcher)
    if amp:
        launch.switch_on_amp(cfg)
    if pipeline_test:
        if work_dir is None:
            # Its checkpoints must never be taken for a real run's.
            cfg.work_dir = f"{cfg.work_dir}_pipeline_test"
        shorten(cfg)
    if require_clean:
        cfg.require_clean = True
    launch.set_up_processes(cfg, launcher)
    if load_from is not None:
        if resume is not None:
            raise CheckpointError(
                "a run either goes on or starts from weights",
                got=f"--resume and --load-from {load_from}",
                remedy="give one of the two",
            )
        cfg.load_from = load_from
    _set_up_resume(cfg, resume)
    set_step_names(cfg)
    runner: ReleaseRunner = ReleaseRunner.from_cfg(cfg)
    # Today, not when the steps that need them start.
    match_fusion_bn(runner.network, cfg.get("fusion_bn_patterns") or {})
    runner.train()
    if pipeline_test:
        runner.test()
    return runner


def set_step_names(cfg: Config) -> None:
    """Give ``StepCheckpointHook`` the prefix that the step's other checkpoints have.

    Args:
        cfg: Config, changed in place.
    """
    checkpoint = (cfg.get("default_hooks") or {}).get("checkpoint") or {}
    prefix = checkpoint.get("filename_tmpl", "with-bn-{:04d}.pth").split("-{", 1)[0]
    for hook in cfg.get("custom_hooks") or []:
        if type_name(hook) == "StepCheckpointHook":
            hook.step_name = prefix


def _set_up_resume(cfg: Config, resume: str | None) -> None:
    if resume is None:
        return
    path = _latest_checkpoint(Path(cfg.work_dir)) if resume == "auto" else resume
    if path is None or not Path(path).is_file():
        raise CheckpointError(
            "there is nothing to resume",
            where=cfg.work_dir if resume == "auto" else resume,
            expected="a checkpoint of an earlier run",
            remedy="leave --resume away to start, or give the checkpoint: --resume PATH",
        )
    cfg.resume = True
    cfg.load_from = str(path)


def _latest_checkpoint(work_dir: Path) -> Path | None:
    named = find_latest_checkpoint(str(work_dir))
    if named and Path(named).is_file():
        return Path(named)
    # The note is written in place and holds an absolute path: a kill may leave it empty, and a work dir may be moved.
    found = [file for file in work_dir.glob("*.pth") if re.fullmatch(r".+-\d+", file.stem)]
    return max(found, key=lambda file: file.stat().st_mtime_ns, default=None)
