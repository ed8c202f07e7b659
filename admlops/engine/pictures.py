"""Where the pictures of samples come from and go to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from admlops.datasets.transforms.read_file import decode_image, resolve_path
from admlops.errors import ConfigError
from admlops.structures import MultiTaskDataSample


def require_tasks(sample: object) -> None:
    """Refuse to draw or write what is not sorted by task.

    Args:
        sample: What the network predicted, or what it learns from.

    Raises:
        ConfigError: It is of a network of another package.
    """
    if not isinstance(sample, MultiTaskDataSample):
        raise ConfigError(
            "this network's labels and predictions cannot be drawn or written as records",
            expected="MultiTaskDataSample, with both by task",
            got=type(sample).__name__,
            remedy="leave --out and --show-dir away, and OverlayHook out of the config's custom_hooks; look at labels with the"
            " tools of the package that the network is of",
        )


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
