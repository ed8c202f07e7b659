"""One picture a sweep, seen from above with forward up: points, and of each task truth, prediction and errors.

A row a task. Cells that nobody labelled are black in the truth and nearly so among the errors; rings show the distance from
the sensor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from admlops.errors import AdmlopsError
from admlops.evaluation.task_metric import to_numpy
from admlops.structures import MultiTaskDataSample
from admlops.task_spec import IGNORE_INDEX, LIDAR_TASKS, Color, TaskKind, TaskSpec
from admlops.visualization import MultiTaskVisualizer
from admlops.visualization.draw_labels import Frame, Tasks
from admlops.visualization.overlay import SET_COLOR, ImageArray, put_text, text_scale
from admlops.visualization.panels import Panel, compose
from god.geometry import BevGrid
from god.registry import VISUALIZERS

MIN_SIDE_PX = 512
"""Smaller grids are enlarged by a whole factor."""
WHITE_ABOVE_M = 3.0
"""Height above the lowest twentieth of the points from which a cell is white."""
DARKEST_POINT = 0.3
UNLABELLED: Color = (0, 0, 0)
RING_COLOR: Color = (84, 84, 104)
RING_TEXT_COLOR: Color = (200, 200, 220)
SENSOR_COLOR: Color = (255, 234, 0)
HIT, MISS, FALSE_ALARM, CORRECT, NOT_LABELLED = range(5)
ERRORS = TaskSpec(
    "errors",
    TaskKind.SEMANTIC,
    ("found", "missed", "false alarm", "rightly none", "not labelled"),
    ((0, 200, 83), (255, 23, 68), (255, 171, 0), (60, 64, 72), (18, 18, 18)),
)
"""Of a task of two classes, whose second one is what is looked for."""
CLASS_ERRORS = TaskSpec(
    "errors", TaskKind.SEMANTIC, ("right", "wrong", "not labelled"), ((0, 110, 60), (255, 23, 68), (18, 18, 18))
)
"""Of a task of more classes."""

MaskArray = npt.NDArray[np.uint8]


@VISUALIZERS.register_module()
class BevVisualizer(MultiTaskVisualizer):
    """Draws all tasks of a grid, which each sample names: windows in training, the whole one in a test.

    Args:
        tasks: Tasks to draw, by name or as their fields.
        name: Name of the instance.
        **kwargs: Of ``MultiTaskVisualizer``.
    """

    def __init__(
        self,
        tasks: Tasks = tuple(LIDAR_TASKS),
        name: str = "visualizer",
        **kwargs: Any,
    ) -> None:
        super().__init__(tasks, name, **kwargs)

    def background(self, sample: MultiTaskDataSample, inputs: Any, read_picture: Callable[[str], ImageArray]) -> ImageArray:
        """Draw the points, brighter the higher the topmost one of a cell lies.

        Args:
            sample: With its ``grid``.
            inputs: With ``points`` (N, 4) and ``cell`` (N,).
            read_picture: Not needed.

        Returns:
            (cols, rows, 3) RGB, forward up.
        """
        grid = BevGrid.of_config(sample.grid)
        cell, z_m = to_numpy(inputs["cell"]), to_numpy(inputs["points"])[:, 2]
        inside = cell < grid.num_cells
        cell, z_m = cell[inside], z_m[inside]
        share = np.zeros(grid.num_cells, np.float32)
        if len(z_m):
            height_m = (z_m - np.percentile(z_m, 5)).clip(0, WHITE_ABOVE_M)
            np.maximum.at(share, cell, DARKEST_POINT + (1 - DARKEST_POINT) * height_m / WHITE_ABOVE_M)
        grey_HW = np.rint(255 * share).astype(np.uint8).reshape(grid.shape)
        return np.repeat(forward_up(grey_HW)[..., None], 3, axis=2)

    def compose(
        self,
        name: str,
        image_bgr: ImageArray,
        sample: MultiTaskDataSample,
        draw_gt: bool,
        draw_pred: bool,
        frame: Frame | None,
        score_thr: float,
    ) -> ImageArray:
        """Lay out the picture of a sweep.

        Args:
            name: Identifier of the picture.
            image_bgr: (cols, rows, 3) the points, as ``background`` draws them.
            sample: Labels and predictions.
            draw_gt: Whether to draw labels.
            draw_pred: Whether to draw predictions, which the sample has.
            frame: Whether labels of the network's ``input`` or of the ``original`` are drawn; whichever there are by default.
            score_thr: Not needed.

        Returns:
            A BGR picture.
        """
        labels = sample.get("gt_original", None) if frame != "input" else None
        if labels is None and frame != "original":
            labels = sample.get("gt", None)
        points = self._panel(image_bgr, sample, f"points  {sample.get('sample_id', name)}  {sample.get('source', '')}".rstrip())
        rows = []
        for task in self.tasks:
            label = labels.get(task.name, None) if labels is not None else None
            prediction = sample.pred.get(task.name, None) if draw_pred else None
            panels, legend = [points], [task]
            if draw_gt:
                panels.append(self._truth(task, label, sample))
            if draw_pred:
                panels.append(self._prediction(task, prediction, sample))
            if draw_gt and draw_pred:
                legend.append(ERRORS if task.num_channels == 2 else CLASS_ERRORS)
                panels.append(self._errors(task, label, prediction, sample))
            rows.append(compose(panels, legend))
        return np.vstack(rows) if rows else compose([points], ())

    def _truth(self, task: TaskSpec, label: Any, sample: MultiTaskDataSample) -> Panel:
        title = f"truth  {task.name}"
        if label is None:
            return self._panel(_empty(sample), sample, title, (f"unknown: {task.name}",))
        mask_HW = _mask(task, label.sem_seg, sample)
        sets = to_numpy(label.category_sets).astype(bool)
        unknown = [task.channels[index] for index in np.flatnonzero(~to_numpy(label.class_labelled).astype(bool))]
        notes = [f"unknown: {', '.join(unknown)}"] if unknown else []
        if len(sets):
            named = ", ".join("|".join(np.array(task.channels)[members]) for members in sets)
            notes.append(f"not told apart (white): {named}")
        return self._panel(paint(mask_HW, task), sample, title, tuple(notes))

    def _prediction(self, task: TaskSpec, prediction: Any, sample: MultiTaskDataSample) -> Panel:
        title = f"prediction  {task.name}"
        if prediction is None:
            return self._panel(_empty(sample), sample, title, (f"no branch: {task.name}",))
        return self._panel(paint(_mask(task, prediction, sample), task), sample, title)

    def _errors(self, task: TaskSpec, label: Any, prediction: Any, sample: MultiTaskDataSample) -> Panel:
        title = f"errors  {task.name}"
        if label is None or prediction is None:
            return self._panel(_empty(sample), sample, title)
        gt_HW, pred_HW = _mask(task, label.sem_seg, sample), _mask(task, prediction, sample)
        sets = to_numpy(label.category_sets).astype(bool)
        kinds_HW, kinds = errors_of(gt_HW, pred_HW, sets, task.num_channels)
        return self._panel(paint(kinds_HW, kinds), sample, title)

    def _panel(self, image_bgr: ImageArray, sample: MultiTaskDataSample, title: str, notes: Sequence[str] = ()) -> Panel:
        grid = BevGrid.of_config(sample.grid)
        factor = max(1, -(-MIN_SIDE_PX // grid.rows))
        enlarged = image_bgr.repeat(factor, axis=0).repeat(factor, axis=1)
        _draw_rings(enlarged, grid, factor, sample.get("origin", (0.0, 0.0, 0.0)))
        return Panel(enlarged, title, tuple(notes))


def _mask(task: TaskSpec, sem_seg: Any, sample: MultiTaskDataSample) -> MaskArray:
    mask_HW = to_numpy(sem_seg.data).squeeze(0).astype(np.uint8, copy=False)
    shape = BevGrid.of_config(sample.grid).shape
    if mask_HW.shape != shape:
        raise AdmlopsError(
            f"{task.name}: the mask is not of the sample's grid",
            where=sample.get("sample_id"),
            expected=shape,
            got=mask_HW.shape,
            remedy="give RasterizeBevLabels and PackBevInputs one grid",
        )
    return mask_HW


def _empty(sample: MultiTaskDataSample) -> ImageArray:
    rows, cols = BevGrid.of_config(sample.grid).shape
    return np.zeros((cols, rows, 3), np.uint8)


def _draw_rings(image_bgr: ImageArray, grid: BevGrid, factor: int, origin: Any) -> None:
    col, row = grid.to_px(np.array([[float(origin[0]), float(origin[1])]]))[0]
    centre = (round((grid.rows - row) * factor), round((grid.cols - col) * factor))
    px_per_m = factor / grid.cell_m
    reach_m = max(*centre, image_bgr.shape[1] - centre[0], image_bgr.shape[0] - centre[1]) / px_per_m
    step_m = next((step for step in (1, 2, 5, 10, 20, 50) if reach_m / step <= 5.5), 100)
    scale = 0.8 * text_scale(image_bgr.shape[0])
    for ring in range(1, int(reach_m / step_m) + 1):
        radius_px = round(ring * step_m * px_per_m)
        cv2.circle(image_bgr, centre, radius_px, RING_COLOR[::-1], 1, cv2.LINE_AA)
        put_text(image_bgr, f"{ring * step_m} m", (centre[0] + 3, centre[1] - radius_px + 12), scale, RING_TEXT_COLOR)
    cv2.drawMarker(image_bgr, centre, SENSOR_COLOR[::-1], cv2.MARKER_TRIANGLE_UP, max(7, min(image_bgr.shape[:2]) // 64), 2)


def forward_up(grid_HW: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Turn a grid so that x points up and y to the left.

    Args:
        grid_HW: (rows, cols, ...), row = y, column = x.

    Returns:
        (cols, rows, ...), contiguous.
    """
    return np.ascontiguousarray(grid_HW.swapaxes(0, 1)[::-1, ::-1])


def paint(mask_HW: MaskArray, task: TaskSpec) -> ImageArray:
    """Give each cell the colour of its class: white for category sets, black where nothing is labelled.

    Args:
        mask_HW: (rows, cols) classes.
        task: Whose palette is used.

    Returns:
        (cols, rows, 3) BGR, forward up.
    """
    table = np.empty((256, 3), np.uint8)
    table[:] = SET_COLOR
    table[: task.num_channels] = task.palette
    table[IGNORE_INDEX] = UNLABELLED
    return np.ascontiguousarray(table[forward_up(mask_HW)][..., ::-1])


def errors_of(
    gt_HW: MaskArray, pred_HW: MaskArray, sets: npt.NDArray[np.bool_], num_classes: int
) -> tuple[MaskArray, TaskSpec]:
    """Compare a prediction with the truth.

    Args:
        gt_HW: (rows, cols) classes K, category sets from K on, 255 = not labelled.
        pred_HW: (rows, cols) classes.
        sets: (S, K) members of the category sets; a member is right where its set is labelled.
        num_classes: K.

    Returns:
        Kinds of cells, and what their values mean.
    """
    right = np.zeros((256, 256), bool)
    right[np.arange(num_classes), np.arange(num_classes)] = True
    right[num_classes : num_classes + len(sets), :num_classes] = sets
    right_HW = right[gt_HW, pred_HW]
    kinds_HW = np.where(right_HW, 0, 1).astype(np.uint8)
    if num_classes == 2:
        sought_HW = np.where(right_HW, CORRECT, FALSE_ALARM)
        kinds_HW = np.where(gt_HW == 1, np.where(right_HW, HIT, MISS), sought_HW).astype(np.uint8)
        kinds_HW[gt_HW == IGNORE_INDEX] = NOT_LABELLED
        return kinds_HW, ERRORS
    kinds_HW[gt_HW == IGNORE_INDEX] = len(CLASS_ERRORS.classes) - 1
    return kinds_HW, CLASS_ERRORS
