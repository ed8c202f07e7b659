"""Labels of one task on the way through the transforms: numpy, before they become tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from admlops.structures import LabelAvailability


@dataclass(frozen=True)
class DetectionAnnotation:
    """Boxes of one task.

    Attributes:
        bboxes: (N, 4) float32, x1 y1 x2 y2 in px from the left and top edge of the image.
        labels: (N,) int64, the class, or K + s for category set s.
        ignore_flags: (N,) bool, neither a positive nor background.
        availability: What the source annotated.
    """

    bboxes: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    ignore_flags: npt.NDArray[np.bool_]
    availability: LabelAvailability


@dataclass(frozen=True)
class SegmentationAnnotation:
    """Mask of one task.

    Attributes:
        mask: (H, W) uint8, the channel, K + s for category set s, or 255 = ignore.
        availability: What the source annotated.
    """

    mask: npt.NDArray[np.uint8]
    availability: LabelAvailability


TaskAnnotation: TypeAlias = DetectionAnnotation | SegmentationAnnotation
