"""Predictions as records of a JSONL index, so that they can be looked at, corrected and released again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import orjson

from admlops.data_release.storage import is_url
from admlops.structures import MultiTaskDataSample
from admlops.task_spec import TaskKind, TaskSpec
from admlops.visualization import write_picture


class PredictionWriter:
    """Writes a JSONL file, which appears when it is complete, and index masks in the folder ``masks`` beside it.

    A line is a record whose labels are the predictions; boxes carry ``scores`` beside ``categories``, so such a file is for
    people and mining, and becomes a release only after somebody has checked it and dropped the scores.

    Attributes:
        path: The file.

    Args:
        out_dir: Folder to write into.
        name: Name of the file.
    """

    def __init__(self, out_dir: str | Path, name: str = "predictions.jsonl") -> None:
        self.path = Path(out_dir) / name
        self._part = self.path.with_name(f".{name}.part")
        self._file: IO[bytes] | None = None

    def __enter__(self) -> PredictionWriter:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self.close()
        elif self._file is not None:
            self._file.close()
            self._part.unlink()

    def open(self) -> None:
        """Begin a file under another name."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._part.open("wb")

    def close(self) -> None:
        """Give the file its name."""
        if self._file is not None:
            self._file.close()
            self._part.replace(self.path)
            self._file = None

    def write(
        self, sample: MultiTaskDataSample, tasks: Mapping[str, TaskSpec], attributes: Mapping[str, Any] | None = None
    ) -> None:
        """Write one sample's predictions.

        Args:
            sample: With ``pred`` in pixels of the original, and ``sample_id``, ``source``; ``img_path`` and ``ori_shape``, or
                ``lidar`` (as recorded), ``lidar_path`` and the ``grid`` whose cells the masks hold, by the names of its fields.
            tasks: The tasks, by name.
            attributes: Of the record, beside its ``source``.
        """
        labels: dict[str, Any] = {}
        for name, element in sample.pred.task_items():
            if tasks[name].kind is TaskKind.DETECTION:
                labels[name] = {
                    "boxes": element.bboxes.cpu().numpy().astype(float).round(2).tolist(),
                    "categories": [tasks[name].channels[i] for i in element.labels.tolist()],
                    "scores": element.scores.cpu().numpy().astype(float).round(4).tolist(),
                }
            else:
                mask = Path("masks") / name / f"{sample.source}_{sample.sample_id}.png".replace("/", "_")
                write_picture(self.path.parent / mask, element.data[0].cpu().numpy().astype(np.uint8))
                labels[name] = {"mask": str(mask)}
        record = {
            "sample_id": sample.sample_id,
            **_sensor_entry(sample),
            "labels": labels,
            "attributes": {
                "source": sample.source,
                **({"grid": sample.grid} if "grid" in sample else {}),
                **(attributes or {}),
            },
        }
        if self._file is not None:
            self._file.write(orjson.dumps(record) + b"\n")


def _sensor_entry(sample: MultiTaskDataSample) -> dict[str, Any]:
    """What the network was given, as a record names it."""
    if "lidar_path" in sample:
        return {"lidar": {**sample.lidar, "path": _full_path(sample.lidar_path)}}
    height, width = sample.ori_shape
    return {"image": {"path": _full_path(sample.img_path), "width": width, "height": height}}


def _full_path(path: str) -> str:
    return path if is_url(path) else str(Path(path).resolve())
