"""Cityscapes (fine annotations) -> ``seg_default`` and, from its instances, people, cyclists and vehicles.

Layout: ``leftImg8bit/<split>/<city>/NAME_leftImg8bit.png`` and ``gtFine/<split>/<city>/NAME_gtFine_instanceIds.png`` (or
``..._labelIds.png``, which has no instances); or both kinds of file directly in ``leftImg8bit/`` and ``gtFine/``. A pixel of
the instance map is the label's id, times 1000 plus a running number where the object could be told from its neighbours.

Cordts et al., "The Cityscapes dataset for semantic urban scene understanding", CVPR 2016.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from admlops.conversion.box_labels import BoxLabels
from admlops.conversion.converter import Converter, FrameWriter, SourceFrame
from admlops.conversion.cyclists import cyclist_boxes
from admlops.conversion.mask_classes import MaskClasses, check_mask_size
from admlops.conversion.png_file import read_png
from admlops.errors import ConversionError
from admlops.task_spec import CAMERA_TASKS

SEG_TASK = CAMERA_TASKS["seg_default"]

CLASS_OF_NAME: dict[str, str | None] = {
    "unlabeled": None,
    "ego vehicle": None,
    "rectification border": None,
    "out of roi": None,
    "static": None,
    "dynamic": None,
    "ground": None,  # shared by cars and people: neither road nor sidewalk
    "road": "road",
    "sidewalk": "sidewalk",
    "parking": None,
    "rail track": None,
    "building": "building",
    "wall": None,  # stands alone: neither building nor fence
    "fence": "fence",
    "guard rail": None,
    "bridge": None,
    "tunnel": None,
    "pole": "pole",
    "polegroup": None,  # its pixels are poles and what shows between them
    "traffic light": None,  # no class of ours; `sign` would contradict det_cyclist_light
    "traffic sign": "sign",
    "vegetation": "vegetation",
    "terrain": "terrain",
    "sky": "sky",
    "person": "person",
    "rider": "cyclist",
    "car": "vehicle",
    "truck": "vehicle",
    "bus": "vehicle",
    "caravan": "vehicle",
    "trailer": "vehicle",
    "train": "vehicle",
    "motorcycle": None,  # ridden (a cyclist's) or parked (nothing of ours): the mask does not say
    "bicycle": None,
}
"""Cityscapes' label, in the order of its ids from 0 -> class of ``seg_default``, None = ignore."""

LABEL_OF_ID: dict[int, str] = dict(enumerate(CLASS_OF_NAME))
SEG_CLASSES = MaskClasses(SEG_TASK, {value: (name, CLASS_OF_NAME[name]) for value, name in LABEL_OF_ID.items()})

LABELLED: dict[str, tuple[str, ...]] = {
    "det_cyclist_light": ("cyclist",),
    "det_person": ("person",),
    "det_vehicle_sign": ("vehicle",),
}
"""The classes that have instances, by task."""

TASK_AND_CLASS_OF_THING: dict[str, tuple[str, str]] = {
    "person": ("det_person", "person"),
    "rider": ("det_cyclist_light", "cyclist"),
    **dict.fromkeys(("car", "truck", "bus", "caravan", "trailer", "train"), ("det_vehicle_sign", "vehicle")),
}
MACHINES = ("motorcycle", "bicycle")
INSTANCES_PER_LABEL = 1000

_IMAGE_SUFFIX = "_leftImg8bit.png"
_INSTANCES_SUFFIX = "_gtFine_instanceIds.png"
_LABELS_SUFFIX = "_gtFine_labelIds.png"


@dataclass(frozen=True)
class CityscapesConverter(Converter):
    """Cityscapes, fine annotations: classes of pixels, and boxes around instances."""

    name: ClassVar[str] = "cityscapes"
    revision: ClassVar[int] = 1
    tasks: ClassVar[tuple[str, ...]] = (*LABELLED, SEG_TASK.name)
    splits: ClassVar[tuple[str, ...]] = ("train", "val", "flat")

    def frames(self) -> Iterator[SourceFrame]:
        """List the split's cities, or with ``flat`` the files that lie directly in the two folders."""
        with_instances = any(True for _, _, labels in self._cities() if _ids(labels, _INSTANCES_SUFFIX))
        role, suffix = ("instances", _INSTANCES_SUFFIX) if with_instances else ("labels", _LABELS_SUFFIX)
        for city, images, labels in self._cities():
            # Either folder may lack a file: both are listed, so that the missing one is named.
            for sample_id in sorted(_ids(images, _IMAGE_SUFFIX) | _ids(labels, suffix)):
                files = {"image": images / f"{sample_id}{_IMAGE_SUFFIX}", role: labels / f"{sample_id}{suffix}"}
                yield SourceFrame(sample_id, files, str(city))

    def convert(self, frame: SourceFrame, writer: FrameWriter) -> dict[str, Any]:
        """Map the labels to channels; box the instances."""
        image = read_png(frame.files["image"])
        with_instances = "instances" in frame.files
        map_file = read_png(frame.files["instances" if with_instances else "labels"])
        check_mask_size(map_file, image)
        labels: dict[str, Any] = {}
        if with_instances:
            instances = map_file.read_instance_map()
            ids = np.where(instances < INSTANCES_PER_LABEL, instances, instances // INSTANCES_PER_LABEL)
            labels.update(_box_instances(instances, writer))
        else:
            ids = map_file.read_index_mask()
        labels[SEG_TASK.name] = SEG_CLASSES.write(ids, f"masks/{frame.sample_id}.png", map_file.path, writer)
        return {
            "sample_id": frame.sample_id,
            "image": writer.image_entry(image, f"images/{frame.sample_id}.png"),
            "labels": labels,
            # NAME is city_sequence_frame.
            "attributes": {"source": self.name, "split": self.split, "scene": frame.sample_id.rpartition("_")[0]},
        }

    def _cities(self) -> Iterator[tuple[Path, Path, Path]]:
        steps = () if self.split == "flat" else (self.split,)
        images, labels = (self.source_root.joinpath(kind, *steps) for kind in ("leftImg8bit", "gtFine"))
        for folder in (images, labels):
            if not folder.is_dir():
                raise ConversionError(
                    "a folder of Cityscapes' layout is missing",
                    where=folder,
                    expected="leftImg8bit/<split>/<city> and gtFine/<split>/<city>; with --split flat no folders below them",
                    remedy="complete the source; SRC is the folder that holds leftImg8bit/ and gtFine/",
                )
        if self.split == "flat":
            yield images, images, labels
            return
        for city in sorted({entry.name for folder in (images, labels) for entry in os.scandir(folder) if entry.is_dir()}):
            yield images / city, images / city, labels / city


def _ids(folder: Path, suffix: str) -> set[str]:
    if not folder.is_dir():
        return set()
    with os.scandir(folder) as entries:
        return {entry.name.removesuffix(suffix) for entry in entries if entry.name.endswith(suffix)}


def _box_instances(instances: npt.NDArray[np.uint16], writer: FrameWriter) -> dict[str, Any]:
    labels = {task: BoxLabels() for task in LABELLED}
    riders: list[list[float]] = []
    machines: list[list[float]] = []
    for value in np.flatnonzero(np.bincount(instances.ravel())).tolist():
        label_id, is_group = (value, True) if value < INSTANCES_PER_LABEL else (value // INSTANCES_PER_LABEL, False)
        name = LABEL_OF_ID.get(label_id, "")
        if name not in {*TASK_AND_CLASS_OF_THING, *MACHINES}:
            continue
        region = (instances == value).astype(np.uint8)
        if is_group:
            if name in TASK_AND_CLASS_OF_THING:
                task, category = TASK_AND_CLASS_OF_THING[name]
                for box_px in _component_boxes(region):
                    writer.tally.refuse(f"{name} group: ignore box in {task}")
                    labels[task].add(box_px, category, ignore=True)
            continue
        writer.tally.count("source", name)
        box_px = _as_box(cv2.boundingRect(region))
        if name in MACHINES:
            machines.append(box_px)
        elif name == "rider":
            riders.append(box_px)
        else:
            labels[TASK_AND_CLASS_OF_THING[name][0]].add(box_px, TASK_AND_CLASS_OF_THING[name][1])
    for box_px in cyclist_boxes(riders, machines):
        labels["det_cyclist_light"].add(box_px, "cyclist")
    return {task: boxes.to_label(LABELLED[task]) for task, boxes in labels.items()}


def _component_boxes(region: npt.NDArray[np.uint8]) -> list[list[float]]:
    # One box around a group at both ends of a street would hide all that is between.
    stats = cv2.connectedComponentsWithStats(region, connectivity=8)[2]
    return [_as_box(row[:4].tolist()) for row in stats[1:]]


def _as_box(x_y_width_height_px: Any) -> list[float]:
    x, y, width, height = x_y_width_height_px
    return [float(x), float(y), float(x + width), float(y + height)]
