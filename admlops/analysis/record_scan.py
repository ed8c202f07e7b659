"""Count what a stretch of records holds; runs in worker processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from admlops.analysis.box_columns import BoxColumns
from admlops.analysis.cloud_columns import CloudColumns
from admlops.analysis.counts import ClassLayout, SourceCounts
from admlops.analysis.label_columns import LabelColumns
from admlops.analysis.mask_columns import LaneColumns, MaskColumns
from admlops.analysis.read_pixels import read_file
from admlops.analysis.splits import Source
from admlops.analysis.thumbnail import THUMB_HW, make_thumbnail
from admlops.data_release import JsonlIndex, RecordPlace
from admlops.data_release.storage import DataPath
from admlops.errors import RecordError
from admlops.task_spec import LIDAR_TASKS, TaskKind, TaskSpec

U64 = npt.NDArray[np.uint64]

_NO_IMAGE = (0, 0)


@dataclass(frozen=True)
class ScanOptions:
    """What to count, and against which network input.

    Attributes:
        resize_hw: The config's ``resize_hw`` of ``min_max_pairs``: scale = min(h_max / h, w_max / w).
        min_side_px: A box whose shorter side is below, in px of the input, is tiny.
        max_masks: Masks to read of each source and task, evenly spread; 0 for none, None for all.
        read_images: Decode the pictures for the search of near duplicates.
    """

    resize_hw: tuple[int, int] = (540, 1140)
    min_side_px: float = 8.0
    max_masks: int | None = None
    read_images: bool = True


@dataclass(frozen=True)
class ScanJob:
    """Some records of a source.

    Attributes:
        number: Position of the source among all.
        source: The source.
        start: First record.
        stop: One past the last.
        layout: The classes.
        options: What to count.
    """

    number: int
    source: Source
    start: int
    stop: int
    layout: ClassLayout
    options: ScanOptions


@dataclass(frozen=True)
class ScanResult:
    """Counts of a job, and what is compared between splits.

    Attributes:
        job: What was scanned; N = stop - start records.
        counts: Of these records.
        scenes: (N,) hash of ``attributes.scene``, 0 where there is none.
        contents: (N,) hash of the image file's bytes, of the sweep's where there is no image; empty without ``read_images``.
        thumbs: (N, 16, 18) uint8, zeros where there is no image; empty without ``read_images``.
    """

    job: ScanJob
    counts: SourceCounts
    scenes: U64
    contents: U64
    thumbs: npt.NDArray[np.uint8]


def scan_records(job: ScanJob) -> ScanResult:
    """Read some records, and the masks and pictures that they name as far as the options ask for them.

    Args:
        job: Which.

    Returns:
        The counts.

    Raises:
        RecordError: A record, or a file that it names, is invalid or missing; names the record.
    """
    source, layout, options = job.source, job.layout, job.options
    index = _open_index(source.index_path, source.index_version)
    counts = SourceCounts.zero(layout)
    columns = [_columns(layout, number, source.base_dir) for number in range(len(layout.tasks))]
    served = [task.name in source.tasks for task in layout.tasks]
    image_hw = np.zeros((job.stop - job.start, 2), np.int64)
    scenes = np.zeros(job.stop - job.start, np.uint64)
    contents = np.zeros(len(scenes) if options.read_images else 0, np.uint64)
    thumbs = np.zeros((len(contents), *THUMB_HW), np.uint8)
    for row, line in enumerate(range(job.start, job.stop)):
        record = index[line]
        where = RecordPlace(index, line)
        h, w = image_hw[row] = _image_hw(record)
        scene = record.get("attributes", {}).get("scene")
        if scene is not None:
            scenes[row] = hash_content(str(scene).encode("utf-8"))
        read_mask = reads_mask(line, source.num_records, options.max_masks)
        labels = record["labels"]
        for number, task in enumerate(layout.tasks):
            if task.name in labels:
                if served[number]:
                    if not h and task.name not in LIDAR_TASKS:
                        raise _no_camera_record(record, task, where)
                    columns[number].add(row, labels[task.name], (int(h), int(w)), read_mask, where)
                else:
                    counts.untagged[number] += 1
        if options.read_images:
            sensor, what = ("image", "an image") if h else ("lidar", "a sweep")
            path, content = read_file(source.base_dir, record[sensor]["path"], what, "--no-images", where)
            contents[row] = hash_content(content)
            if h:
                thumbs[row] = make_thumbnail(content, (int(h), int(w)), path, where)
    _finish(counts, columns, image_hw, options)
    return ScanResult(job, counts, scenes, contents, thumbs)


def reads_mask(line: int, num_records: int, max_masks: int | None) -> bool:
    """Choose evenly spread records.

    Args:
        line: Number of a record, from 0.
        num_records: Of its source.
        max_masks: How many to choose; None for all.

    Returns:
        Whether the record is one of them.
    """
    if max_masks is None or max_masks >= num_records:
        return True
    return (line + 1) * max_masks // num_records > line * max_masks // num_records


def hash_content(content: bytes) -> int:
    """Hash bytes, the same in every process.

    Args:
        content: Any.

    Returns:
        64 bits, never 0.
    """
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little") or 1


@lru_cache(maxsize=8)
def _open_index(path: Path, version: str) -> JsonlIndex:
    return JsonlIndex(path, version=version)


def _columns(layout: ClassLayout, number: int, base_dir: DataPath) -> LabelColumns:
    task = layout.tasks[number]
    kinds: dict[TaskKind, Callable[[TaskSpec, DataPath], LabelColumns]] = {
        TaskKind.DETECTION: BoxColumns,
        TaskKind.LANE: LaneColumns,
        TaskKind.SEMANTIC: MaskColumns,
    }
    columns = CloudColumns if task.name in LIDAR_TASKS else kinds[task.kind]
    return columns(task, base_dir)


def _image_hw(record: dict[str, Any]) -> tuple[int, int]:
    image = record.get("image")
    return (image["height"], image["width"]) if image else _NO_IMAGE


def _no_camera_record(record: dict[str, Any], task: TaskSpec, where: object) -> RecordError:
    return RecordError(
        f"not a camera record, although it labels {task.name}",
        where=where,
        expected="image {path, width, height}",
        got=f"keys {', '.join(sorted(record))}",
        remedy="name the image that the labels were drawn in",
    )


def _finish(counts: SourceCounts, columns: list[LabelColumns], image_hw: npt.NDArray[np.int64], options: ScanOptions) -> None:
    counts.records = len(image_hw)
    sizes, numbers = np.unique(image_hw, axis=0, return_counts=True)
    for (h, w), number in zip(sizes.tolist(), numbers.tolist(), strict=True):
        if (h, w) != _NO_IMAGE:
            counts.image_sizes[h, w] += number
    # float32, since only products of floats run on BLAS; counts stay far below 2^24.
    present = np.zeros((len(image_hw), len(counts.images)), dtype=np.float32)
    known = np.zeros_like(present)
    start = 0
    for number, column in enumerate(columns):
        span = slice(start, start + len(column.task.classes))
        column.count(counts, number, span, present, known, image_hw, options.resize_hw, options.min_side_px)
        start = span.stop
    counts.images += present.sum(axis=0).astype(np.int64)
    counts.together += (present.T @ present).round().astype(np.int64)
    counts.compared += (present.T @ known).round().astype(np.int64)
