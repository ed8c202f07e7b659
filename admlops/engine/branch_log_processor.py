"""One readable line an interval: progress, ETA, speed, and the loss of each branch that was trained."""

from __future__ import annotations

import datetime
import math
from typing import Any

import numpy as np
import torch
from mmengine.runner import LogProcessor, Runner

from admlops.registry import LOG_PROCESSORS


@LOG_PROCESSORS.register_module()
class BranchLogProcessor(LogProcessor):  # type: ignore[misc]
    """Prints a training interval with one figure a branch; of a network without branches, one a loss.

    ``iter 40/400 (10 %)  eta 0:09:12  1.52 s/iter (data 0.01)  lr 1.6e-03  loss 6.31 | det_person 1.03  seg_lane 0.71``. All
    losses, also the parts of a branch's, go to TensorBoard.

    Args:
        window_size: Iterations to average over.
    """

    def __init__(self, window_size: int = 20) -> None:
        super().__init__(window_size=window_size, by_epoch=False)

    def get_log_after_iter(self, runner: Runner, batch_idx: int, mode: str) -> tuple[dict[str, Any], str]:
        """Describe the interval that ends here.

        Args:
            runner: The runner.
            batch_idx: Index of the iteration.
            mode: ``train``, ``val`` or ``test``.

        Returns:
            Scalars by name, and the line.
        """
        if mode != "train":
            log: tuple[dict[str, Any], str] = super().get_log_after_iter(runner, batch_idx, mode)
            return log
        done = runner.iter + 1
        window = min(self.window_size, done)
        tag: dict[str, Any] = {}
        for key, history in runner.message_hub.log_scalars.items():
            if not key.startswith("train/"):
                continue
            name = key.removeprefix("train/")
            with np.errstate(invalid="ignore"):
                value = float(history.current()) if name == "lr" else float(history.mean(window))
            if not math.isnan(value) or name == "loss":
                tag[name] = value
        eta_s = round(float(runner.message_hub.get_info("eta") or 0.0))
        parts = [
            f"iter {done}/{runner.max_iters} ({100 * done // runner.max_iters} %)",
            f"eta {datetime.timedelta(seconds=eta_s)}",
            f"{tag.get('time', math.nan):.2f} s/iter (data {tag.get('data_time', math.nan):.2f})",
            f"lr {tag.get('lr', math.nan):.1e}",
        ]
        if torch.cuda.is_available():
            memory_mib = torch.cuda.max_memory_allocated() // 2**20
            tag["memory"] = memory_mib
            parts.append(f"{memory_mib} MiB")
        parts.append(f"loss {tag.get('loss', math.nan):.3f}")
        branches: dict[str, float] = {}
        for name, value in tag.items():
            if ".loss" in name or (name.startswith("loss_") and name != "loss_zero"):
                branch = name.split(".", 1)[0]
                branches[branch] = branches.get(branch, 0.0) + value
        line = "  ".join(parts)
        if branches:
            line += " | " + "  ".join(f"{name} {value:.3f}" for name, value in branches.items())
        return tag, line

    def get_log_after_epoch(
        self, runner: Runner, batch_idx: int, mode: str, with_non_scalar: bool = False
    ) -> tuple[dict[str, Any], str]:
        """Sum a validation or test up; every number goes to TensorBoard, the table comes from ``ReportHook``.

        Args:
            runner: The runner.
            batch_idx: Number of batches.
            mode: ``val`` or ``test``.
            with_non_scalar: Whether the values may be other than numbers.

        Returns:
            Scalars by name, and the line.
        """
        tag, _ = super().get_log_after_epoch(runner, batch_idx, mode, with_non_scalar)
        summary = {key: value for key, value in tag.items() if key.count("/") == 1 and isinstance(value, float)}
        return tag, f"{mode} {batch_idx} batches  " + "  ".join(f"{key} {value:.4f}" for key, value in summary.items())
