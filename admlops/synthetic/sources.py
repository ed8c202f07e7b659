"""The sources of the sample release: what each of them labels, and the records that follow.

How things are labelled, the same in every source:

- Class ``sign`` holds sign boards and the housings of traffic lights, as in CamVid's eleven classes; their posts and arms are
  ``pole``, as are street lamps and bollards. Trunks are ``vegetation``, kerbs ``sidewalk``. Cones, bins, boxes and billboards
  are 255.
- A cyclist is a person with the bicycle, wheels filled; a fence is filled between its bars.
- Boxes are of what is visible. ``ignore``: less than 30 % visible, under 4 px at the network's input, or a rear or head seen so
  much from the side that annotators would disagree.
- A lane line runs through the gaps of its dashes, breaks where something covers the road and at crossings, and ends 62 m ahead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import cv2
import numpy as np

from admlops.synthetic.canvas import CLASS_INDEX, Image
from admlops.synthetic.scene import ObjectBox, RenderedScene, network_scale
from admlops.task_spec import CAMERA_TASKS, TaskKind, TaskSpec

SIZES_HW = ((720, 1280), (940, 1824), (1080, 1920), (1080, 2280))
"""Image sizes of the four cameras."""

LANE_WIDTH_PX = 8
"""Drawn width of a lane line per ``LANE_WIDTH_ROWS`` image rows."""
LANE_WIDTH_ROWS = 720

_NEAR_LIGHT_PX = 14.0


def _nothing() -> Mapping[str, tuple[str, ...]]:
    return MappingProxyType({})


@dataclass(frozen=True)
class Source:
    """One entry of the release.

    Attributes:
        name: Of the entry.
        share: Part of the release's images.
        sizes_hw: Image sizes, in turn.
        labels: Tasks in the records.
        task_tags: Tasks of the entry; None = the same as ``labels``.
        labelled_categories: Task to the classes that were annotated, where not all were.
        non_exhaustive: Task to the classes of which only near objects were boxed.
        category_sets: Task to names of sets and their classes: the annotators could not tell these apart.
        lanes_as_mask: Whether lanes are an index PNG, not polylines.
        duplicate: Of the entry.
    """

    name: str
    share: float
    sizes_hw: tuple[tuple[int, int], ...]
    labels: tuple[str, ...]
    task_tags: tuple[str, ...] | None = None
    labelled_categories: Mapping[str, tuple[str, ...]] = field(default_factory=_nothing)
    non_exhaustive: Mapping[str, tuple[str, ...]] = field(default_factory=_nothing)
    category_sets: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=lambda: MappingProxyType({}))
    lanes_as_mask: bool = False
    duplicate: int = 1


_DETECTION = tuple(name for name, task in CAMERA_TASKS.items() if task.kind is TaskKind.DETECTION)
_HD, _WIDE, _FULL_HD, _PANORAMA = SIZES_HW

TRAIN_SOURCES: tuple[Source, ...] = (
    Source("city_streets", 0.22, (_HD,), (*_DETECTION, "seg_lane")),
    Source("suburb_scenes", 0.20, (_WIDE,), ("seg_default", "seg_lane", "det_person", "det_cyclist_light")),
    Source("highway", 0.14, (_FULL_HD,), ("seg_default", "seg_lane", "det_rear", "det_vehicle_sign")),
    Source("persons_only", 0.03, (_PANORAMA,), ("det_person",)),
    Source(
        "signs_only",
        0.04,
        (_HD, _WIDE),
        ("det_vehicle_sign",),
        labelled_categories=MappingProxyType({"det_vehicle_sign": ("traffic_sign",)}),
    ),
    Source(
        "lights_nonexhaustive",
        0.05,
        (_FULL_HD,),
        ("det_cyclist_light", "det_person", "det_rear"),
        non_exhaustive=MappingProxyType({"det_cyclist_light": ("traffic_light",)}),
    ),
    Source(
        "coarse_scenes",
        0.08,
        (_HD,),
        (*_DETECTION, "seg_default"),
        category_sets=MappingProxyType({"seg_default": MappingProxyType({"flat_nature": ("vegetation", "terrain")})}),
    ),
    Source(
        "commuter_lane_masks",
        0.06,
        (_PANORAMA, _WIDE),
        ("seg_default", "seg_lane", "det_person", "det_rear", "det_vehicle_sign"),
        lanes_as_mask=True,
        duplicate=2,
    ),
    Source("pilot_retagged", 0.04, (_HD,), tuple(CAMERA_TASKS), task_tags=("seg_default", "seg_lane")),
    Source("joint_full", 0.14, SIZES_HW, tuple(CAMERA_TASKS)),
)
"""The training release. ``pilot_retagged`` holds labels of all tasks, but its tags release only two of them."""

VAL_SOURCES: tuple[Source, ...] = (Source("val_full", 1.0, SIZES_HW, tuple(CAMERA_TASKS), lanes_as_mask=True),)
"""The validation release: everything is labelled."""


def detection_label(source: Source, task: TaskSpec, boxes: list[ObjectBox], scale: float) -> dict[str, object]:
    """Make a detection label as this source's annotators would.

    Args:
        source: Who annotates.
        task: A detection task.
        boxes: Everything in the picture.
        scale: Image pixels to pixels at the network's input.

    Returns:
        The record's label.
    """
    classes = source.labelled_categories.get(task.name, task.classes)
    partial = source.non_exhaustive.get(task.name, ())
    kept = []
    for box in boxes:
        x1, y1, x2, y2 = box.box
        is_far = ((x2 - x1) * (y2 - y1)) ** 0.5 * scale < _NEAR_LIGHT_PX
        if box.category in classes and not (box.category in partial and (is_far or box.is_ignored)):
            kept.append(box)
    label: dict[str, object] = {
        "boxes": [list(box.box) for box in kept],
        "categories": [box.category for box in kept],
        "ignore": [box.is_ignored for box in kept],
    }
    if task.name in source.labelled_categories:
        label["labelled_categories"] = list(classes)
    if partial:
        label["non_exhaustive_categories"] = list(partial)
    return label


def semantic_mask(source: Source, classes: Image) -> Image:
    """Make the index mask of seg_default; the classes of a category set share the value K + position of the set."""
    mask = classes.copy()
    for position, members in enumerate(source.category_sets.get("seg_default", {}).values()):
        for member in members:
            mask[classes == CLASS_INDEX[member]] = len(CLASS_INDEX) + position
    return mask


def lane_mask(scene: RenderedScene) -> Image:
    """Draw the lane lines into an index mask, as wide as polylines are drawn when a record holds them."""
    mask = np.zeros(scene.classes.shape, np.uint8)
    width = max(1, round(LANE_WIDTH_PX * scene.classes.shape[0] / LANE_WIDTH_ROWS))
    task = CAMERA_TASKS["seg_lane"]
    for line in scene.polylines:
        points = np.round(np.array(line["points"])).astype(np.int32)
        cv2.polylines(mask, [points], False, task.channel_of(str(line["category"])), width, cv2.LINE_8)
    return mask


def make_labels(source: Source, scene: RenderedScene) -> tuple[dict[str, dict[str, object]], dict[str, Image]]:
    """Make a record's labels.

    Args:
        source: Who annotates.
        scene: What there is.

    Returns:
        Labels by task, without the paths of masks; and the masks by task.
    """
    labels: dict[str, dict[str, object]] = {}
    masks: dict[str, Image] = {}
    scale = network_scale(*scene.classes.shape)
    for name in source.labels:
        task = CAMERA_TASKS[name]
        if task.kind is TaskKind.DETECTION:
            labels[name] = detection_label(source, task, scene.boxes, scale)
        elif task.kind is TaskKind.SEMANTIC:
            masks[name] = semantic_mask(source, scene.classes)
            labels[name] = {}
            if name in source.category_sets:
                labels[name]["category_sets"] = {key: list(members) for key, members in source.category_sets[name].items()}
        elif source.lanes_as_mask:
            masks[name] = lane_mask(scene)
            labels[name] = {}
        else:
            labels[name] = {"polylines": scene.polylines}
    return labels, masks
