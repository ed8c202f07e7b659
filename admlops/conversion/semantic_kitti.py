"""SemanticKITTI -> the four tasks of the lidar network, by an integer a point; with the left colour camera where it is there.

Layout: ``sequences/XX/{velodyne,labels,image_2}/NNNNNN.{bin,label,png}`` in the source folder or in its ``dataset``; images
are those of KITTI odometry. The lower 16 bits of a label are a class, the upper ones an instance.

Behley et al., "SemanticKITTI: a dataset for semantic scene understanding of LiDAR sequences", ICCV 2019.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from admlops.conversion.converter import Converter, FrameWriter, SourceFrame
from admlops.conversion.file_stems import file_stems
from admlops.conversion.photo_file import read_photo
from admlops.conversion.sweep_file import SweepFile, read_point_labels, read_sweep
from admlops.errors import ConversionError, nearest
from admlops.task_spec import LIDAR_TASKS

TAXONOMY = "semantic_kitti"
VAL_SEQUENCES = ("08",)
TRAIN_SEQUENCES = ("00", "01", "02", "03", "04", "05", "06", "07", "09", "10")

NAME_OF_ID: dict[int, str] = {
    0: "unlabeled",
    1: "outlier",
    10: "car",
    11: "bicycle",
    13: "bus",
    15: "motorcycle",
    16: "on-rails",
    18: "truck",
    20: "other-vehicle",
    30: "person",
    31: "bicyclist",
    32: "motorcyclist",
    40: "road",
    44: "parking",
    48: "sidewalk",
    49: "other-ground",
    50: "building",
    51: "fence",
    52: "other-structure",
    60: "lane-marking",
    70: "vegetation",
    71: "trunk",
    72: "terrain",
    80: "pole",
    81: "traffic-sign",
    99: "other-object",
    252: "moving-car",
    253: "moving-bicyclist",
    254: "moving-person",
    255: "moving-motorcyclist",
    256: "moving-on-rails",
    257: "moving-bus",
    258: "moving-truck",
    259: "moving-other-vehicle",
}


@dataclass(frozen=True)
class SemanticKittiConverter(Converter):
    """SemanticKITTI: sweeps with a class and an instance a point.

    Attributes:
        sequences: Only these of the split; all where empty.
    """

    sequences: tuple[str, ...] = ()

    name: ClassVar[str] = "semantic_kitti"
    revision: ClassVar[int] = 1
    tasks: ClassVar[tuple[str, ...]] = tuple(LIDAR_TASKS)
    splits: ClassVar[tuple[str, ...]] = ("train", "val", "all")

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "sequences", tuple(self.sequences))

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Add ``--sequences``."""
        parser.add_argument(
            "--sequences", nargs="+", action="extend", default=[], metavar="XX", help="only these of the split (default: all)"
        )

    def frames(self) -> Iterator[SourceFrame]:
        """List the sweeps of each sequence; those of a sequence with ``labels`` must have a label file each."""
        folder = self._folder()
        for sequence in self._sequences(folder):
            velodyne, labels, images = (folder / sequence / part for part in ("velodyne", "labels", "image_2"))
            names = set(file_stems(velodyne, (".bin",)))
            if is_labelled := labels.is_dir():
                # Either folder may lack a file: both are listed, so that the missing one is named.
                names |= file_stems(labels, (".label",)).keys()
            for name in sorted(names):
                files = {"lidar": velodyne / f"{name}.bin"}
                if is_labelled:
                    files["labels"] = labels / f"{name}.label"
                if images.is_dir():
                    files["image"] = images / f"{name}.png"
                yield SourceFrame(f"{sequence}_{name}", files, str(folder / sequence))

    def convert(self, frame: SourceFrame, writer: FrameWriter) -> dict[str, Any]:
        """Name the sweep and its labels; the class of every point must be one of SemanticKITTI's."""
        sequence, _, name = frame.sample_id.partition("_")
        sweep = read_sweep(frame.files["lidar"], "x, y, z, reflectance")
        record: dict[str, Any] = {"sample_id": frame.sample_id}
        if "image" in frame.files:
            record["image"] = writer.image_entry(read_photo(frame.files["image"]), f"images/{frame.sample_id}.png")
        # Points are in the Velodyne's own frame.
        record["lidar"] = writer.sweep_entry(sweep, f"lidar/{frame.sample_id}.bin")
        labels: dict[str, Any] = {}
        if "labels" in frame.files:
            _count_classes(frame.files["labels"], sweep, writer)
            path = writer.reference(frame.files["labels"], f"labels/{frame.sample_id}.label")
            labels = {task: {"point_labels": path, "taxonomy": TAXONOMY} for task in self.tasks}
        else:
            writer.tally.refuse("sweep of a sequence without labels: every task unknown")
        record["labels"] = labels
        record["attributes"] = {"source": self.name, "split": self.split, "scene": sequence, "frame": name}
        return record

    def _folder(self) -> Path:
        for folder in (self.source_root / "sequences", self.source_root / "dataset" / "sequences"):
            if folder.is_dir():
                return folder
        raise ConversionError(
            "a folder of SemanticKITTI's layout is missing",
            where=self.source_root / "sequences",
            expected="sequences/XX/velodyne below the source folder",
            remedy="SRC is the folder that holds sequences/ or dataset/sequences/",
        )

    def _sequences(self, folder: Path) -> list[str]:
        present = sorted(path.name for path in folder.iterdir() if (path / "velodyne").is_dir())
        wanted = {"train": TRAIN_SEQUENCES, "val": VAL_SEQUENCES, "all": present}[self.split]
        for sequence in self.sequences:
            if sequence not in wanted or sequence not in present:
                candidates = [name for name in present if name in wanted]
                raise ConversionError(
                    f"split {self.split!r} has no sequence {sequence!r}",
                    where=folder,
                    expected=f"one of {', '.join(candidates) or 'none: no sequence of it is there'}",
                    remedy=nearest(sequence, candidates),
                )
        return [name for name in present if name in (self.sequences or wanted)]


def _count_classes(path: Path, sweep: SweepFile, writer: FrameWriter) -> None:
    points = np.bincount(read_point_labels(path, "<u4", sweep) & 0xFFFF)
    for class_id in np.flatnonzero(points).tolist():
        if class_id not in NAME_OF_ID:
            raise ConversionError(
                "a class that SemanticKITTI does not have",
                where=path,
                expected=f"one of {', '.join(map(str, NAME_OF_ID))} in the lower 16 bits",
                got=f"{class_id} on {points[class_id]} points",
                remedy="a label file of learning ids, or of another set, must be mapped back first",
            )
        writer.tally.count("source", NAME_OF_ID[class_id], by=int(points[class_id]))
