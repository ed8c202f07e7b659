"""Writes the predictions of a test as records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from admlops.engine.pictures import require_tasks
from admlops.engine.prediction_writer import PredictionWriter
from admlops.registry import HOOKS
from admlops.structures import MultiTaskDataSample
from admlops.task_spec import resolve_task


@HOOKS.register_module()
class PredictionDumpHook(Hook):  # type: ignore[misc]
    """Writes ``predictions.jsonl`` (one a rank where there are several) and index masks, see ``PredictionWriter``.

    Args:
        out_dir: Folder to write into.
    """

    def __init__(self, out_dir: str) -> None:
        self.out_dir = out_dir
        self._writer: PredictionWriter | None = None

    def before_test_epoch(self, runner: Runner) -> None:
        """Open the file.

        Args:
            runner: The runner.
        """
        name = "predictions.jsonl" if runner.world_size == 1 else f"predictions_{get_rank():03d}.jsonl"
        self._writer = PredictionWriter(self.out_dir, name)
        self._writer.open()

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[MultiTaskDataSample] | None = None,
    ) -> None:
        """Write a batch.

        Args:
            runner: The runner.
            batch_idx: Index of the batch.
            data_batch: Unused.
            outputs: Samples with predictions.
        """
        if self._writer is None:
            return
        tasks = runner.test_dataloader.dataset.metainfo["tasks"]
        for sample in outputs or ():
            require_tasks(sample)
            specs = {name: resolve_task(tasks.get(name, name)) for name, _ in sample.pred.task_items()}
            self._writer.write(sample, specs)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Close the file under its name.

        Args:
            runner: The runner.
            metrics: Unused.
        """
        if self._writer is not None:
            self._writer.close()
            self._writer = None
