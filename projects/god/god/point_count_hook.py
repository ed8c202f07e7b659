"""Says what became of the points that were read: nothing is dropped without a word."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from god.registry import HOOKS

Counts = Mapping[str, int]
"""``point_counts`` of a sample: points ``read``, and how many of them met each fate that keeps them off the grid."""

IN_GRID = "in_grid"
"""The fate of all others."""

MIN_SHARE = 0.01
"""Of the points of a sweep: where no more lie in the grid, the sweep was hardly evaluated at all."""

_NAMED = 5
_WORDS = {"ego": "on the ego vehicle", "thinned": "thinned out", IN_GRID: "in the grid"}


@HOOKS.register_module()
class PointCountHook(Hook):  # type: ignore[misc]
    """Sums the ``point_counts`` of all samples over all ranks.

    Validation and test end with a line of the sums, which are ``points/<fate>/num_points`` of the metrics, too, and with a
    warning that names sweeps of which hardly any point lies in the grid: it would look like a network that finds nothing.
    Training says its sums before each validation and at its end; windows are shifted there, so many points lie out of range.
    """

    # Before ReportHook, which writes the metrics.
    priority = "NORMAL"

    def __init__(self) -> None:
        self._trained: Counter[str] = Counter()
        self._num_trained = 0
        self._evaluated: dict[tuple[str, str], tuple[str, Counts]] = {}

    def _before_epoch(self, runner: Runner, mode: str = "train") -> None:
        self._evaluated = {}
        if mode == "val":
            self._report_training(runner)

    def _after_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None, mode: str = "train"
    ) -> None:
        for sample in data_batch["data_samples"]:
            if mode == "train":
                self._num_trained += 1
                self._trained.update(sample.point_counts)
            else:
                # Samplers pad: ranks may hold a sample twice.
                self._evaluated[sample.source, sample.sample_id] = (sample.lidar_path, sample.point_counts)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Report a validation.

        Args:
            runner: The runner.
            metrics: Metrics by name; the sums are added.
        """
        self._report(runner, "val", metrics)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Report a test.

        Args:
            runner: The runner.
            metrics: Metrics by name; the sums are added.
        """
        self._report(runner, "test", metrics)

    def after_train(self, runner: Runner) -> None:
        """Report what was trained on since the last validation.

        Args:
            runner: The runner.
        """
        self._report_training(runner)

    def _report(self, runner: Runner, mode: str, metrics: dict[str, float] | None) -> None:
        sweeps = {key: sweep for part in all_gather_object(self._evaluated) for key, sweep in part.items()}
        sums = _sum(counts for _, counts in sweeps.values())
        if metrics is not None:
            metrics.update({f"points/{fate}/num_points": float(number) for fate, number in sums.items()})
        if runner.rank != 0:
            return
        print_log(f"{mode}: {_say(len(sweeps), sums)}", logger="current")
        left = [
            f"{sample_id} of {source}: {_in_grid(counts)} of {counts['read']} points, {path}"
            for (source, sample_id), (path, counts) in sorted(sweeps.items())
            if _in_grid(counts) <= MIN_SHARE * counts["read"]
        ]
        if left:
            named = left[:_NAMED] + [f"and {len(left) - _NAMED} more"] * (len(left) > _NAMED)
            what = f"{mode}: {len(left)} of {len(sweeps)} sweeps have hardly a point in the grid; are they in m?"
            print_log("\n  ".join([what, *named]), logger="current", level=logging.WARNING)

    def _report_training(self, runner: Runner) -> None:
        parts = all_gather_object((self._num_trained, self._trained))
        self._num_trained, self._trained = 0, Counter()
        number = sum(number for number, _ in parts)
        if number and runner.rank == 0:
            text = _say(number, _sum(counts for _, counts in parts))
            print_log(f"training up to iteration {runner.iter}: {text}", logger="current")


def _in_grid(counts: Counts) -> int:
    return 2 * counts["read"] - sum(counts.values())


def _sum(parts: Iterable[Counts]) -> dict[str, int]:
    sums = Counter(read=0)
    for counts in parts:
        sums.update(counts)
    return {**sums, IN_GRID: _in_grid(sums)}


def _say(num_sweeps: int, sums: Counts) -> str:
    fates = (f"{number:,} {_WORDS.get(fate, fate.replace('_', ' '))}" for fate, number in sums.items() if fate != "read")
    return f"{num_sweeps:,} sweeps, {sums['read']:,} points read: {', '.join(fates)}"
