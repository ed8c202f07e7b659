"""COCO instances (2017) -> persons, vehicles, traffic lights and stop signs.

Layout: ``annotations/instances_<split>.json`` and ``<split>/NNNNNNNNNNNN.jpg`` (or ``images/<split>/``).

Lin et al., "Microsoft COCO: Common objects in context", ECCV 2014.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from admlops.conversion.box_labels import BoxLabels
from admlops.conversion.coco_boxes import read_coco_boxes
from admlops.conversion.converter import Converter, FrameWriter, SourceFrame
from admlops.conversion.photo_file import PhotoFile, read_photo
from admlops.conversion.riders import may_ride
from admlops.errors import ConversionError

CLASS_OF_CATEGORY: dict[str, tuple[str, str]] = {
    "person": ("det_person", "person"),
    "car": ("det_vehicle_sign", "vehicle"),
    "bus": ("det_vehicle_sign", "vehicle"),
    "truck": ("det_vehicle_sign", "vehicle"),
    "train": ("det_vehicle_sign", "vehicle"),
    "traffic light": ("det_cyclist_light", "traffic_light"),
    "stop sign": ("det_vehicle_sign", "traffic_sign"),
}
"""COCO's category -> our task and class."""

TRAIN = "train"
CYCLES = ("bicycle", "motorcycle")
LABELLED: dict[str, tuple[str, ...]] = {
    "det_cyclist_light": ("traffic_light",),
    "det_person": ("person",),
    "det_vehicle_sign": ("vehicle", "traffic_sign"),
}
SOME_OF: dict[str, tuple[str, ...]] = {"det_vehicle_sign": ("traffic_sign",)}
"""Of all signs COCO boxes stop signs only."""


@dataclass(frozen=True)
class CocoConverter(Converter):
    """COCO instances 2017: persons, vehicles, traffic lights, stop signs."""

    name: ClassVar[str] = "coco"
    revision: ClassVar[int] = 1
    tasks: ClassVar[tuple[str, ...]] = tuple(LABELLED)
    splits: ClassVar[tuple[str, ...]] = ("train2017", "val2017")

    def frames(self) -> Iterator[SourceFrame]:
        """List the photos of ``instances_<split>.json``, each with its boxes."""
        listing = self.source_root / "annotations" / f"instances_{self.split}.json"
        photos = self._photos()
        for image in read_coco_boxes(listing, (*CLASS_OF_CATEGORY, *CYCLES)).images():
            annotation = {
                "size": [image.width, image.height],
                "boxes": [list(box) for box in image.boxes],
                "others": image.num_others,
            }
            yield SourceFrame(Path(image.file_name).stem, {"image": photos / image.file_name}, str(listing), annotation)

    def convert(self, frame: SourceFrame, writer: FrameWriter) -> dict[str, Any]:
        """Sort a photo's boxes into the tasks."""
        photo = read_photo(frame.files["image"])
        if [photo.width, photo.height] != frame.annotation["size"]:
            raise ConversionError(
                "the photo has another size than its annotation",
                where=photo.path,
                expected="{}x{} because of {}".format(*frame.annotation["size"], frame.listed_in),
                got=f"{photo.width}x{photo.height}",
                remedy="fetch the photo again",
            )
        if others := frame.annotation["others"]:
            writer.tally.refuse("boxes of categories that no task has: left out", by=others)
        objects = []
        for box_id, category, is_crowd, box in frame.annotation["boxes"]:
            writer.tally.count("source", category)
            box_px = _cut(box, photo, f"{frame.listed_in} (annotation id {box_id})")
            if box_px is None:
                writer.tally.refuse(f"{category}, empty box: left out")
            else:
                objects.append((category, is_crowd, box_px))
        cycles = [box_px for category, _, box_px in objects if category in CYCLES]
        labels = {task: BoxLabels() for task in LABELLED}
        for category, is_crowd, box_px in objects:
            if category in CYCLES:
                writer.tally.refuse(f"{category}: no cyclist without its rider, left out")
                continue
            task, name = CLASS_OF_CATEGORY[category]
            reason = _reason_to_ignore(category, is_crowd, riding=category == "person" and may_ride(box_px, cycles))
            if reason:
                writer.tally.refuse(f"{category}, {reason}: ignore box")
            labels[task].add(box_px, name, ignore=bool(reason))
        return {
            "sample_id": frame.sample_id,
            "image": writer.image_entry(photo, f"images/{photo.path.name}"),
            "labels": {task: boxes.to_label(LABELLED[task], SOME_OF.get(task, ())) for task, boxes in labels.items()},
            "attributes": {"source": self.name, "split": self.split},
        }

    def _photos(self) -> Path:
        folders = (self.source_root / self.split, self.source_root / "images" / self.split)
        for folder in folders:
            if folder.is_dir():
                return folder
        raise ConversionError(
            "the folder of photos is missing",
            where=folders[0],
            expected=f"{self.split}/ or images/{self.split}/ in the source folder",
            remedy="complete the source; SRC is the folder that holds annotations/",
        )


def _cut(box: list[float], photo: PhotoFile, where: str) -> tuple[float, float, float, float] | None:
    # Some reach beyond the photo by a little; that photo and annotation belong together is known from their sizes.
    x, y, width, height = box
    if x + width < 0 or y + height < 0 or x > photo.width or y > photo.height:
        raise ConversionError(
            "a box lies outside of its photo", where=where, expected=f"inside of {photo.width}x{photo.height}", got=repr(box)
        )
    x1, y1 = max(x, 0.0), max(y, 0.0)
    x2, y2 = min(x + width, float(photo.width)), min(y + height, float(photo.height))
    return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def _reason_to_ignore(category: str, is_crowd: bool, riding: bool) -> str:
    if is_crowd:
        return "crowd"
    if riding:
        return "perhaps on a cycle"
    return "railway or tram" if category == TRAIN else ""
