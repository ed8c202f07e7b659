"""Poses of sensors and vehicles: quaternions and translations -> where points and boxes of one frame lie in another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from admlops.errors import ConversionError

F64 = npt.NDArray[np.float64]

_UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True)
class RigidTransform:
    """``rotation @ point + translation``: takes points of one frame into another.

    Attributes:
        rotation: (3, 3).
        translation: (3,) m.
    """

    rotation: F64
    translation: F64

    @classmethod
    def from_quaternion(cls, wxyz: Sequence[float], translation: Sequence[float], where: object) -> RigidTransform:
        """Read a pose as data sets write it.

        Args:
            wxyz: (4,) unit quaternion, the real part first.
            translation: (3,) m.
            where: File and row, named in the error.

        Returns:
            The transform.

        Raises:
            ConversionError: Not a unit quaternion.
        """
        length = math.hypot(*wxyz) if len(wxyz) == 4 else math.nan
        if not abs(length - 1) < _UNIT_TOLERANCE or not np.isfinite(translation).all():
            raise ConversionError(
                "not a pose",
                where=where,
                expected="a unit quaternion w, x, y, z and 3 finite numbers",
                got=f"{wxyz} {translation}",
            )
        w, x, y, z = (value / length for value in wxyz)
        rotation = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
            ]
        )
        return cls(rotation, np.array(translation, dtype=np.float64))

    @property
    def inverse(self) -> RigidTransform:
        """The way back."""
        return RigidTransform(self.rotation.T, -self.rotation.T @ self.translation)

    def __matmul__(self, first: RigidTransform) -> RigidTransform:
        return RigidTransform(self.rotation @ first.rotation, self.rotation @ first.translation + self.translation)

    def apply(self, points_m: npt.ArrayLike) -> F64:
        """Move points.

        Args:
            points_m: (..., 3) m.

        Returns:
            (..., 3) m.
        """
        moved: F64 = np.asarray(points_m, dtype=np.float64) @ self.rotation.T + self.translation
        return moved

    def heading(self, direction: Sequence[float] = (1.0, 0.0, 0.0)) -> float:
        """Turn a direction and look at it from above.

        Args:
            direction: (3,) in the frame that the transform takes from.

        Returns:
            Angle about +z from +x, rad.
        """
        x, y, _ = self.rotation @ np.asarray(direction, dtype=np.float64)
        return math.atan2(y, x)
