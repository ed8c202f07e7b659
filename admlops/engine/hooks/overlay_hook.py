"""Draws all branches of some pictures of each validation or test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from admlops.engine.pictures import picture_name, picture_reader, require_tasks
from admlops.registry import HOOKS
from admlops.structures import MultiTaskDataSample, inputs_of_sample


@HOOKS.register_module()
class OverlayHook(Hook):  # type: ignore[misc]
    """Draws truth beside prediction, in original pixels, on what the visualizer chooses.

    Args:
        num_pictures: How many, spread evenly over the data; ``None`` draws all.
        out_dir: Folder; ``overlays`` in the work dir by default.
    """

    def __init__(self, num_pictures: int | None = 8, out_dir: str | None = None) -> None:
        self.num_pictures = num_pictures
        self.out_dir = out_dir

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[MultiTaskDataSample] | None = None,
    ) -> None:
        """Draw a batch of the validation.

        Args:
            runner: The runner.
            batch_idx: Index of the batch.
            data_batch: With the inputs, as the data loader gave it.
            outputs: Samples with predictions.
        """
        self._draw(runner, batch_idx, runner.val_dataloader, data_batch, outputs or ())

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[MultiTaskDataSample] | None = None,
    ) -> None:
        """Draw a batch of the test.

        Args:
            runner: The runner.
            batch_idx: Index of the batch.
            data_batch: With the inputs, as the data loader gave it.
            outputs: Samples with predictions.
        """
        self._draw(runner, batch_idx, runner.test_dataloader, data_batch, outputs or ())

    def _draw(
        self, runner: Runner, batch_idx: int, dataloader: Any, data_batch: Any, samples: Sequence[MultiTaskDataSample]
    ) -> None:
        if self.num_pictures is not None:
            every = max(1, len(dataloader) // self.num_pictures)
            if batch_idx % every or batch_idx // every >= self.num_pictures:
                return
            samples = samples[:1]
        folder = Path(self.out_dir) if self.out_dir else Path(runner.work_dir) / "overlays"
        read_picture = picture_reader(dataloader.dataset)
        for index, sample in enumerate(samples):
            require_tasks(sample)
            background = runner.visualizer.background(sample, inputs_of_sample(data_batch, index), read_picture)
            out_file = str(folder / picture_name(sample))
            runner.visualizer.add_datasample(sample.sample_id, background, sample, out_file=out_file, step=runner.iter)
