"""Objects of KITTI's label files, as the object and the tracking benchmark share them -> the four detection tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from admlops.conversion.box_labels import BoxLabels
from admlops.conversion.converter import FrameWriter, SourceFrame
from admlops.conversion.photo_box import fit_box
from admlops.conversion.photo_file import PhotoFile
from admlops.conversion.sweep_file import read_sweep
from admlops.errors import ConversionError, nearest

CLASS_OF_TYPE: dict[str, str | None] = {
    "Car": "vehicle",
    "Van": "vehicle",
    "Truck": "vehicle",
    "Tram": "vehicle",
    "Pedestrian": "person",
    "Person_sitting": "person",
    "Person": "person",  # what the tracking benchmark calls somebody who sits
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

COLUMNS = "type truncated occluded alpha left top right bottom height width length x y z rotation_y"
"""What stands in a line; the tracking benchmark puts frame and track id before it."""


def training_folder(source_root: Path, *needed: str) -> Path:
    """Find the folder of what is labelled.

    Args:
        source_root: Folder of the source.
        *needed: Folders that must be in it.

    Returns:
        ``training/``.

    Raises:
        ConversionError: One of them is missing.
    """
    folder = source_root / "training"
    for name in needed:
        if not (folder / name).is_dir():
            raise ConversionError(
                "a folder of KITTI's layout is missing",
                where=folder / name,
                expected=f"training/{name} below the source folder",
                remedy="complete the source; SRC is the folder that holds training/",
            )
    return folder


@dataclass(frozen=True)
class KittiObject:
    """One object of a label file.

    Attributes:
        type: KITTI's type.
        truncated: How much of it is outside of the image: a share from 0 to 1, in the tracking benchmark a level from 0 to 2.
        occluded: 0 visible, 1 partly, 2 largely, 3 unknown.
        alpha_rad: Observation angle; -pi/2 = we look at its rear, +pi/2 = at its head.
        box_px: x1, y1, x2, y2.
        box_camera: Height, width, length, x, y, z of the bottom's middle in m, rotation about y in rad; camera frame. Means
            nothing where a source drew boxes in the image only.
        where: File and line, for errors.
    """

    type: str
    truncated: float
    occluded: int
    alpha_rad: float
    box_px: tuple[float, float, float, float]
    box_camera: tuple[float, ...]
    where: str

    @property
    def facing(self) -> str | None:
        """``vehicle_rear`` or ``vehicle_head`` within 45 degrees of -pi/2 or +pi/2, else None; a tram has two heads."""
        if self.type != "Tram":
            for side, center_rad in (("vehicle_rear", -math.pi / 2), ("vehicle_head", math.pi / 2)):
                if abs(self.alpha_rad - center_rad) <= FACING_TOLERANCE_RAD:
                    return side
        return None


def read_label_lines(path: Path) -> list[tuple[int, str]]:
    """Read a label file.

    Args:
        path: The file.

    Returns:
        Number (from 1) and text of each line that is not empty.

    Raises:
        ConversionError: Cut short.
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
    return [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]


def split_columns(line: str, where: str, columns: str) -> list[str]:
    """Split a line into its columns.

    Args:
        line: The line.
        where: File and line, for errors.
        columns: Names of the columns.

    Returns:
        One word a column.

    Raises:
        ConversionError: Too few or too many.
    """
    words = line.split()
    number = len(columns.split())
    if len(words) != number:
        remedy = "this is a result file with scores, not a label file" if len(words) == number + 1 else None
        raise malformed(where, f"{number} columns: {columns}", f"{len(words)} columns: {line!r}", remedy)
    return words


def parse_object(words: list[str], where: str, image: PhotoFile | None, max_truncated: float = 1.0) -> KittiObject:
    """Read an object.

    Args:
        words: One for each of ``COLUMNS``.
        where: File and line, for errors.
        image: The frame's image; where given, boxes outside of it are refused.
        max_truncated: The benchmark's largest ``truncated``.

    Returns:
        The object, its box cut at the image's edges.

    Raises:
        ConversionError: Malformed.
    """
    if words[0] not in CLASS_OF_TYPE:
        raise malformed(where, f"a type: {', '.join(CLASS_OF_TYPE)}", repr(words[0]), nearest(words[0], CLASS_OF_TYPE))
    try:
        truncated, occluded, alpha_rad, x1, y1, x2, y2, *box_camera = tuple(float(word) for word in words[1:])
    except ValueError:
        raise malformed(where, "numbers after the type", repr(" ".join(words))) from None
    # What the box in metres must be is asked where a sweep needs it.
    if not all(math.isfinite(number) for number in (truncated, occluded, alpha_rad, x1, y1, x2, y2)):
        raise malformed(where, "finite numbers", repr(" ".join(words)))
    if words[0] != "DontCare":
        if not 0 <= truncated <= max_truncated:
            raise malformed(where, f"truncated within 0 to {max_truncated:g}", words[1])
        if occluded not in {0, 1, 2, 3}:
            raise malformed(where, "occluded 0, 1, 2 or 3", words[2])
        if abs(alpha_rad) > math.tau:
            raise malformed(where, "alpha within -2 pi to 2 pi", words[3])
        # A difference of two angles: one turn more or less means the same.
        alpha_rad = math.remainder(alpha_rad, math.tau)
    box_px = x1, y1, x2, y2
    if image is not None:
        box_px = fit_box(box_px, image, partial(malformed, where))
    return KittiObject(words[0], truncated, int(occluded), alpha_rad, box_px, tuple(box_camera), where)


def add_object(item: KittiObject, labels: dict[str, BoxLabels], writer: FrameWriter) -> None:
    """Sort an object into the tasks.

    Args:
        item: The object.
        labels: The frame's boxes of each task; added to.
        writer: Counts.
    """
    writer.tally.count("source", item.type)
    own = CLASS_OF_TYPE[item.type]
    if own is None:
        writer.tally.refuse(f"{item.type}: ignore box in every camera task")
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


def make_record(
    frame: SourceFrame,
    image: PhotoFile,
    labels: dict[str, BoxLabels],
    attributes: dict[str, Any],
    writer: FrameWriter,
    labels_3d: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Make the record of a frame.

    Args:
        frame: The frame; has a sweep where ``files`` names a ``lidar``.
        image: Its image.
        labels: Its boxes by task.
        attributes: Of the record.
        writer: Copies image and sweep where that is wanted.
        labels_3d: Labels of its sweep by task.

    Returns:
        The record.

    Raises:
        ConversionError: The sweep is cut short.
    """
    lidar = {}
    if "lidar" in frame.files:
        sweep = read_sweep(frame.files["lidar"], "x, y, z, reflectance")
        # Points are in the Velodyne's own frame.
        lidar["lidar"] = writer.sweep_entry(sweep, f"lidar/{frame.sample_id}.bin")
    return {
        "sample_id": frame.sample_id,
        "image": writer.image_entry(image, f"images/{frame.sample_id}.png"),
        **lidar,
        "labels": {**{task: boxes.to_label(LABELLED[task]) for task, boxes in labels.items()}, **(labels_3d or {})},
        "attributes": attributes,
    }


def malformed(where: str, expected: str, got: str, remedy: str | None = None) -> ConversionError:
    """Make the error of a malformed line.

    Args:
        where: File and line.
        expected: What would have been valid.
        got: What was there.
        remedy: What to do.

    Returns:
        The error, to be raised.
    """
    return ConversionError("malformed line in a KITTI label file", where=where, expected=expected, got=got, remedy=remedy)
