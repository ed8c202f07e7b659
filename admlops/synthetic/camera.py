"""Pinhole camera over a ground plane: world metres to pixels, with clipping at the near plane."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

NEAR_M = 0.6
_FARTHEST_PX = 30000.0


@dataclass(frozen=True)
class Camera:
    """A pinhole camera. World: X right, Y up, Z along the road, metres; pixels: x right, y down.

    Attributes:
        width_px: Image width.
        height_px: Image height.
        focal_px: Focal length.
        above_ground_m: Height of the camera over the ground at Z = 0.
        pitch_rad: Positive looks down.
        roll_rad: Positive turns the picture clockwise.
    """

    width_px: int
    height_px: int
    focal_px: float
    above_ground_m: float
    pitch_rad: float
    roll_rad: float

    @cached_property
    def position_m(self) -> FloatArray:
        """Camera centre in the world, shape (3,)."""
        return np.array([0.0, self.above_ground_m, 0.0])

    @cached_property
    def rotation(self) -> FloatArray:
        """World axes to camera axes (x right, y down, z forward), shape (3, 3)."""
        cos_p, sin_p = math.cos(self.pitch_rad), math.sin(self.pitch_rad)
        cos_r, sin_r = math.cos(self.roll_rad), math.sin(self.roll_rad)
        to_down = np.diag([1.0, -1.0, 1.0])
        pitch = np.array([[1, 0, 0], [0, cos_p, -sin_p], [0, sin_p, cos_p]])
        roll = np.array([[cos_r, -sin_r, 0], [sin_r, cos_r, 0], [0, 0, 1]])
        rotation: FloatArray = roll @ pitch @ to_down
        return rotation

    def to_camera(self, points_m: ArrayLike) -> FloatArray:
        """Move world points (N, 3) into the camera's frame (N, 3)."""
        moved: FloatArray = (np.asarray(points_m, dtype=np.float64) - self.position_m) @ self.rotation.T
        return moved

    def project(self, points_m: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Project world points.

        Args:
            points_m: (N, 3).

        Returns:
            Pixels (N, 2) and depths (N,) in metres; pixels are meaningless where the depth is below ``NEAR_M``.
        """
        in_camera = self.to_camera(points_m)
        return self._to_pixels(in_camera), in_camera[:, 2]

    def project_polygon(self, corners_m: ArrayLike) -> FloatArray | None:
        """Project a polygon, cut at the near plane.

        Args:
            corners_m: (N, 3) world points.

        Returns:
            (M, 2) pixels, or None where nothing of it lies before the camera.
        """
        in_camera = self.to_camera(corners_m)
        ahead = in_camera[:, 2] > NEAR_M
        if not ahead.any():
            return None
        if not ahead.all():
            in_camera = _cut_at_near_plane(in_camera, ahead)
        return self._to_pixels(in_camera)

    def pixels_per_metre(self, depth_m: float) -> float:
        """Scale of an upright thing at a depth."""
        return self.focal_px / max(depth_m, NEAR_M)

    @cached_property
    def ground_from_pixel(self) -> FloatArray:
        """Homography (3, 3) from a pixel to (X, Z) on the plane Y = 0, valid below the horizon."""
        intrinsics = np.array(
            [[self.focal_px, 0, self.width_px / 2], [0, self.focal_px, self.height_px / 2], [0, 0, 1]],
        )
        columns = np.stack(
            [self.rotation[:, 0], self.rotation[:, 2], -self.rotation @ self.position_m],
            axis=1,
        )
        inverse: FloatArray = np.linalg.inv(intrinsics @ columns)
        return inverse

    @property
    def horizon_px(self) -> float:
        """Row of the flat world's horizon in the middle column."""
        return self.height_px / 2 - self.focal_px * math.tan(self.pitch_rad)

    def _to_pixels(self, in_camera: FloatArray) -> FloatArray:
        depth = np.maximum(in_camera[:, 2:3], 1e-6)
        center = (self.width_px / 2, self.height_px / 2)
        pixels: FloatArray = in_camera[:, :2] / depth * self.focal_px + center
        # np.clip costs more than the projection.
        np.maximum(pixels, -_FARTHEST_PX, out=pixels)
        np.minimum(pixels, _FARTHEST_PX, out=pixels)
        return pixels


def _cut_at_near_plane(corners: FloatArray, ahead: NDArray[np.bool_]) -> FloatArray:
    kept = []
    for i in range(len(corners)):
        here, following = corners[i], corners[(i + 1) % len(corners)]
        if ahead[i]:
            kept.append(here)
        if ahead[i] != ahead[(i + 1) % len(corners)]:
            part = (NEAR_M - here[2]) / (following[2] - here[2])
            kept.append(here + part * (following - here))
    return np.array(kept)
