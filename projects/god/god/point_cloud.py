"""A sweep with everything that moves with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Polygon = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PointCloud:
    """Points, what is known of each, and what else lies in their frame. Never changed in place.

    Attributes:
        points_N4: (N, 4) float32 x, y, z in m, z about the sensor as recorded, and intensity within 0..1.
        origin_3: (3,) float64, the sensor in the points' frame, m: where rays begin.
        fields: Arrays of length N by name; every selection of points takes them along.
        polygons: By name, lists of (K, 2) float64 corners x, y, m.
        ego_radius_m: Radius of the disc about the sensor whose points are dropped: the vehicle that carries it.
    """

    points_N4: npt.NDArray[np.float32]
    origin_3: npt.NDArray[np.float64]
    fields: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    polygons: Mapping[str, tuple[Polygon, ...]] = field(default_factory=dict)
    ego_radius_m: float = 0.0

    @classmethod
    def of_array(cls, points: npt.NDArray[np.floating[Any]], origin: Sequence[float], intensity_max: float = 1.0) -> PointCloud:
        """Make a cloud of what a record's ``lidar`` describes; no point is dropped, what is not finite stays.

        Args:
            points: (N, 3 or more) x, y, z in m, then intensity where it is known.
            origin: The sensor in the points' frame, m.
            intensity_max: Intensity that becomes 1; intensity is 0 where there is none.

        Returns:
            The cloud, its heights about the sensor.
        """
        x_m, y_m, z_m = origin
        points_N4 = np.zeros((len(points), 4), dtype=np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            points_N4[:, :3] = points[:, :3]
            points_N4[:, 2] -= np.float32(z_m)
            if points.shape[1] > 3:
                intensity = points[:, 3].astype(np.float32) / np.float32(intensity_max)
                # Clipped, an infinite value would pass for a bright point.
                points_N4[:, 3] = np.where(np.isfinite(points[:, 3]), np.clip(intensity, 0.0, 1.0), intensity)
        return cls(points_N4, np.array([x_m, y_m, 0.0]))

    def __len__(self) -> int:
        return len(self.points_N4)

    def select(self, keep: npt.NDArray[np.bool_]) -> PointCloud:
        """Keep some of the points.

        Args:
            keep: (N,) bool.

        Returns:
            They, in their order, with their fields.
        """
        fields = {name: values[keep] for name, values in self.fields.items()}
        return replace(self, points_N4=self.points_N4[keep], fields=fields)

    def transform(self, new_from_old: npt.NDArray[np.float64]) -> PointCloud:
        """Move everything.

        Args:
            new_from_old: (4, 4) similarity of x, y, z that leaves the z axis upright.

        Returns:
            The moved cloud.
        """
        turn, shift = new_from_old[:3, :3], new_from_old[:3, 3]
        moved = self.points_N4.copy()
        moved[:, :3] = self.points_N4[:, :3].astype(np.float64) @ turn.T + shift
        polygons = {
            name: tuple(corners @ turn[:2, :2].T + shift[:2] for corners in listed) for name, listed in self.polygons.items()
        }
        return replace(
            self,
            points_N4=moved,
            origin_3=turn @ self.origin_3 + shift,
            polygons=polygons,
            ego_radius_m=self.ego_radius_m * float(np.cbrt(abs(np.linalg.det(turn)))),
        )
