"""KITTI object detection (2012 layout) -> the four detection tasks, and the lidar sweep.

Layout: ``training/{image_2,label_2,calib,velodyne}/NNNNNN.{png,txt,txt,bin}``; ``ImageSets/{train,val,trainval}.txt`` (frame
numbers) where the usual split is wanted. Boxes are pixels of ``image_2``.

Geiger et al., "Are we ready for autonomous driving? The KITTI vision benchmark suite", CVPR 2012.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from admlops.conversion.box_labels import BoxLabels
from admlops.conversion.converter import Converter, FrameWriter, SourceFrame
from admlops.conversion.png_file import PngFile, read_png
from admlops.errors import ConversionError, nearest

CLASS_OF_TYPE: dict[str, str | None] = {
    "Car": "vehicle",
    "Van": "vehicle",
    "Truck": "vehicle",
    "Tram": "vehicle",
    "Pedestrian": "person",
    "Person_sitting": "person",
    "Cyclist": "cyclist",
    "Misc": None,
    "DontCare": None,
}
"""KITTI's type -> our class; None = a region that no task can be sure about."""

LABELLED: dict[str, tuple[str, ...]] = {
    "det_cyclist_light": ("cyclist",),
    "det_person": ("person",),
    "det_rear": ("vehicle_rear", "vehicle_head"),
    "det_vehicle_sign": ("vehicle",),
}
"""The classes that KITTI annotates, by task: lights and signs are not."""

FACING_TOLERANCE_RAD = math.pi / 4
POINT_BYTES = 16  # x, y, z, reflectance as float32
BOX_TOLERANCE_PX = 1.0

_COLUMNS = "type truncated occluded alpha left top right bottom height width length x y z rotation_y"


@dataclass(frozen=True)
class KittiObject:
    """One line of a ``label_2`` file, as far as the camera tasks need it.

    Attributes:
        type: KITTI's type.
        truncated: Share of the object outside of the image, 0 to 1.
        occluded: 0 visible, 1 partly, 2 largely, 3 unknown.
        alpha_rad: Observation angle; -pi/2 = we look at its rear, +pi/2 = at its head.
        box_px: x1, y1, x2, y2.
    """

    type: str
    truncated: float
    occluded: int
    alpha_rad: float
    box_px: tuple[float, float, float, float]

    @property
    def facing(self) -> str | None:
        """``vehicle_rear`` or ``vehicle_head`` within 45 degrees of -pi/2 or +pi/2, else None; a tram has two heads."""
        if self.type != "Tram":
            for side, center_rad in (("vehicle_rear", -math.pi / 2), ("vehicle_head", math.pi / 2)):
                if abs(self.alpha_rad - center_rad) <= FACING_TOLERANCE_RAD:
                    return side
        return None


@dataclass(frozen=True)
class KittiConverter(Converter):
    """KITTI object detection: boxes in the left colour camera, and the lidar sweep where ``velodyne`` is there."""

    name: ClassVar[str] = "kitti"
    revision: ClassVar[int] = 1
    tasks: ClassVar[tuple[str, ...]] = tuple(LABELLED)
    splits: ClassVar[tuple[str, ...]] = ("training", "train", "val", "trainval")

    def frames(self) -> Iterator[SourceFrame]:
        """List ``training/`` or the frames of ``ImageSets/<split>.txt``."""
        folder = self.source_root / "training"
        for needed in ("image_2", "label_2"):
            if not (folder / needed).is_dir():
                raise ConversionError(
                    "a folder of KITTI's layout is missing",
                    where=folder / needed,
                    expected=f"training/{needed} below the source folder",
                    remedy="complete the source; SRC is the folder that holds training/",
                )
        with_lidar = (folder / "velodyne").is_dir()
        for name, listed_in in self._names(folder):
            files = {"image": folder / "image_2" / f"{name}.png", "boxes": folder / "label_2" / f"{name}.txt"}
            if with_lidar:
                files["lidar"] = folder / "velodyne" / f"{name}.bin"
            yield SourceFrame(name, files, listed_in)

    def convert(self, frame: SourceFrame, writer: FrameWriter) -> dict[str, Any]:
        """Sort a frame's objects into the four tasks."""
        image = read_png(frame.files["image"])
        labels = {task: BoxLabels() for task in LABELLED}
        for item in read_objects(frame.files["boxes"], image):
            writer.tally.count("source", item.type)
            _add_object(item, labels, writer)
        record: dict[str, Any] = {
            "sample_id": frame.sample_id,
            "image": {
                "path": writer.reference(image.path, f"images/{frame.sample_id}.png"),
                "width": image.width,
                "height": image.height,
            },
        }
        if "lidar" in frame.files:
            record["lidar"] = _lidar(frame, writer)
        record["labels"] = {task: boxes.to_label(LABELLED[task]) for task, boxes in labels.items()}
        record["attributes"] = {"source": self.name, "split": self.split}
        return record

    def _names(self, folder: Path) -> Iterator[tuple[str, str]]:
        if self.split == "training":
            # Either folder may lack a file: both are listed, so that the missing one is named.
            names = _stems(folder / "image_2", ".png") | _stems(folder / "label_2", ".txt")
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


def _stems(folder: Path, suffix: str) -> set[str]:
    with os.scandir(folder) as entries:
        return {entry.name.removesuffix(suffix) for entry in entries if entry.name.endswith(suffix)}


def read_objects(path: Path, image: PngFile | None = None) -> list[KittiObject]:
    """Read a ``label_2`` file.

    Args:
        path: The file.
        image: The frame's image; where given, boxes outside of it are refused.

    Returns:
        Its objects, ``DontCare`` regions among them, in the order of the file.

    Raises:
        ConversionError: Truncated or malformed; names file and line.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    if not text.endswith("\n"):
        last = text.rpartition("\n")[2]
        raise ConversionError(
            "the label file is truncated",
            where=f"{path}:{text.count(chr(10)) + 1}",
            expected="a newline at the end of the file (a file of one empty line where nothing is in view)",
            got=repr(last[-40:]) if last else "an empty file",
            remedy="fetch the file again, then run the same command: it continues",
        )
    lines = enumerate(text.splitlines(), start=1)
    return [_parse_object(line, f"{path}:{number}", image) for number, line in lines if line.strip()]


def _parse_object(line: str, where: str, image: PngFile | None) -> KittiObject:
    words = line.split()
    if len(words) != len(_COLUMNS.split()):
        remedy = "this is a result file with scores, not a label file" if len(words) == len(_COLUMNS.split()) + 1 else None
        raise _malformed(where, f"15 columns: {_COLUMNS}", f"{len(words)} columns: {line!r}", remedy)
    if words[0] not in CLASS_OF_TYPE:
        raise _malformed(where, f"a type: {', '.join(CLASS_OF_TYPE)}", repr(words[0]), nearest(words[0], CLASS_OF_TYPE))
    try:
        truncated, occluded, alpha_rad, x1, y1, x2, y2 = numbers = tuple(float(word) for word in words[1:8])
    except ValueError:
        raise _malformed(where, "numbers after the type", repr(line)) from None
    if not all(math.isfinite(number) for number in numbers):
        raise _malformed(where, "finite numbers", repr(line))
    if words[0] != "DontCare":
        if not 0 <= truncated <= 1:
            raise _malformed(where, "truncated within 0 to 1", words[1])
        if occluded not in {0, 1, 2, 3}:
            raise _malformed(where, "occluded 0, 1, 2 or 3", words[2])
        if abs(alpha_rad) > math.pi + 0.01:
            raise _malformed(where, "alpha within -pi to pi", words[3])
    if x2 <= x1 or y2 <= y1:
        raise _malformed(where, "a box with left < right and top < bottom", " ".join(words[4:8]))
    if image is not None:
        slack = BOX_TOLERANCE_PX
        if x1 < -slack or y1 < -slack or x2 > image.width + slack or y2 > image.height + slack:
            size = f"{image.width}x{image.height}"
            raise _malformed(where, f"a box inside of the image ({size}, {image.path})", " ".join(words[4:8]))
        x1, y1, x2, y2 = max(x1, 0.0), max(y1, 0.0), min(x2, float(image.width)), min(y2, float(image.height))
    return KittiObject(words[0], truncated, int(occluded), alpha_rad, (x1, y1, x2, y2))


def _add_object(item: KittiObject, labels: dict[str, BoxLabels], writer: FrameWriter) -> None:
    own = CLASS_OF_TYPE[item.type]
    if own is None:
        writer.tally.refuse(f"{item.type}: ignore box in every task")
        for task, names in LABELLED.items():
            labels[task].add_ignored(item.box_px, names)
        return
    # However much of it is cut off or covered: most of what KITTI's levels of difficulty leave out is the nearest traffic.
    for task, names in LABELLED.items():
        if own in names:
            labels[task].add(item.box_px, own)
    if own == "vehicle":
        if side := item.facing:
            labels["det_rear"].add(item.box_px, side)
        else:
            writer.tally.refuse(f"{item.type}, neither rear nor head: ignore box in det_rear")
            labels["det_rear"].add_ignored(item.box_px, LABELLED["det_rear"])


def _lidar(frame: SourceFrame, writer: FrameWriter) -> dict[str, Any]:
    path = frame.files["lidar"]
    num_bytes = path.stat().st_size
    if num_bytes == 0 or num_bytes % POINT_BYTES:
        raise ConversionError(
            "the lidar sweep is truncated",
            where=path,
            expected=f"a multiple of {POINT_BYTES} bytes (x, y, z, reflectance as float32)",
            got=f"{num_bytes} bytes",
            remedy="fetch the file again, then run the same command: it continues",
        )
    return {
        "path": writer.reference(path, f"lidar/{frame.sample_id}.bin"),
        "dtype": "float32",
        "num_features": 4,
        "origin": [0.0, 0.0, 0.0],  # points are in the Velodyne's own frame
    }


def _malformed(where: str, expected: str, got: str, remedy: str | None = None) -> ConversionError:
    return ConversionError("malformed line in a KITTI label file", where=where, expected=expected, got=got, remedy=remedy)
