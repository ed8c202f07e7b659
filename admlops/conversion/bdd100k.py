"""BDD100K: objects and lane marks of the 100k images, semantic masks of the 10k images -> one record an image.

Layout: ``images/{100k,10k}/<split>/NAME.jpg``; for the 100k images ``labels/det_20/det_<split>.json`` and
``labels/lane/polygons/lane_<split>.json``, each a list of frames in the order of their names; for the 10k images
``labels/sem_seg/masks/<split>/NAME.png``, or ``colormaps`` in place of ``masks``. What is not there stays unknown.

Yu et al., "BDD100K: A diverse driving dataset for heterogeneous multitask learning", CVPR 2020;
https://doc.bdd100k.com/format.html.
"""

from __future__ import annotations

import filecmp
import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

from admlops.conversion.bdd100k_lanes import add_marks, read_marks
from admlops.conversion.box_labels import BoxLabels
from admlops.conversion.cityscapes import CLASS_OF_NAME, SEG_TASK
from admlops.conversion.converter import Converter, FrameWriter, SourceFrame
from admlops.conversion.cyclists import cyclist_boxes
from admlops.conversion.file_stems import file_stems
from admlops.conversion.json_list import stream_json_list
from admlops.conversion.lane_labels import TASK as LANE_TASK
from admlops.conversion.lane_labels import LaneLabels, are_numbers
from admlops.conversion.mask_classes import MaskClasses, check_mask_size
from admlops.conversion.photo_box import fit_box
from admlops.conversion.photo_file import PhotoFile, read_photo
from admlops.conversion.png_file import read_png
from admlops.errors import ConversionError, nearest

LABELLED: dict[str, tuple[str, ...]] = {
    "det_cyclist_light": ("cyclist", "traffic_light"),
    "det_person": ("person",),
    "det_vehicle_sign": ("vehicle", "traffic_sign"),
}
"""The classes that BDD100K boxes, by task."""

CLASS_OF_CATEGORY: dict[str, tuple[tuple[str, str], ...]] = {
    "pedestrian": (("det_person", "person"),),
    "other person": (("det_person", "person"), ("det_cyclist_light", "cyclist")),
    "rider": (("det_cyclist_light", "cyclist"),),
    "car": (("det_vehicle_sign", "vehicle"),),
    "truck": (("det_vehicle_sign", "vehicle"),),
    "bus": (("det_vehicle_sign", "vehicle"),),
    "train": (("det_vehicle_sign", "vehicle"),),
    "other vehicle": (("det_vehicle_sign", "vehicle"),),
    "trailer": (("det_vehicle_sign", "vehicle"),),
    "motorcycle": (),
    "bicycle": (),
    "traffic light": (("det_cyclist_light", "traffic_light"),),
    "traffic sign": (("det_vehicle_sign", "traffic_sign"),),
}
"""BDD100K's category -> task and class; machines count with their riders only."""

IGNORED_CATEGORIES = ("other person", "other vehicle", "trailer")
MACHINES = ("motorcycle", "bicycle")

SEG_PALETTE: dict[str, tuple[int, int, int]] = {
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "building": (70, 70, 70),
    "wall": (102, 102, 156),
    "fence": (190, 153, 153),
    "pole": (153, 153, 153),
    "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0),
    "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152),
    "sky": (70, 130, 180),
    "person": (220, 20, 60),
    "rider": (255, 0, 0),
    "car": (0, 0, 142),
    "truck": (0, 0, 70),
    "bus": (0, 60, 100),
    "train": (0, 80, 100),
    "motorcycle": (0, 0, 230),
    "bicycle": (119, 11, 32),
}
"""Names in the order of the ids from 0, and the colours of the published colour maps."""

SEG_CLASSES = MaskClasses(
    SEG_TASK, {**{i: (name, CLASS_OF_NAME[name]) for i, name in enumerate(SEG_PALETTE)}, 255: ("unknown", None)}
)

_SEG, _DET, _LANE = "sem_seg", "det", "lane"


@dataclass(frozen=True)
class Bdd100kConverter(Converter):
    """BDD100K: objects, lane marks and semantic masks, whichever are there."""

    name: ClassVar[str] = "bdd100k"
    revision: ClassVar[int] = 1
    tasks: ClassVar[tuple[str, ...]] = (*LABELLED, SEG_TASK.name, LANE_TASK.name)
    splits: ClassVar[tuple[str, ...]] = ("train", "val")

    def frames(self) -> Iterator[SourceFrame]:
        """Read the lists of objects and of lane marks and the folder of masks side by side, in the order of the names."""
        parts = [stream for stream in (self._listed(_DET), self._listed(_LANE), self._masks()) if stream is not None]
        if not parts:
            raise ConversionError(
                f"there are no labels of split {self.split!r}",
                where=self.source_root / "labels",
                expected=f"{self._list_path(_DET)}, {self._list_path(_LANE)} or a folder labels/sem_seg/masks/{self.split}",
                remedy="SRC is the folder that holds images/ and labels/",
            )
        lists = {kind: str(self._list_path(kind)) for kind in (_DET, _LANE)}
        photos_100k, photos_10k = (self.source_root / "images" / image_set / self.split for image_set in ("100k", "10k"))
        for stem, group in groupby(heapq.merge(*parts, key=lambda part: part[0]), key=lambda part: part[0]):
            kinds = {kind: value for _, kind, value in group}
            mask = kinds.pop(_SEG, None)
            photo = f"{stem}.jpg"
            # The two sets of images overlap: the same file is one record.
            same = mask is not None and bool(kinds) and _same_file(photos_100k / photo, photos_10k / photo)
            if kinds:
                files = {"image": photos_100k / photo, **({"mask": mask} if same else {})}
                yield SourceFrame(f"100k_{stem}", files, ", ".join(lists[kind] for kind in kinds), kinds)
            if mask is not None and not same:
                yield SourceFrame(f"10k_{stem}", {"image": photos_10k / photo, "mask": mask}, str(mask.parent), {})

    def convert(self, frame: SourceFrame, writer: FrameWriter) -> dict[str, Any]:
        """Sort the objects into tasks, join the edges of lane marks, map the mask's ids."""
        photo = read_photo(frame.files["image"])
        image_set, _, stem = frame.sample_id.partition("_")
        attributes = {"source": self.name, "split": self.split, "image_set": image_set, "scene": stem.partition("-")[0]}
        labels: dict[str, Any] = {}
        for kind, entry in frame.annotation.items():
            where = f"{self._list_path(kind)}, frame {stem}"
            for key in ("weather", "timeofday"):
                if value := entry["attributes"].get(key):
                    attributes[key] = str(value)
            if kind == _DET:
                labels.update(_detection_labels(entry["labels"], photo, where, writer))
            else:
                lanes = LaneLabels(photo.width, photo.height, writer.tally)
                add_marks(read_marks(entry["labels"], where), lanes)
                labels[LANE_TASK.name] = lanes.to_label()
        if "mask" in frame.files:
            mask_file = read_png(frame.files["mask"])
            check_mask_size(mask_file, photo)
            ids = mask_file.read_index_mask(tuple(SEG_PALETTE.values()))
            labels[SEG_TASK.name] = SEG_CLASSES.write(ids, f"masks/{frame.sample_id}.png", mask_file.path, writer)
        return {
            "sample_id": frame.sample_id,
            "image": writer.image_entry(photo, f"images/{frame.sample_id}{photo.path.suffix}"),
            "labels": labels,
            "attributes": attributes,
        }

    def _list_path(self, kind: str) -> Path:
        steps = ("det_20",) if kind == _DET else ("lane", "polygons")
        return self.source_root.joinpath("labels", *steps, f"{kind}_{self.split}.json")

    def _listed(self, kind: str) -> Iterator[tuple[str, str, Any]] | None:
        path = self._list_path(kind)
        return _entries(path, kind) if path.exists() else None

    def _masks(self) -> Iterator[tuple[str, str, Path]] | None:
        for variant in ("masks", "colormaps"):
            folder = self.source_root / "labels" / "sem_seg" / variant / self.split
            if folder.is_dir():
                names = file_stems(folder, (".png",))
                return ((stem, _SEG, folder / names[stem]) for stem in sorted(names))
        return None


def _entries(path: Path, kind: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    last = ""
    for number, entry in enumerate(stream_json_list(path)):
        name = entry.get("name") if type(entry) is dict else None
        attributes, labels = (entry.get("attributes") or {}, entry.get("labels") or []) if name else (None, None)
        if type(name) is not str or "/" in name or type(attributes) is not dict or type(labels) is not list:
            raise ConversionError(
                "malformed frame in an annotation file",
                where=f"{path} (item {number})",
                expected="{name, attributes, labels: [...]}",
                got=repr(entry)[:120],
            )
        stem = name.removesuffix(".jpg")
        if stem <= last:
            raise ConversionError(
                "the frames of an annotation file are not in the order of their names, each once",
                where=f"{path} (item {number})",
                expected=f"a name after {last!r}, as published: several files are read side by side",
                got=repr(stem),
                remedy="sort the list by name",
            )
        last = stem
        yield stem, kind, {"attributes": attributes, "labels": labels}


def _same_file(one: Path, other: Path) -> bool:
    return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)


def _detection_labels(objects: list[Any], photo: PhotoFile, where: str, writer: FrameWriter) -> dict[str, Any]:
    labels = {task: BoxLabels() for task in LABELLED}
    riders: list[list[float]] = []
    machines: list[list[float]] = []
    for number, item in enumerate(objects):
        fault = partial(_malformed, f"{where}, label {number}")
        category = item.get("category") if type(item) is dict else None
        if category not in CLASS_OF_CATEGORY:
            remedy = nearest(str(category), CLASS_OF_CATEGORY)
            raise fault(f"a category: {', '.join(CLASS_OF_CATEGORY)}", repr(category), remedy)
        writer.tally.count("source", category)
        box_px = list(fit_box(_box(item, fault), photo, fault))
        is_crowd = bool((item.get("attributes") or {}).get("crowd"))
        if is_crowd or category in IGNORED_CATEGORIES:
            for task, class_name in CLASS_OF_CATEGORY[category]:
                writer.tally.refuse(f"{category}{' crowd' if is_crowd else ''}: ignore box in {task}")
                labels[task].add(box_px, class_name, ignore=True)
        elif category == "rider":
            riders.append(box_px)
        elif category in MACHINES:
            machines.append(box_px)
        else:
            ((task, class_name),) = CLASS_OF_CATEGORY[category]
            labels[task].add(box_px, class_name)
    for box_px in cyclist_boxes(riders, machines):
        labels["det_cyclist_light"].add(box_px, "cyclist")
    return {task: boxes.to_label(LABELLED[task]) for task, boxes in labels.items()}


def _box(item: Mapping[str, Any], fault: Any) -> list[float]:
    box = item.get("box2d")
    values: list[Any] = [box.get(key) for key in ("x1", "y1", "x2", "y2")] if type(box) is dict else []
    if not values or not are_numbers(values):
        raise fault("box2d: {x1, y1, x2, y2}", repr(box))
    return [float(value) for value in values]


def _malformed(where: str, expected: str, got: str, remedy: str | None = None) -> ConversionError:
    return ConversionError("malformed label in BDD100K's objects", where=where, expected=expected, got=got, remedy=remedy)
