"""The network's visualizer: truth and prediction of all branches side by side."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.dist import master_only
from mmengine.visualization import Visualizer

from admlops.errors import AdmlopsError
from admlops.registry import VISUALIZERS
from admlops.structures import MultiTaskDataSample
from admlops.task_spec import CAMERA_TASKS, resolve_task
from admlops.visualization.draw_labels import Frame, Tasks, label_panel, prediction_panel
from admlops.visualization.overlay import ImageArray
from admlops.visualization.panels import Panel, compose


@VISUALIZERS.register_module()
class MultiTaskVisualizer(Visualizer):
    """Draws every branch on one picture.

    Args:
        tasks: Tasks to draw, by name or as their fields; the classes and colours come from them, never from ``dataset_meta``.
        name: Name of the instance.
        score_thr: Boxes below this score are not drawn.
        **kwargs: Of ``mmengine.visualization.Visualizer``: ``vis_backends``, ``save_dir``.
    """

    def __init__(
        self, tasks: Tasks = tuple(CAMERA_TASKS), name: str = "visualizer", score_thr: float = 0.3, **kwargs: Any
    ) -> None:
        super().__init__(name, **kwargs)
        self.tasks = tuple(resolve_task(task) for task in tasks)
        self.score_thr = score_thr

    def background(self, sample: MultiTaskDataSample, inputs: Any, read_picture: Callable[[str], ImageArray]) -> ImageArray:
        """Find what a sample is drawn on: the original where its predictions or labels are in original pixels, else the input.

        Args:
            sample: The sample.
            inputs: (3, H, W) uint8 BGR as the data loader gives it.
            read_picture: Reads an original picture, RGB, by the path that the sample gives.

        Returns:
            (H, W, 3) RGB, for ``add_datasample``.
        """
        if "gt_original" in sample or "pred" in sample:
            return read_picture(sample.img_path)
        return np.ascontiguousarray(inputs.numpy().transpose(1, 2, 0)[..., ::-1])

    @master_only
    def add_datasample(
        self,
        name: str,
        image: ImageArray,
        data_sample: MultiTaskDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | Path | None = None,
        step: int = 0,
        frame: Frame | None = None,
        score_thr: float | None = None,
    ) -> None:
        """Draw one sample; truth left, prediction right where it has both.

        Args:
            name: Identifier of the picture.
            image: (H, W, 3) **RGB**, as mmengine's hooks hand it over; in original pixels where predictions or ``gt_original``
                are drawn, the network's input where ``gt`` is.
            data_sample: Labels and predictions.
            draw_gt: Whether to draw labels.
            draw_pred: Whether to draw predictions.
            show: Whether to open a window.
            wait_time: Seconds for which the window stays open, 0 = until a key is pressed.
            out_file: Picture file; where it is None, the picture goes to the ``vis_backends``.
            step: Step for the ``vis_backends``.
            frame: Which labels: in pixels of the ``original`` or of the network's ``input``; see ``draw_labels``.
            score_thr: Instead of the instance's.

        Raises:
            AdmlopsError: A mask does not fit the image, or the file cannot be written.
        """
        image_bgr = np.ascontiguousarray(image[..., ::-1])
        sample = data_sample if data_sample is not None else MultiTaskDataSample()
        threshold = self.score_thr if score_thr is None else score_thr
        drawn_bgr = self.compose(name, image_bgr, sample, draw_gt, draw_pred and "pred" in sample, frame, threshold)
        drawn_rgb = np.ascontiguousarray(drawn_bgr[..., ::-1])
        if show:
            self.show(drawn_rgb, win_name=name, wait_time=wait_time)
        if out_file is not None:
            write_picture(out_file, drawn_bgr)
        else:
            self.add_image(name, drawn_rgb, step)

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
        """Lay out the picture of a sample.

        Args:
            name: Identifier of the picture.
            image_bgr: (H, W, 3) what the sample is drawn on.
            sample: Labels and predictions.
            draw_gt: Whether to draw labels.
            draw_pred: Whether to draw predictions, which the sample has.
            frame: Which labels, see ``draw_labels``.
            score_thr: Boxes below this score are not drawn.

        Returns:
            A BGR picture.
        """
        panels: list[Panel] = []
        if draw_gt:
            panels.append(label_panel(image_bgr, sample, self.tasks, frame))
        if draw_pred:
            panels.append(prediction_panel(image_bgr, sample, self.tasks, score_thr))
        return compose(panels or [Panel(image_bgr, name)], self.tasks)


def write_picture(path: str | Path, image_bgr: ImageArray) -> None:
    """Write a picture; the file appears whole or not at all.

    Args:
        path: File whose suffix says the format; its folder is made where it is absent.
        image_bgr: (H, W, 3) BGR.

    Raises:
        AdmlopsError: cv2 does not know the format.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        _, encoded = cv2.imencode(target.suffix, image_bgr)
    except cv2.error as error:
        raise AdmlopsError(
            f"cannot write a picture of type {target.suffix!r}", where=target, expected=".png or .jpg", got=target.suffix
        ) from error
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
        file.write(encoded.tobytes())
    Path(file.name).chmod(0o644)
    Path(file.name).replace(target)
