"""Draws all branches of some pictures of each validation or test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
from mmengine.hooks import Hook
from mmengine.runner import Runner

from admlops.datasets.transforms.read_file import decode_image, resolve_path
from admlops.registry import HOOKS
from admlops.structures import MultiTaskDataSample


@HOOKS.register_module()
class OverlayHook(Hook):  # type: ignore[misc]
    """Draws truth beside prediction, in original pixels.

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
            data_batch: Unused.
            outputs: Samples with predictions.
        """
        self._draw(runner, batch_idx, runner.val_dataloader, outputs or ())

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
            data_batch: Unused.
            outputs: Samples with predictions.
        """
        self._draw(runner, batch_idx, runner.test_dataloader, outputs or ())

    def _draw(self, runner: Runner, batch_idx: int, dataloader: Any, samples: Sequence[MultiTaskDataSample]) -> None:
        if self.num_pictures is not None:
            every = max(1, len(dataloader) // self.num_pictures)
            if batch_idx % every or batch_idx // every >= self.num_pictures:
                return
            samples = samples[:1]
        folder = Path(self.out_dir) if self.out_dir else Path(runner.work_dir) / "overlays"
        for sample in samples:
            path = resolve_path(folder, sample.img_path, getattr(dataloader.dataset, "profiles", None))
            # As training reads it: cv2.imread would apply a rotation noted in EXIF.
            image_bgr = decode_image(path.read_bytes(), path, sample.sample_id)
            runner.visualizer.add_datasample(
                sample.sample_id,
                cv2.cvtColor(image_bgr, cv2.COLOR_BGR2RGB),
                sample,
                out_file=str(folder / f"{sample.source}_{sample.sample_id}.png".replace("/", "_")),
                step=runner.iter,
            )
