"""Train a config: what ``tools/train.py`` calls."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmengine.runner import find_latest_checkpoint

from admlops.data_release.cache import sha256_of
from admlops.engine import launch
from admlops.engine.checkpoint import read_checkpoint
from admlops.engine.config import load_config
from admlops.engine.config_check import type_name
from admlops.engine.export_step import export_step
from admlops.engine.integer_step import convert_to_integers
from admlops.engine.pipeline_test import pipeline_work_dir, shorten
from admlops.engine.release_runner import ReleaseRunner
from admlops.engine.steps import NetworkState, Step, build_network, current_step
from admlops.errors import CheckpointError, ConfigError


def train(
    config: str | Path,
    *,
    step: int = 0,
    work_dir: str | Path | None = None,
    resume: str | None = None,
    load_from: str | None = None,
    if_needed: bool = False,
    amp: bool = False,
    pipeline_test: bool = False,
    require_clean: bool = False,
    options: Mapping[str, Any] | None = None,
    launcher: str = "none",
    ctx: str | None = None,
) -> ReleaseRunner | None:
    """Run one step of a config's training.

    Args:
        config: Config file.
        step: Index into its ``solver``; a step after the first starts from the last checkpoint of the one before.
        work_dir: Where checkpoints, logs, metrics and pictures go; ``work_dirs/<folder>/<config name>`` by default.
        resume: ``"auto"`` for the step's latest checkpoint in the work dir, or a checkpoint; ``None`` starts anew.
        load_from: Checkpoint whose weights to start from; the first step leaves out what the network lacks or has more, a later
            one needs a checkpoint of the step before.
        if_needed: Skip the step where its last checkpoint is there, and resume it where it was broken off.
        amp: Train in bfloat16 (GPU only).
        pipeline_test: A few iterations of train, validation and test on the validation split.
        require_clean: Refuse uncommitted code, and data of anything but a tag whose entries are pinned.
        options: Config values by dotted path.
        launcher: ``none``, ``pytorch``, ``slurm`` or ``mpi``.
        ctx: GPU ids such as ``0,1``.

    Returns:
        The runner, after training; None where there was nothing to train.

    Raises:
        ConfigError: The config cannot run, or what it runs could not be proved although that is required.
        MachineError: It asks for what this machine lacks.
        CheckpointError: There is nothing to start from or to resume, or both ``resume`` and ``load_from`` are given.
    """
    if load_from is not None and resume is not None:
        raise CheckpointError(
            "a run either goes on or starts from weights",
            got=f"--resume and --load-from {load_from}",
            remedy="give one of the two",
        )
    cfg = load_config(config, options, work_dir, step)
    now = current_step(cfg)
    if pipeline_test and work_dir is None:
        cfg.work_dir = pipeline_work_dir(cfg)
    if if_needed and not pipeline_test:  # which is there to run everything
        if _is_done(cfg, now):
            return None
        resume = resume or _broken_off(cfg, now)
    if now.conversion is not None:
        # Nothing to share among processes.
        if int(os.environ.get("RANK", "0")) == 0:
            convert_to_integers(cfg, now, load_from or str(_start_of(cfg, now)))
            export_step(cfg, now)
        return None
    launch.choose_devices(cfg, ctx, launcher)
    if amp:
        _switch_on_amp(cfg, now)
    if pipeline_test:
        shorten(cfg)
    if require_clean:
        cfg.require_clean = True
    launch.set_up_processes(cfg, launcher)
    if resume is not None:
        _set_up_resume(cfg, resume, now.name)
    elif start := load_from or _start_of(cfg, now):
        cfg.load_from = str(start)
    return _run(cfg, now, pipeline_test)


def _run(cfg: Config, step: Step, pipeline_test: bool) -> ReleaseRunner:
    _fit_hooks(cfg, step)
    runner: ReleaseRunner = ReleaseRunner.from_cfg(cfg)
    runner.train()
    if is_main_process():
        export_step(cfg, step)
    if pipeline_test:
        runner.test()
    return runner


def _fit_hooks(cfg: Config, step: Step) -> None:
    if step.spec is not None:
        # The float step's last checkpoint carries the adapted statistics; absorbed layers have none.
        cfg.custom_hooks = [hook for hook in cfg.get("custom_hooks") or [] if type_name(hook) != "AdaptBatchNormHook"]
    for hook in cfg.get("custom_hooks") or []:
        if type_name(hook) == "StepCheckpointHook":
            hook.step_name = step.name


def _switch_on_amp(cfg: Config, step: Step) -> None:
    if step.spec is not None:
        raise ConfigError(
            "--amp rounds what a quantized step must not round",
            where=f"step {step.name}",
            remedy="leave --amp away: integers are simulated exactly in float32 only",
        )
    launch.switch_on_amp(cfg)


def _start_of(cfg: Config, step: Step) -> Path | None:
    """Find what a step starts from: the last checkpoint of the one before."""
    if step.previous is None:
        return None
    path = Path(cfg.work_dir) / f"{step.previous}-last.pth"
    if not path.is_file():
        raise CheckpointError(
            f"step {step.index} ({step.name}) has nothing to start from",
            where=path,
            expected=f"the last checkpoint of step {step.index - 1} ({step.previous})",
            got="no such file",
            remedy=f"run --step {step.index - 1} first, in the same --work-dir; or give a checkpoint of it with --load-from",
        )
    return path


def _is_done(cfg: Config, step: Step) -> bool:
    last = step.last(cfg.work_dir)
    if not last.is_file():
        return False
    # Of another config's network there is nothing that this work dir could go on with: the error says so.
    build_network(cfg, last)
    if not _stems_from_start(cfg, step, last):
        return False
    print_log(f"{step.name}: done, {last}", logger="current")
    return True


def _broken_off(cfg: Config, step: Step) -> str | None:
    latest = _latest_checkpoint(Path(cfg.work_dir), step.name)
    return str(latest) if latest is not None and _stems_from_start(cfg, step, latest) else None


def _stems_from_start(cfg: Config, step: Step, file: Path) -> bool:
    """Whether a checkpoint of a step was trained from what the step before ends with today."""
    start = _start_of(cfg, step)
    if start is None:
        return True
    parents = (read_checkpoint(file).get("lineage") or {}).get("parents") or ()
    if any(parent["sha256"] == sha256_of(start) for parent in parents):
        return True
    print_log(f"{file} does not stem from {start}, as it is now: {step.name} begins again", "current", logging.WARNING)
    return False


def _set_up_resume(cfg: Config, resume: str, step_name: str) -> None:
    path = _latest_checkpoint(Path(cfg.work_dir), step_name) if resume == "auto" else resume
    if path is None or not Path(path).is_file():
        raise CheckpointError(
            "there is nothing to resume",
            where=cfg.work_dir if resume == "auto" else resume,
            expected=f"a checkpoint of an earlier run of step {step_name}",
            remedy="leave --resume away to start, or give the checkpoint: --resume PATH",
        )
    if resume != "auto" and (found := NetworkState.of_checkpoint(read_checkpoint(path)).step) != step_name:
        raise CheckpointError(
            f"step {step_name} cannot resume another step",
            where=path,
            expected=f"a checkpoint of step {step_name}",
            got=f"one of step {found}",
            remedy="give the --step that the checkpoint is of, or start from it with --load-from",
        )
    cfg.resume = True
    cfg.load_from = str(path)


def _latest_checkpoint(work_dir: Path, step_name: str) -> Path | None:
    mine = re.compile(rf"{re.escape(step_name)}-\d+")
    named = find_latest_checkpoint(str(work_dir)) if (work_dir / "last_checkpoint").is_file() else None
    if named and Path(named).is_file() and mine.fullmatch(Path(named).stem):
        return Path(named)
    # The note is written in place and holds an absolute path: a kill may leave it empty, and a work dir may be moved.
    found = [file for file in work_dir.glob("*.pth") if mine.fullmatch(file.stem)]
    return max(found, key=lambda file: file.stat().st_mtime_ns, default=None)
