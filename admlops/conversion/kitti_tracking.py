"""KITTI tracking (2012 layout) -> the four detection tasks, and the lidar sweep.

Layout: ``training/{image_02,velodyne}/<drive>/NNNNNN.{png,bin}`` and ``training/label_02/<drive>.txt``, one file a drive: frame
and track id stand before the columns of the object benchmark. A frame without a line shows nothing.

Geiger et al., "Are we ready for autonomous driving? The KITTI vision benchmark suite", CVPR 2012.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from admlops.conversion.box_labels import BoxLabels
from admlops.conversion.converter import Converter, FrameWriter, SourceFrame
from admlops.conversion.file_stems import file_stems
from admlops.conversion.kitti_labels import (
    COLUMNS,
    LABELLED,
    add_object,
    make_record,
    malformed,
    parse_object,
    read_label_lines,
    split_columns,
    training_folder,
)
from admlops.conversion.photo_file import read_photo
from admlops.errors import ConversionError, nearest

MAX_TRUNCATED_LEVEL = 2.0
MISSING_SWEEPS = frozenset(f"0001_{frame:06d}" for frame in range(177, 181))
"""Frames whose sweep KITTI never published: the recording (2011_09_26, drive 9) lacks them."""

Line = tuple[int, int, str]


@dataclass(frozen=True)
class KittiTrackingConverter(Converter):
    """KITTI tracking: boxes in the left colour camera with track ids, and the lidar sweep where ``velodyne`` is there.

    Attributes:
        drives: Only these; all where empty. Frames of a drive look alike, so that training and validation must not share one.
    """

    drives: tuple[str, ...] = ()

    name: ClassVar[str] = "kitti_tracking"
    revision: ClassVar[int] = 1
    tasks: ClassVar[tuple[str, ...]] = tuple(LABELLED)
    splits: ClassVar[tuple[str, ...]] = ("training",)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "drives", tuple(self.drives))

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Add ``--drives``."""
        parser.add_argument(
            "--drives",
            nargs="+",
            action="extend",
            default=[],
            metavar="NNNN",
            help="only these drives (default: all), so that training and validation do not share one",
        )

    def frames(self) -> Iterator[SourceFrame]:
        """List the images of each drive, each with its lines of the drive's label file."""
        folder = training_folder(self.source_root, "image_02", "label_02")
        with_lidar = (folder / "velodyne").is_dir()
        for drive in self._drives(folder):
            images, label = folder / "image_02" / drive, folder / "label_02" / f"{drive}.txt"
            for part in (images, label):
                if not part.exists():
                    raise ConversionError(f"a part of drive {drive} is missing", where=part, remedy="complete the source")
            lines = _lines_of_frames(label)
            # A frame may lack its image: it is listed all the same, so that the missing one is named.
            for name in sorted(file_stems(images, (".png",)).keys() | lines.keys()):
                sample_id = f"{drive}_{name}"
                files = {"image": images / f"{name}.png", "boxes": label}
                if with_lidar and sample_id not in MISSING_SWEEPS:
                    files["lidar"] = folder / "velodyne" / drive / f"{name}.bin"
                yield SourceFrame(sample_id, files, str(label if name in lines else images), lines.get(name, []))

    def convert(self, frame: SourceFrame, writer: FrameWriter) -> dict[str, Any]:
        """Sort a frame's objects into the four tasks."""
        image = read_photo(frame.files["image"])
        labels = {task: BoxLabels() for task in LABELLED}
        track_ids: dict[str, list[int]] = {task: [] for task in LABELLED}
        for number, track_id, line in frame.annotation:
            words = line.split()
            item = parse_object(words, f"{frame.files['boxes']}:{number}", image, MAX_TRUNCATED_LEVEL)
            add_object(item, labels, writer)
            for task, boxes in labels.items():
                track_ids[task] += [track_id] * (len(boxes.boxes) - len(track_ids[task]))
        if frame.sample_id in MISSING_SWEEPS:
            writer.tally.refuse("sweep that KITTI never published: camera only")
        drive, _, name = frame.sample_id.partition("_")
        attributes = {
            "source": self.name,
            "split": self.split,
            "scene": drive,
            "frame": int(name),
            "track_ids": track_ids,
        }
        return make_record(frame, image, labels, attributes, writer)

    def _drives(self, folder: Path) -> list[str]:
        present = {path.name for path in (folder / "image_02").iterdir() if path.is_dir()}
        present |= file_stems(folder / "label_02", (".txt",)).keys()
        for drive in self.drives:
            if drive not in present:
                raise ConversionError(
                    f"no drive {drive!r}",
                    where=folder / "image_02",
                    expected=f"one of {', '.join(sorted(present))}",
                    remedy=nearest(drive, present),
                )
        return sorted(self.drives or present)


def _lines_of_frames(label: Path) -> dict[str, list[Line]]:
    """Sort the lines of a drive by frame: number in the file, track id and the object benchmark's columns of each."""
    columns = f"frame track_id {COLUMNS}"
    lines: dict[str, list[Line]] = {}
    for number, line in read_label_lines(label):
        where = f"{label}:{number}"
        frame, track_id, *words = split_columns(line, where, columns)
        if not frame.isdecimal():
            raise malformed(where, "a frame number from 0 on", repr(frame))
        if not track_id.removeprefix("-").isdecimal():
            raise malformed(where, "a track id, -1 where there is none", repr(track_id))
        lines.setdefault(f"{int(frame):06d}", []).append((number, int(track_id), " ".join(words)))
    return lines
