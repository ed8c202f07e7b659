"""Scan all records of the splits on all cores, and compare the pictures."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from admlops.analysis.counts import ClassLayout, SourceCounts
from admlops.analysis.near_duplicates import Overlap, Pictures, find_overlaps
from admlops.analysis.record_scan import ScanJob, ScanOptions, scan_records
from admlops.analysis.splits import OpenedSplits, Source
from admlops.analysis.thumbnail import THUMB_HW
from admlops.conversion.chunk_pool import run_jobs
from admlops.errors import ConversionError, MachineError
from admlops.task_spec import TaskSpec
from admlops.threads import available_cores

_RECORDS_A_JOB = 4096
_PIXEL_RECORDS_A_JOB = 64
_RECORDS_A_PROCESS = 8192
"""Fewer are done before a second process has started."""


@dataclass(frozen=True)
class Analysis:
    """What the splits hold.

    Attributes:
        splits: The splits and sources.
        layout: All classes that were counted.
        counts: Of each source, in the order of ``splits.sources``.
        overlaps: Of each two splits, then within each.
        options: What was scanned.
    """

    splits: OpenedSplits
    layout: ClassLayout
    counts: tuple[SourceCounts, ...]
    overlaps: tuple[Overlap, ...]
    options: ScanOptions

    @property
    def tasks(self) -> tuple[TaskSpec, ...]:
        """Tasks to report: those needed, and those that any record labels."""
        labelled = sum(counts.task_labelled for counts in self.counts)
        return tuple(
            task
            for task, records in zip(self.layout.tasks, np.atleast_1d(labelled).tolist(), strict=True)
            if records or task.name in self.splits.needed
        )

    def classes(self) -> Iterator[tuple[TaskSpec, str, int]]:
        """List the classes of the reported tasks.

        Yields:
            Task, class and its position on the class axis.
        """
        for position, (task, name) in enumerate(self.layout.names):
            if task in self.tasks:
                yield task, name, position

    def is_unread(self, counts: SourceCounts, task: TaskSpec) -> bool:
        """Tell whether nobody looked into the masks of a task: then zero images with a class mean nothing.

        Args:
            counts: Of a source or of several.
            task: One of the tasks.

        Returns:
            True where there are masks and none was read.
        """
        number = self.layout.tasks.index(task)
        return bool(counts.masks[number]) and not counts.masks_read[number]

    def of_split(self, name: str) -> list[tuple[Source, SourceCounts]]:
        """List a split's sources.

        Args:
            name: Of the split.

        Returns:
            Sources with their counts.
        """
        return [(s, c) for s, c in zip(self.splits.sources, self.counts, strict=True) if s.split == name]


def scan_splits(
    splits: OpenedSplits,
    options: ScanOptions,
    *,
    threshold: int = 6,
    num_workers: int | None = None,
    show_progress: bool = False,
) -> Analysis:
    """Count everything once and look for what the splits share.

    Memory grows by 18 bytes a record; thumbnails (288 bytes a picture) lie in a temporary file.

    Args:
        splits: What to analyse.
        options: What to count.
        threshold: Bits in which hashes of near duplicates may differ.
        num_workers: Processes; None for as many as pay off.
        show_progress: Draw a progress bar.

    Returns:
        The counts and overlaps.

    Raises:
        RecordError: A record, or a file that it names, is invalid or missing.
        MachineError: A worker process was killed.
    """
    layout = ClassLayout(splits.tasks)
    counts = [SourceCounts.zero(layout) for _ in splits.sources]
    offsets = np.cumsum([0, *(source.num_records for source in splits.sources)])
    total = int(offsets[-1])
    num_pictures = total if options.read_images else 0
    scenes, contents = np.zeros(total, np.uint64), np.zeros(num_pictures, np.uint64)
    reads_pixels = options.read_images or options.max_masks != 0
    workers = num_workers or min(available_cores(), 1 + total // (_PIXEL_RECORDS_A_JOB if reads_pixels else _RECORDS_A_PROCESS))
    with tempfile.TemporaryFile() as file, tqdm(total=total, unit="record", disable=not show_progress) as bar:
        thumbs = _thumb_store(file, num_pictures)
        try:
            for result in run_jobs(scan_records, _jobs(splits, layout, options, reads_pixels), workers):
                counts[result.job.number].add(result.counts)
                start = int(offsets[result.job.number])
                place = slice(start + result.job.start, start + result.job.stop)
                scenes[place] = result.scenes
                if options.read_images:
                    contents[place], thumbs[place] = result.contents, result.thumbs
                bar.update(result.job.stop - result.job.start)
        except ConversionError as error:
            raise MachineError(error.what, expected=error.expected, remedy="use fewer processes: --workers 1") from error
        numbers = np.array([splits.names.index(source.split) for source in splits.sources], dtype=np.int16)
        of_record = np.repeat(numbers, np.diff(offsets))
        overlaps = find_overlaps(Pictures(of_record, scenes, contents, thumbs), len(splits.names), threshold)
    return Analysis(splits, layout, tuple(counts), tuple(overlaps), options)


def _thumb_store(file: IO[bytes], num_pictures: int) -> npt.NDArray[np.uint8]:
    if not num_pictures:
        return np.zeros((0, *THUMB_HW), np.uint8)
    thumbs: npt.NDArray[np.uint8] = np.memmap(file, dtype=np.uint8, mode="w+", shape=(num_pictures, *THUMB_HW))
    return thumbs


def _jobs(splits: OpenedSplits, layout: ClassLayout, options: ScanOptions, reads_pixels: bool) -> Iterator[ScanJob]:
    size = _PIXEL_RECORDS_A_JOB if reads_pixels else _RECORDS_A_JOB
    for number, source in enumerate(splits.sources):
        for start in range(0, source.num_records, size):
            yield ScanJob(number, source, start, min(start + size, source.num_records), layout, options)
