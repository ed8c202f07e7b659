"""All branches of one sample on one picture, with what is unknown said below it. Works without a Runner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch

from admlops.errors import AdmlopsError
from admlops.structures import MultiTaskDataSample
from admlops.task_spec import IGNORE_INDEX, Color, TaskKind, TaskSpec, resolve_task
from admlops.visualization.overlay import (
    SET_COLOR,
    DrawnBoxes,
    ImageArray,
    dim_unseen,
    paint_boxes,
    paint_lanes,
    tint_classes,
)
from admlops.visualization.panels import Panel, compose

Frame = Literal["original", "input"]
Tasks = Sequence[str | TaskSpec | Mapping[str, Any]]

MIN_WIDTH_PX = 640
"""Smaller pictures are enlarged by a whole factor, so that captions do not cover them."""


def draw_labels(image_bgr: ImageArray, sample: MultiTaskDataSample, tasks: Tasks, frame: Frame | None = None) -> ImageArray:
    """Draw a sample's labels: tinted classes, opaque lanes, boxes, a legend, and what is unknown.

    Args:
        image_bgr: (H, W, 3) the picture in the labels' pixels.
        sample: With ``gt`` or ``gt_original``.
        tasks: Tasks to draw; one of them that the sample does not label is listed as unknown.
        frame: Labels in pixels of the ``original`` or of the network's ``input``; where it is None, of the original where the
            sample has such.

    Returns:
        A BGR picture, larger than the image by the strips of text.

    Raises:
        AdmlopsError: A mask has another size than the image.
    """
    specs = [resolve_task(task) for task in tasks]
    return compose([label_panel(image_bgr, sample, specs, frame)], specs)


def label_panel(
    image_bgr: ImageArray, sample: MultiTaskDataSample, tasks: Sequence[TaskSpec], frame: Frame | None = None
) -> Panel:
    """Draw a sample's labels without a legend.

    Args:
        image_bgr: (H, W, 3) the picture in the labels' pixels.
        sample: With ``gt`` or ``gt_original``.
        tasks: Tasks to draw.
        frame: See ``draw_labels``.

    Returns:
        The picture and what is unknown.
    """
    labels = sample.get("gt_original", None) if frame != "input" else None
    if labels is None and frame != "original":
        labels = sample.get("gt", None)
    image, factor = _enlarge(image_bgr)
    groups, unknown, notes = [], [], []
    hatched: set[TaskKind] = set()
    for task in _by_kind(tasks):
        label = labels.get(task.name, None) if labels is not None else None
        if label is None:
            unknown.append(task.name)
            continue
        sets = ["|".join(np.array(task.channels)[members]) for members in _numpy(label.category_sets).astype(bool)]
        labelled, exhaustive = _numpy(label.class_labelled), _numpy(label.class_exhaustive)
        unknown += [f"{task.name}/{task.channels[i]}" for i in np.flatnonzero(~labelled)]
        if partly := [f"{task.name}/{task.channels[i]}" for i in np.flatnonzero(labelled & ~exhaustive)]:
            notes.append(f"labelled in part only: {', '.join(partly)}")
        if sets:
            notes.append(f"not told apart (white): {', '.join(f'{task.name}/{name}' for name in sets)}")
        if task.kind is TaskKind.DETECTION:
            groups.append(_label_boxes(task, label.instances, sets, factor))
        else:
            mask = _mask_of(task, label.sem_seg, image_bgr, factor)
            _paint_mask(image, mask, task)
            if (mask == IGNORE_INDEX).any():
                hatched.add(task.kind)
    paint_boxes(image, groups)
    if unknown:
        notes.insert(0, f"unknown: {', '.join(unknown)}")
    if any(boxes.ignored.any() for boxes in groups):
        notes.append("dashed: ignored, neither found nor missed")
    if TaskKind.SEMANTIC in hatched:
        notes.append("hatched: pixels without a label")
    if TaskKind.LANE in hatched:
        notes.append("hatched the other way: nothing known of lanes")
    return Panel(image, f"truth  {sample.get('sample_id', '')}  {sample.get('source', '')}".rstrip(), tuple(notes))


def prediction_panel(image_bgr: ImageArray, sample: MultiTaskDataSample, tasks: Sequence[TaskSpec], score_thr: float) -> Panel:
    """Draw a sample's predictions without a legend; what the network's input does not show is darkened.

    Args:
        image_bgr: (H, W, 3) the original picture.
        sample: With ``pred``.
        tasks: Tasks to draw; those that the network does not predict are named.
        score_thr: Boxes below this score are not drawn.

    Returns:
        The picture.
    """
    image, factor = _enlarge(image_bgr)
    groups, missing = [], []
    unseen_is_dim = False
    for task in _by_kind(tasks):
        prediction = sample.pred.get(task.name, None)
        if prediction is None:
            missing.append(task.name)
        elif task.kind is TaskKind.DETECTION:
            groups.append(_predicted_boxes(task, prediction, score_thr, factor))
        else:
            mask = _mask_of(task, prediction, image_bgr, factor)
            if not unseen_is_dim:
                dim_unseen(image, mask)
                unseen_is_dim = True
            _paint_mask(image, mask, task, hatch=False)
    paint_boxes(image, groups)
    notes = (f"no branch: {', '.join(missing)}",) if missing else ()
    return Panel(image, f"prediction, score >= {score_thr:g}", notes)


def _by_kind(tasks: Sequence[TaskSpec]) -> list[TaskSpec]:
    # Thin things above flat ones.
    order = (TaskKind.SEMANTIC, TaskKind.LANE, TaskKind.DETECTION)
    return sorted(tasks, key=lambda task: order.index(task.kind))


def _paint_mask(image: ImageArray, mask_HW: ImageArray, task: TaskSpec, hatch: bool = True) -> None:
    if task.kind is TaskKind.LANE:
        paint_lanes(image, mask_HW, task, hatch)
    else:
        tint_classes(image, mask_HW, task, hatch)


def _enlarge(image_bgr: ImageArray) -> tuple[ImageArray, int]:
    factor = max(1, -(-MIN_WIDTH_PX // image_bgr.shape[1]))
    if factor == 1:
        return image_bgr.copy(), 1
    return cv2.resize(image_bgr, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR), factor


def _mask_of(task: TaskSpec, sem_seg: Any, image_bgr: ImageArray, factor: int) -> ImageArray:
    mask = _numpy(sem_seg.data).squeeze(0).astype(np.uint8, copy=False)
    if mask.shape != image_bgr.shape[:2]:
        raise AdmlopsError(
            f"{task.name}: the mask does not fit the picture",
            expected=f"a mask of {image_bgr.shape[:2]}",
            got=mask.shape,
            remedy="labels in `gt` belong to the network's input, `gt_original` and `pred` to the original image",
        )
    return mask if factor == 1 else mask.repeat(factor, axis=0).repeat(factor, axis=1)


def _label_boxes(task: TaskSpec, instances: Any, sets: Sequence[str], factor: int) -> DrawnBoxes:
    names, colors = [*task.classes, *sets], [*task.palette, *[SET_COLOR] * len(sets)]
    labels = _numpy(instances.labels).reshape(-1)
    ignored = _numpy(instances.get("ignore_flags", np.zeros(len(labels), bool))).astype(bool)
    return _boxes(instances, factor, [names[i] for i in labels], [colors[i] for i in labels], ignored)


def _predicted_boxes(task: TaskSpec, instances: Any, score_thr: float, factor: int) -> DrawnBoxes:
    kept = instances[_as_index(_numpy(instances.scores) >= score_thr)]
    labels, scores = _numpy(kept.labels).reshape(-1), _numpy(kept.scores).reshape(-1)
    texts = [f"{task.classes[label]} {100 * score:.0f}" for label, score in zip(labels, scores, strict=True)]
    return _boxes(kept, factor, texts, [task.palette[label] for label in labels], np.zeros(len(labels), bool))


def _boxes(
    instances: Any, factor: int, texts: Sequence[str], colors: Sequence[Color], ignored: npt.NDArray[np.bool_]
) -> DrawnBoxes:
    bboxes = _numpy(instances.bboxes).reshape(-1, 4).astype(np.float64) * factor
    return DrawnBoxes(bboxes, tuple(texts), tuple(colors), ignored)


def _as_index(keep: npt.NDArray[np.bool_]) -> torch.Tensor:
    return torch.from_numpy(np.flatnonzero(keep))


def _numpy(value: Any) -> npt.NDArray[Any]:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
