"""Turn the labels of a record into arrays, checking every class name and value on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from admlops.data_release.storage import DataPath
from admlops.datasets.task_annotation import DetectionAnnotation, SegmentationAnnotation, TaskAnnotation
from admlops.datasets.transforms.geometry import Results
from admlops.datasets.transforms.rasterize_polylines import draw_polyline, lane_width_px
from admlops.datasets.transforms.read_file import check_size, decode_mask, read_bytes, recorded, resolve_path
from admlops.errors import ConfigError, RecordError, nearest
from admlops.registry import TRANSFORMS
from admlops.structures import LabelAvailability
from admlops.task_spec import IGNORE_INDEX, TaskKind, TaskSpec

FRAMES = {"input": "labels", "original": "original_labels"}


@TRANSFORMS.register_module()
class LoadLabels:
    """Read the labels of every labelled task, in pixels of the original image.

    Polylines are drawn 8 px wide per 720 image rows of the original, those without a category and ``ignore_regions`` below
    the others, as 255. A task that the record does not label is absent.

    Args:
        frame: ``"input"`` fills ``labels``, which later transforms move with the image: place it before the first
            geometric transform, of which ``LoadImage(resize=...)`` is one. ``"original"`` fills ``original_labels``, which
            stay: metrics are in original pixels.

    Raises:
        ConfigError: Unknown frame.
    """

    def __init__(self, frame: str = "input") -> None:
        if frame not in FRAMES:
            raise ConfigError("unknown frame", expected="input or original", got=repr(frame), remedy=nearest(frame, FRAMES))
        self.frame = frame

    def __call__(self, results: Results) -> Results:
        """Set ``labels`` or ``original_labels``.

        Args:
            results: Of a sample.

        Returns:
            The same dict.

        Raises:
            RecordError: Unknown class, wrong value, wrong size or missing file; names the record.
            ConfigError: A geometric transform came before.
        """
        where = results["record_where"]
        if self.frame == "input" and not np.array_equal(results.get("input_from_original", np.eye(3)), np.eye(3)):
            raise ConfigError("LoadLabels comes after a geometric transform", remedy="put it first")
        loaded: dict[str, TaskAnnotation] = {}
        for name, label in results["record_labels"].items():
            task: TaskSpec = results["task_specs"][name]
            availability = LabelAvailability.from_label(task, label, where)
            if task.kind is TaskKind.DETECTION:
                loaded[name] = _load_boxes(task, label, availability, where)
            else:
                loaded[name] = _load_mask(task, label, availability, results)
        results[FRAMES[self.frame]] = loaded
        return results


def _load_boxes(
    task: TaskSpec, label: Mapping[str, Any], availability: LabelAvailability, where: object
) -> DetectionAnnotation:
    boxes = _payload(task, label, ("boxes",), where)[1]
    return DetectionAnnotation(
        bboxes=np.array(boxes, dtype=np.float32).reshape(len(boxes), 4),
        labels=np.array([label_value(task, name, availability, where) for name in label["categories"]], dtype=np.int64),
        ignore_flags=np.array(label.get("ignore", [False] * len(boxes)), dtype=bool),
        availability=availability,
    )


def _load_mask(
    task: TaskSpec, label: Mapping[str, Any], availability: LabelAvailability, results: Results
) -> SegmentationAnnotation:
    where = results["record_where"]
    image = recorded(results, "image")
    recorded_hw = (image["height"], image["width"])
    kind, payload = _payload(task, label, ("mask", "polylines") if task.kind is TaskKind.LANE else ("mask",), where)
    if kind == "polylines":
        return SegmentationAnnotation(_draw_lanes(task, label, availability, recorded_hw, where), availability)
    path = resolve_path(results["base_dir"], payload, results.get("profiles"))
    mask = decode_mask(read_bytes(path, "mask", where), path, where)
    check_size(mask.shape, recorded_hw, "mask", path, where)
    _check_values(task, mask, availability, path, where)
    return SegmentationAnnotation(mask, availability)


def _draw_lanes(
    task: TaskSpec, label: Mapping[str, Any], availability: LabelAvailability, recorded_hw: tuple[int, int], where: object
) -> npt.NDArray[np.uint8]:
    mask = np.zeros(recorded_hw, dtype=np.uint8)
    for corners in label.get("ignore_regions", ()):
        cv2.fillPoly(mask, [np.round(corners).astype(np.int32)], IGNORE_INDEX)
    # What is known lies above what is not.
    for polyline in sorted(label["polylines"], key=lambda line: line["category"] is not None):
        category = polyline["category"]
        value = IGNORE_INDEX if category is None else label_value(task, category, availability, where)
        draw_polyline(mask, np.array(polyline["points"], dtype=np.float64), lane_width_px(recorded_hw[0]), value)
    return mask


def _payload(task: TaskSpec, label: Mapping[str, Any], kinds: Sequence[str], where: object) -> tuple[str, Any]:
    # The index has checked the shape of what lies under each key, but not which key suits which task.
    for kind in kinds:
        if kind in label:
            return kind, label[kind]
    raise RecordError(
        f"{task.name} is a {task.kind.value} task, its label is not of that kind",
        where=where,
        expected=" or ".join(kinds),
        got=", ".join(label),
    )


def label_value(task: TaskSpec, name: str, availability: LabelAvailability, where: object) -> int:
    """Look up what stands for a category in a mask, or in the labels of boxes.

    Args:
        task: That is labelled.
        name: A class of the task or a category set of the record.
        availability: What the source annotated.
        where: File and line, for the error.

    Returns:
        The channel, or K + s for category set s.

    Raises:
        RecordError: There is no such category, or it is not among those that the source annotated.
    """
    if name in availability.set_names:
        return task.num_channels + availability.set_names.index(name)
    if name not in task.classes:
        candidates = (*task.classes, *availability.set_names)
        raise RecordError(
            f"{task.name} has no class {name!r}",
            where=where,
            expected=f"one of {', '.join(candidates)}",
            got=repr(name),
            remedy=nearest(str(name), candidates),
        )
    channel = task.channel_of(name)
    if not availability.class_labelled[channel]:
        raise RecordError(
            f"{task.name}: {name!r} occurs although it is not among labelled_categories",
            where=where,
            expected="only labelled classes",
            got=repr(name),
            remedy=f"add {name!r} to labelled_categories, or leave its labels out",
        )
    return channel


def _check_values(
    task: TaskSpec, mask: npt.NDArray[np.uint8], availability: LabelAvailability, path: DataPath, where: object
) -> None:
    num_sets = len(availability.set_names)
    allowed = np.zeros(256, dtype=bool)
    allowed[: task.num_channels] = availability.class_labelled
    allowed[task.num_channels : task.num_channels + num_sets] = True
    allowed[IGNORE_INDEX] = True
    # The usual case, in a tenth of a histogram's time: 255 + 1 wraps to 0, so one maximum tells whether all values are allowed.
    if int((mask + np.uint8(1)).max()) <= int(np.argmin(allowed)):
        return
    counts = cv2.calcHist([mask], [0], None, [256], [0, 256]).ravel()
    wrong = np.flatnonzero((counts > 0) & ~allowed)
    if not len(wrong):
        return
    value = int(wrong[0])
    known = value < task.num_channels
    raise RecordError(
        f"{task.name}: value {value} "
        + (f"({task.channels[value]}) is not labelled by this source" if known else "has no meaning"),
        where=where,
        expected=f"labelled classes below {task.num_channels}, {num_sets} category sets from there on, or 255",
        got=f"{value} in {int(counts[value])} pixels of {path}",
        remedy="add it to labelled_categories" if known else "map it to a class, a category set or 255 = ignore",
    )
