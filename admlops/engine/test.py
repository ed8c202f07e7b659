"""Test a checkpoint: what ``tools/test.py`` calls."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from admlops.engine import launch
from admlops.engine.checkpoint import read_checkpoint
from admlops.engine.config import load_config
from admlops.engine.config_check import type_name
from admlops.engine.release_runner import ReleaseRunner
from admlops.errors import CheckpointError


def run_test(
    config: str | Path,
    checkpoint: str | Path,
    *,
    work_dir: str | Path | None = None,
    show_dir: str | Path | None = None,
    out: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    launcher: str = "none",
    ctx: str | None = None,
) -> dict[str, float]:
    """Evaluate a checkpoint on the test data of a config.

    Args:
        config: Config file.
        checkpoint: Weights that fit its network.
        work_dir: Where the report goes; ``work_dirs/<folder>/<config name>`` by default.
        show_dir: Draw every picture, truth beside prediction, into this folder.
        out: Write the predictions as records (``predictions.jsonl`` and masks) into this folder.
        options: Config values by dotted path.
        launcher: ``none``, ``pytorch``, ``slurm`` or ``mpi``.
        ctx: GPU ids.

    Returns:
        The metrics by name.

    Raises:
        ConfigError: The config cannot run.
        CheckpointError: The checkpoint is missing, unsafe, or does not fit.
    """
    cfg = load_config(config, options, work_dir)
    launch.choose_devices(cfg, ctx, launcher)
    launch.set_up_processes(cfg, launcher)
    weights = read_checkpoint(checkpoint)
    # The checkpoint's weights are the averaged ones already.
    unwanted = {"EMAHook"} if show_dir is None else {"EMAHook", "OverlayHook"}
    cfg.custom_hooks = [hook for hook in cfg.get("custom_hooks") or [] if type_name(hook) not in unwanted]
    for key in ("train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler", "val_dataloader", "val_cfg"):
        cfg[key] = None
    cfg.val_evaluator = None
    if show_dir is not None:
        cfg.custom_hooks.append({"type": "OverlayHook", "num_pictures": None, "out_dir": str(show_dir)})
    if out is not None:
        cfg.custom_hooks.append({"type": "PredictionDumpHook", "out_dir": str(out)})
    runner = ReleaseRunner.from_cfg(cfg)
    _check_fit(runner, weights.get("state_dict", weights), checkpoint)
    runner.load_checkpoint(str(checkpoint))
    return dict(runner.test())


def _check_fit(runner: ReleaseRunner, weights: Mapping[str, Any], path: str | Path) -> None:
    own = runner.network.state_dict()
    missing = [name for name in own if name not in weights]
    wrong = [name for name in own if name in weights and own[name].shape != weights[name].shape]
    if missing or wrong:
        named = (missing + wrong)[:3]
        raise CheckpointError(
            "the checkpoint does not fit the config's network",
            where=path,
            expected=f"{len(own)} tensors of the network",
            got=f"{len(missing)} missing and {len(wrong)} of another shape, such as {', '.join(named)}",
            remedy="give the config that the checkpoint was trained with",
        )
