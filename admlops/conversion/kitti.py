"""KITTI object detection (2012 layout) -> the four detection tasks; boxes in the lidar sweep -> obstacles and ``det3d``.

Layout: ``training/{image_2,label_2,calib,velodyne}/NNNNNN.{png,txt,txt,bin}``; ``velodyne_reduced``, the points that the camera
sees, where there is no ``velodyne``; ``ImageSets/{train,val,trainval}.txt`` (frame numbers) where the usual split is wanted.

Geiger et al., "Are we ready for autonomous driving? The KITTI vision benchmark suite", CVPR 2012.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from admlops.conversion.box_labels import OBSTACLE_TASKS, BoxLabels
from admlops.conversion.converter import Converter, FrameWriter, SourceFrame
from admlops.conversion.file_stems import file_stems
from admlops.conversion.kitti_labels import (
    COLUMNS,
    LABELLED,
    KittiObject,
    add_object,
    make_record,
    parse_object,
    read_label_lines,
    split_columns,
    training_folder,
)
from admlops.conversion.kitti_lidar import DET3D, labels_3d, read_calibration
from admlops.conversion.photo_file import PhotoFile, read_photo
from admlops.errors import ConversionError
from admlops.task_spec import TaskSpec

SWEEP_FOLDERS = ("velodyne", "velodyne_reduced")
"""Where sweeps may lie; the first that is there is read."""


@dataclass(frozen=True)
class KittiConverter(Converter):
    """KITTI object detection: boxes in the left colour camera, and in the lidar sweep where ``velodyne`` is there."""

    name: ClassVar[str] = "kitti"
    revision: ClassVar[int] = 2
    tasks: ClassVar[tuple[str, ...]] = (*LABELLED, *OBSTACLE_TASKS, DET3D.name)
    own_tasks: ClassVar[Mapping[str, TaskSpec]] = {DET3D.name: DET3D}
    splits: ClassVar[tuple[str, ...]] = ("training", "train", "val", "trainval")

    def frames(self) -> Iterator[SourceFrame]:
        """List ``training/`` or the frames of ``ImageSets/<split>.txt``."""
        folder = training_folder(self.source_root, "image_2", "label_2")
        sweeps = next((part for name in SWEEP_FOLDERS if (part := folder / name).is_dir()), None)
        with_calibration = (folder / "calib").is_dir()
        for name, listed_in in self._names(folder):
            files = {"image": folder / "image_2" / f"{name}.png", "boxes": folder / "label_2" / f"{name}.txt"}
            if sweeps is not None:
                files["lidar"] = sweeps / f"{name}.bin"
                if with_calibration:
                    files["calibration"] = folder / "calib" / f"{name}.txt"
            yield SourceFrame(name, files, listed_in)

    def convert(self, frame: SourceFrame, writer: FrameWriter) -> dict[str, Any]:
        """Sort a frame's objects into the tasks."""
        image = read_photo(frame.files["image"])
        labels = {task: BoxLabels() for task in LABELLED}
        objects = read_objects(frame.files["boxes"], image)
        for item in objects:
            add_object(item, labels, writer)
        boxes_3d = {}
        if "calibration" in frame.files:
            boxes_3d = labels_3d(objects, read_calibration(frame.files["calibration"]), image.width)
        elif "lidar" in frame.files:
            writer.tally.refuse("sweep without calibration: nobody knows where its boxes are")
        return make_record(frame, image, labels, {"source": self.name, "split": self.split}, writer, boxes_3d)

    def _names(self, folder: Path) -> Iterator[tuple[str, str]]:
        if self.split == "training":
            # Either folder may lack a file: both are listed, so that the missing one is named.
            names = file_stems(folder / "image_2", (".png",)) | file_stems(folder / "label_2", (".txt",))
            yield from ((name, str(folder)) for name in sorted(names))
            return
        listing = self.source_root / "ImageSets" / f"{self.split}.txt"
        if not listing.is_file():
            raise ConversionError(
                f"the list of split {self.split!r} is missing",
                where=listing,
                expected="one frame number a line",
                remedy="put the list there, or convert everything with --split training",
            )
        for number, line in enumerate(listing.read_text(encoding="utf-8").splitlines(), start=1):
            name = line.strip()
            if name and not name.isdigit():
                raise ConversionError(
                    "malformed line in a KITTI list", where=f"{listing}:{number}", expected="a frame number", got=repr(line)
                )
            if name:
                yield name, f"{listing}:{number}"


def read_objects(path: Path, image: PhotoFile | None = None) -> list[KittiObject]:
    """Read a ``label_2`` file.

    Args:
        path: The file.
        image: The frame's image; where given, boxes outside of it are refused.

    Returns:
        Its objects, ``DontCare`` regions among them, in the order of the file.

    Raises:
        ConversionError: Truncated or malformed; names file and line.
    """
    objects = []
    for number, line in read_label_lines(path):
        where = f"{path}:{number}"
        objects.append(parse_object(split_columns(line, where, COLUMNS), where, image))
    return objects
