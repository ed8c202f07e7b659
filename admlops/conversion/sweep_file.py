"""A lidar sweep of a source as a raw file of float32, and the integers beside it: that they are all there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from admlops.errors import ConversionError

REFETCH = "fetch the file again, then run the same command: it continues"


@dataclass(frozen=True)
class SweepFile:
    """A sweep that is complete.

    Attributes:
        path: Where it lies.
        num_points: Number N of points.
        num_features: Float32 values a point; the first three are x, y, z in m.
    """

    path: Path
    num_points: int
    num_features: int


def read_sweep(path: Path, features: str) -> SweepFile:
    """Check a sweep by its size.

    Args:
        path: A raw row-major file of float32.
        features: Names of the values of a point, separated by commas.

    Returns:
        How many points it holds.

    Raises:
        ConversionError: Empty, or cut short inside of a point.
    """
    num_features = features.count(",") + 1
    num_points, rest = divmod(num_bytes := path.stat().st_size, 4 * num_features)
    if num_bytes == 0 or rest:
        raise ConversionError(
            "the lidar sweep is truncated",
            where=path,
            expected=f"a multiple of {4 * num_features} bytes ({features} as float32)",
            got=f"{num_bytes} bytes",
            remedy=REFETCH,
        )
    return SweepFile(path, num_points, num_features)


def read_point_labels(path: Path, dtype: str, sweep: SweepFile) -> npt.NDArray[Any]:
    """Read one integer a point.

    Args:
        path: A raw file.
        dtype: Of the integers, such as ``<u4``.
        sweep: Whose points they label.

    Returns:
        (N,) integers.

    Raises:
        ConversionError: As many integers as points are needed.
    """
    num_bytes, expected = path.stat().st_size, sweep.num_points * np.dtype(dtype).itemsize
    if num_bytes != expected:
        raise ConversionError(
            "the labels do not fit the sweep",
            where=path,
            expected=f"{expected} bytes: {sweep.num_points} points of {sweep.path}, {np.dtype(dtype).itemsize} bytes each",
            got=f"{num_bytes} bytes",
            remedy=REFETCH,
        )
    return np.fromfile(path, dtype)
