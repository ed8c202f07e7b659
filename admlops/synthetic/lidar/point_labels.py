"""How a label file packs the classes and instances of rendered points: taxonomy ``rendered``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from admlops.point_class import PointClass

INSTANCE_SHIFT = 16
"""Bits below the instance id, as SemanticKITTI packs its labels."""

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
