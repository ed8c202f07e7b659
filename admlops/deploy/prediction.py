"""What a deployed network finds in an image, in pixels of the original."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from mmengine.structures import InstanceData, PixelData
from numpy.typing import NDArray

from admlops.structures.multi_task_data_sample import TaskElements


@dataclass(frozen=True, eq=False)
class Detections:
    """Objects of one task, the surest first.

    Attributes:
        boxes_xyxy_px: (N, 4) float32, clipped to what the network saw.
        scores: (N,) float32, 0 to 1.
        labels: (N,) int64, indices into the task's classes.
        names: Name of each object's class.
    """

    boxes_xyxy_px: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True, eq=False)
class SegmentationMask:
    """Class of each pixel.

    Attributes:
        mask: (H, W) uint8, indices into ``classes``; 255 where the network did not see the image.
        classes: Names by value; of lanes the first is ``background``.
        score: (H, W) float32, probability of the second of two classes, where the file gives it.
    """

    mask: NDArray[np.uint8]
    classes: tuple[str, ...]
    score: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class Prediction:
    """All tasks of one image.

    Attributes:
        detections: By task.
        masks: By task.
        image_hw: Height and width of the image, px.
    """

    detections: Mapping[str, Detections]
    masks: Mapping[str, SegmentationMask]
    image_hw: tuple[int, int]

    def to_elements(self) -> TaskElements:
        """Give the results the form in which networks predict and metrics read.

        Returns:
            ``MultiTaskDataSample.pred`` of the image.
        """
        elements = TaskElements()
        for name, found in self.detections.items():
            boxes, scores, labels = (torch.from_numpy(each) for each in (found.boxes_xyxy_px, found.scores, found.labels))
            elements.set_data({name: InstanceData(bboxes=boxes, scores=scores, labels=labels)})
        for name, segmented in self.masks.items():
            score = {} if segmented.score is None else {"score": torch.from_numpy(segmented.score)[None]}
            elements.set_data({name: PixelData(data=torch.from_numpy(segmented.mask)[None], **score)})
        return elements
