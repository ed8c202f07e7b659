"""``--pipeline-test``: does everything run, from the first iteration to the report, in a minute?"""

from __future__ import annotations

from typing import Any

from mmengine.config import Config, ConfigDict

from admlops.engine.config_check import type_name
from admlops.errors import ConfigError

NUM_ITERS = 4
NUM_EVAL_BATCHES = 2


def pipeline_work_dir(cfg: Config) -> str:
    """Name the work dir of a pipeline test, whose checkpoints must never be taken for a real run's.

    Args:
        cfg: A config with the work dir of a real run.

    Returns:
        The folder beside it.
    """
    return f"{cfg.work_dir}_pipeline_test"


def shorten(cfg: Config) -> None:
    """Cut a config down to a few iterations on the validation split, with validation and test at the end.

    Args:
        cfg: Config, changed in place.

    Raises:
        ConfigError: The config has no validation or no test.
    """
    for name in ("val_dataloader", "test_dataloader"):
        if cfg.get(name) is None:
            raise ConfigError(
                "--pipeline-test needs a validation and a test",
                where=name,
                got="nothing",
                remedy="leave --pipeline-test away, or give the config what it lacks",
            )
    loader = cfg.train_dataloader
    loader.dataset.data_release = cfg.val_dataloader.dataset.data_release
    loader.batch_size = min(loader.batch_size, 2)
    if loader.sampler.get("mix", "natural") != "natural":
        # The validation split has other sources, hence other task signatures.
        loader.sampler.mix = "natural"
    for hook in cfg.get("custom_hooks") or []:
        if type_name(hook) == "AdaptBatchNormHook":
            hook.update(sources=None, num_batches=NUM_EVAL_BATCHES)
    for name in ("val_dataloader", "test_dataloader"):
        cfg[name].num_batch_per_epoch = NUM_EVAL_BATCHES
    for step in cfg.get("solver") or []:
        if step.get("observers"):
            step.observers.calibration_batches = NUM_EVAL_BATCHES
    cfg.train_cfg.max_iters = NUM_ITERS
    cfg.train_cfg.val_interval = NUM_ITERS
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint.interval = NUM_ITERS // 2
    schedules = cfg.get("param_scheduler") or []
    cfg.param_scheduler = [_shorten_schedule(s) for s in (schedules if isinstance(schedules, list) else [schedules])]


def _shorten_schedule(schedule: ConfigDict) -> ConfigDict:
    updates: dict[str, Any] = {"begin": 0, "end": NUM_ITERS}
    if "T_max" in schedule:
        updates["T_max"] = NUM_ITERS
    schedule.update(updates)
    return schedule
