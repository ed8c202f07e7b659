"""Where the pictures of samples come from and go to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from admlops.datasets.transforms.read_file import decode_image, resolve_path
from admlops.structures import MultiTaskDataSample


def picture_reader(dataset: Any) -> Callable[[str], npt.NDArray[np.uint8]]:
    """Make what reads the original pictures of a data set as training reads it.

    Args:
        dataset: Whose object stores (``profiles``) are asked, where it knows such.

    Returns:
        Function from a sample's ``img_path`` to (H, W, 3) RGB.
    """

    def read(img_path: str) -> npt.NDArray[np.uint8]:
        path = resolve_path(Path(), img_path, getattr(dataset, "profiles", None))
        # cv2.imread would apply a rotation noted in EXIF.
        image: npt.NDArray[np.uint8] = cv2.cvtColor(decode_image(path.read_bytes(), path, img_path), cv2.COLOR_BGR2RGB)
        return image

    return read


def picture_name(sample: MultiTaskDataSample) -> str:
    """Name the file of a sample's picture.

    Args:
        sample: With ``source`` and ``sample_id``.

    Returns:
        A file name.
    """
    return f"{sample.source}_{sample.sample_id}.png".replace("/", "_")
