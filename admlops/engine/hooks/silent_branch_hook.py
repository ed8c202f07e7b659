"""Tells of a branch that learns nothing, because no record labels its task."""

from __future__ import annotations

import logging
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

NUM_ITERS = 50


class SilentBranchHook(Hook):  # type: ignore[misc]
    """Warns once of every branch whose loss was 0 in all of the first iterations of a training.

    A release may serve a task that its records do not label, or whose labels lie where the network does not look; the log
    then shows a loss of 0.000, or none, and the training goes on to its end. ``ReleaseRunner`` registers it. It reads the
    history that the log has, so it costs no wait for the GPU.
    """

    # After RuntimeInfoHook, which records the losses.
    priority = "NORMAL"

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Look back, once.

        Args:
            runner: The runner.
            batch_idx: Unused.
            data_batch: Unused.
            outputs: Unused.
        """
        num_iters = min(NUM_ITERS, runner.max_iters)
        if runner.iter + 1 != num_iters:
            return
        histories = {name: history.data[0] for name, history in runner.message_hub.log_scalars.items()}
        learning = {name.split(".loss")[0] for name, losses in histories.items() if ".loss" in name and losses.any()}
        release = getattr(runner.train_dataloader.dataset, "release", None)
        for name, branch in getattr(runner.network, "branches", {}).items():
            if f"train/{name}" in learning or f"branches.{name}" in runner.network.frozen:
                continue
            print_log(
                f"{branch.task.name} learns nothing: the loss of branches.{name} was 0 in all of the first {num_iters}"
                f" iterations. No record that was read labels the task, or none of its labels lies where the network looks."
                f" Release: {getattr(release, 'where', 'unknown')}. What training sees: python tools/browse_dataset.py"
                f" {runner.cfg.filename}. What the records label: python tools/analyze.py",
                "current",
                logging.WARNING,
            )
