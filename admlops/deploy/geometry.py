"""From an image to the input of an exported network, by the transforms that the network was trained and tested with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from admlops.datasets.transforms import ExportGeometry
from admlops.datasets.transforms import geometry as transforms
from admlops.deploy.input_geometry import Geometry


def to_input(image_HW3: NDArray[np.uint8], geometry: Geometry) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """Bring an image to the network's input.

    One of the camera's size goes through ``ExportGeometry``. Any other is scaled until it fits, its proportions kept, and
    padded on the right and below.

    Args:
        image_HW3: BGR.
        geometry: Of the exported file.

    Returns:
        The input (H, W, 3), contiguous; and the metainfo that the way back needs (``ori_shape``, ``img_shape``,
        ``input_from_original``).

    Raises:
        ConfigError: The camera's image does not fit the input, so the geometry is wrong.
    """
    height, width = image_HW3.shape[:2]
    meta = {"ori_shape": (height, width), "img_shape": (height, width), "input_from_original": np.eye(3)}
    results = {"img": image_HW3, "record_where": None, **meta}
    if (height, width) == geometry.original_hw:
        ExportGeometry(geometry.input_hw, geometry.pyramid_step, geometry.place_yx)(results)
    else:
        scale = min(geometry.input_hw[0] / height, geometry.input_hw[1] / width)
        # A strip of a few pixels may not vanish.
        transforms.resize(results, (max(1, round(height * scale)), max(1, round(width * scale))))
        transforms.pad(results, geometry.input_hw)
    return np.ascontiguousarray(results["img"]), {key: results[key] for key in meta}
