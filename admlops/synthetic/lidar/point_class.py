"""What a rendered point is, and how a label file packs it: taxonomy ``rendered``."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

INSTANCE_SHIFT = 16
"""Bits below the instance id, as SemanticKITTI packs its labels."""


class PointClass(IntEnum):
    """Class of a point.

    The values are those of the lidar network's own point classes, repeated because nothing here may import a project; a test of
    that project compares the two.
    """

    UNKNOWN = 0
    ROAD = 1
    PARKING = 2
    SIDEWALK = 3
    OTHER_GROUND = 4
    TERRAIN = 5
    MOVABLE = 6
    STATIC = 7
    VEGETATION = 8
    DRIVEABLE = 9


DRIVABLE = (PointClass.ROAD, PointClass.PARKING)


def pack_labels(classes: npt.NDArray[np.integer[Any]], instances: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.uint32]:
    """Pack labels as a file holds them.

    Args:
        classes: (N,) point classes.
        instances: (N,) ids of objects, 0 = none.

    Returns:
        (N,) class in the low 16 bits, instance in the high 16.
    """
    return (classes.astype(np.uint32) | instances.astype(np.uint32) << INSTANCE_SHIFT).astype(np.uint32)
