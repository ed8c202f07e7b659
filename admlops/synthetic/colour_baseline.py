"""What colour alone tells: a per-pixel classifier that a network must beat to have learnt shapes.

It counts classes per quantised colour over the labelled masks of a training release, predicts the most frequent class of a
pixel's colour, and is scored by the mean over classes of intersection over union (IoU) on a validation release, both summed
over all labelled pixels. To give it its best chance, classes are counted with equal weight, or by frequency, whichever
scores higher.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from admlops.errors import DataReleaseError
from admlops.task_spec import CAMERA_TASKS

_TASK = CAMERA_TASKS["seg_default"]
_BITS = 5
_ROWS = 180


def colour_baseline_miou(train_release_dir: str | Path, val_release_dir: str | Path) -> float:
    """Train the colour classifier on one release and score it on another.

    Args:
        train_release_dir: Folder with a ``training_dataset.json``; records with a mask of seg_default are used, pixels of
            category sets are left out.
        val_release_dir: The same.

    Returns:
        Mean IoU over the classes of seg_default that occur in the validation release, 0..1.

    Raises:
        DataReleaseError: A release has no mask of seg_default.
    """
    counts = np.zeros((1 << (3 * _BITS), _TASK.num_channels), np.int64)
    for colors, classes in _labelled_pixels(Path(train_release_dir)):
        np.add.at(counts, (colors, classes), 1)
    if not counts.any():
        raise DataReleaseError("a release has no mask of seg_default to learn colours from", where=train_release_dir)
    weighted = counts / np.maximum(counts.sum(axis=0), 1)
    tables = [counts.argmax(axis=1), weighted.argmax(axis=1)]
    confusions = [np.zeros((_TASK.num_channels,) * 2, np.int64) for _ in tables]
    for colors, classes in _labelled_pixels(Path(val_release_dir)):
        for table, confusion in zip(tables, confusions, strict=True):
            pairs = classes * _TASK.num_channels + table[colors]
            confusion += np.bincount(pairs, minlength=confusion.size).reshape(confusion.shape)
    if not confusions[0].any():
        raise DataReleaseError("a release has no mask of seg_default to score colours on", where=val_release_dir)
    return max(_mean_iou(confusion) for confusion in confusions)


def _mean_iou(confusion: NDArray[np.int64]) -> float:
    hit = confusion.diagonal()
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - hit
    occurs = confusion.sum(axis=1) > 0
    return float((hit[occurs] / union[occurs]).mean())


def _labelled_pixels(release_dir: Path) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield colour numbers and classes of each image's labelled pixels, at a reduced size."""
    release = json.loads((release_dir / "training_dataset.json").read_text())
    for entry in release["dataset_index"]:
        index = release_dir / entry["obs_path"]
        if _TASK.name not in entry.get("task_tags", [_TASK.name]):
            continue
        for line in index.read_text().splitlines():
            record: dict[str, Any] = json.loads(line)
            label = record["labels"].get(_TASK.name)
            if label is None:
                continue
            # Decoding at a quarter of the size costs a tenth.
            picture = cv2.imread(str(index.parent / record["image"]["path"]), cv2.IMREAD_REDUCED_COLOR_4)
            mask = cv2.imread(str(index.parent / label["mask"]), cv2.IMREAD_GRAYSCALE)
            size = (max(mask.shape[1] * _ROWS // mask.shape[0], 1), _ROWS)
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.int64) >> (8 - _BITS)
            mask = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST).astype(np.int64)
            is_labelled = mask < _TASK.num_channels
            number = (picture[..., 0] << (2 * _BITS)) | (picture[..., 1] << _BITS) | picture[..., 2]
            yield number[is_labelled], mask[is_labelled]
