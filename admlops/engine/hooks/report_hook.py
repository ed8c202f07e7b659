"""Writes the numbers of a validation or test: table on screen, ``metrics.json``, CSV, curves and confusion matrices."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from admlops.evaluation.report import format_table, write_report
from admlops.registry import HOOKS


@HOOKS.register_module()
class ReportHook(Hook):  # type: ignore[misc]
    """Reports each validation and test into the work dir; the newest one stays.

    Those of the networks that a step begins and ends with stay beside their checkpoints: ``fusion-bn-c1-init.metrics.json``,
    ``fusion-bn-c1-last.metrics.json``.
    """

    priority = "LOW"

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Report a validation.

        Args:
            runner: The runner.
            metrics: Metrics by name.
        """
        self._report(runner, "val", metrics or {}, runner.val_loop.evaluator)
        kept = {0: "init", runner.max_iters: "last"}.get(runner.iter)
        if runner.rank == 0 and metrics and kept is not None and runner.max_iters:
            folder = Path(runner.work_dir)
            shutil.copy(folder / "metrics.json", folder / f"{runner.step.name}-{kept}.metrics.json")

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Report a test.

        Args:
            runner: The runner.
            metrics: Metrics by name.
        """
        self._report(runner, "test", metrics or {}, runner.test_loop.evaluator)

    def _report(self, runner: Runner, split: str, metrics: dict[str, float], evaluator: Any) -> None:
        if runner.rank != 0 or not metrics:
            return
        context = {
            "split": split,
            "step": runner.step.name,
            "iteration": runner.iter,
            "checkpoint": getattr(runner, "loaded_from", None),
            "backend": getattr(runner, "backend", "torch"),
            **runner.lineage.of_report(runner, split),
        }
        write_report(runner.work_dir, metrics, getattr(evaluator, "details", {}), context)
        print_log(f"{split} after {runner.iter} iterations\n{format_table(metrics)}", logger="current")
        print_log(f"written into {runner.work_dir}: metrics.json, metrics.csv, pr_*.png, confusion_*.png", logger="current")
