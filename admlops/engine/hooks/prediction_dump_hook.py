"""Writes predictions as records, so that they can be looked at, corrected and released again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
import orjson
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from admlops.data_release.storage import is_url
from admlops.registry import HOOKS
from admlops.structures import MultiTaskDataSample
from admlops.task_spec import TaskKind, resolve_task


@HOOKS.register_module()
class PredictionDumpHook(Hook):  # type: ignore[misc]
    """Writes ``predictions.jsonl`` (one a rank where there are several) and index masks.

    A line is a record of a JSONL index whose labels are the predictions; boxes carry ``scores`` beside ``categories``, so
    such a file is for people and mining, and becomes a release only after somebody has checked it and dropped the scores.

    Args:
        out_dir: Folder to write into.
    """

    def __init__(self, out_dir: str) -> None:
        self.out_dir = Path(out_dir)
        self._file: IO[bytes] | None = None
        self._part = Path()

    def before_test_epoch(self, runner: Runner) -> None:
        """Open the file.

        Args:
            runner: The runner.
        """
        (self.out_dir / "masks").mkdir(parents=True, exist_ok=True)
        name = "predictions.jsonl" if runner.world_size == 1 else f"predictions_{get_rank():03d}.jsonl"
        self._part = self.out_dir / f".{name}.part"
        self._file = self._part.open("wb")

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
        tasks = runner.test_dataloader.dataset.metainfo["tasks"]
        for sample in outputs or ():
            labels = {}
            for name, element in sample.pred.task_items():
                spec = resolve_task(tasks[name]) if name in tasks else resolve_task(name)
                if spec.kind is TaskKind.DETECTION:
                    labels[name] = {
                        "boxes": element.bboxes.cpu().numpy().astype(float).round(2).tolist(),
                        "categories": [spec.channels[i] for i in element.labels.tolist()],
                        "scores": element.scores.cpu().numpy().astype(float).round(4).tolist(),
                    }
                else:
                    mask = Path("masks") / name / f"{sample.source}_{sample.sample_id}.png".replace("/", "_")
                    (self.out_dir / mask).parent.mkdir(exist_ok=True)
                    cv2.imwrite(str(self.out_dir / mask), element.data[0].cpu().numpy().astype(np.uint8))
                    labels[name] = {"mask": str(mask)}
            height, width = sample.ori_shape
            path = sample.img_path if is_url(sample.img_path) else str(Path(sample.img_path).resolve())
            record = {
                "sample_id": sample.sample_id,
                "image": {"path": path, "width": width, "height": height},
                "labels": labels,
                "attributes": {"source": sample.source},
            }
            if self._file is not None:
                self._file.write(orjson.dumps(record) + b"\n")

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Close the file under its name.

        Args:
            runner: The runner.
            metrics: Unused.
        """
        if self._file is not None:
            self._file.close()
            self._part.replace(self.out_dir / self._part.name.removeprefix(".").removesuffix(".part"))
            self._file = None
