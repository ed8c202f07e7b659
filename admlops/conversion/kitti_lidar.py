"""KITTI's calibration and its camera-frame boxes -> boxes in the frame of the Velodyne, and the sector that was labelled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from admlops.conversion.box_labels import boxes_3d_label, obstacle_labels
from admlops.conversion.kitti_labels import KittiObject, malformed
from admlops.conversion.rigid_transform import RigidTransform
from admlops.errors import ConversionError
from admlops.task_spec import TaskKind, TaskSpec

DET3D = TaskSpec("det3d", TaskKind.DETECTION, ("car", "pedestrian", "cyclist"), ((41, 121, 255), (255, 23, 68), (255, 128, 0)))
"""What mmdet3d's own models are trained for."""

REGION_M = 150.0
"""How far the labelled sector reaches: beyond every return of the Velodyne."""

_DET3D_OF_TYPE: dict[str, tuple[str, bool]] = {
    "Car": ("car", False),
    "Pedestrian": ("pedestrian", False),
    "Cyclist": ("cyclist", False),
    # The benchmark neither counts nor punishes these as their likes.
    "Van": ("car", True),
    "Person_sitting": ("pedestrian", True),
}
_SHAPES = {"P2": (3, 4), "R0_rect": (3, 3), "Tr_velo_to_cam": (3, 4)}


@dataclass(frozen=True)
class KittiCalibration:
    """Where the left colour camera is and what it sees.

    Attributes:
        lidar_from_camera: From the rectified frame of the reference camera, in which boxes are.
        projection: (3, 4) from that frame to pixels of ``image_2``.
    """

    lidar_from_camera: RigidTransform
    projection: npt.NDArray[np.float64]

    def box(self, item: KittiObject) -> tuple[float, ...]:
        """Move an object's box.

        Args:
            item: Any but a ``DontCare`` region.

        Returns:
            x, y, z of the centre, length, width, height in m, yaw in rad, in the Velodyne's frame.

        Raises:
            ConversionError: The box has no volume, or no place.
        """
        height, width, length, x, y, z, rotation_y = item.box_camera
        if not np.isfinite(item.box_camera).all() or min(height, width, length) <= 0:
            got = " ".join(f"{number:g}" for number in item.box_camera)
            raise malformed(item.where, "finite numbers, and height, width and length above 0", got)
        # KITTI's location is the middle of the bottom face; the camera's y points down.
        centre = self.lidar_from_camera.apply((x, y - height / 2, z))
        yaw = self.lidar_from_camera.heading((np.cos(rotation_y), 0.0, -np.sin(rotation_y)))
        return (*centre.tolist(), length, width, height, yaw)

    def region(self, width_px: int) -> list[tuple[float, float]]:
        """Find the sector that the camera sees, from above: outside of it nobody drew a box.

        Args:
            width_px: Of the image.

        Returns:
            Three corners: the camera, then points ``REGION_M`` ahead at its left and right edge.
        """
        inverse = np.linalg.inv(self.projection[:, :3])
        camera = -inverse @ self.projection[:, 3]
        middle_px = self.projection[1, 2]
        rays = [inverse @ (column_px, middle_px, 1.0) for column_px in (0.0, float(width_px))]
        corners = self.lidar_from_camera.apply([camera, *(camera + REGION_M * ray for ray in rays)])
        return [(x, y) for x, y, _ in corners.tolist()]


def read_calibration(path: Path) -> KittiCalibration:
    """Read a ``calib`` file of the object benchmark.

    Args:
        path: The file.

    Returns:
        What of it boxes need.

    Raises:
        ConversionError: A matrix is missing or malformed.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    values = {key.strip(): text for key, _, text in (line.partition(":") for line in lines)}
    matrices = {}
    for key, shape in _SHAPES.items():
        try:
            matrices[key] = np.array([float(word) for word in values[key].split()]).reshape(shape)
        except (KeyError, ValueError):
            raise ConversionError(
                "the calibration file is truncated or malformed",
                where=path,
                expected=f"{key}: and {shape[0] * shape[1]} numbers",
                got=repr(values[key][:80]) if key in values else f"no {key}",
            ) from None
    camera_from_lidar = RigidTransform(matrices["R0_rect"], np.zeros(3)) @ RigidTransform(
        matrices["Tr_velo_to_cam"][:, :3], matrices["Tr_velo_to_cam"][:, 3]
    )
    if not np.allclose(camera_from_lidar.rotation @ camera_from_lidar.rotation.T, np.eye(3), atol=1e-3):
        raise ConversionError(
            "the calibration file is malformed", where=path, expected="R0_rect and Tr_velo_to_cam that rotate", got=str(values)
        )
    return KittiCalibration(camera_from_lidar.inverse, matrices["P2"])


def labels_3d(objects: Iterable[KittiObject], calibration: KittiCalibration, width_px: int) -> dict[str, Any]:
    """Sort a frame's objects into the tasks that look at points.

    Args:
        objects: Of the label file.
        calibration: Of the frame.
        width_px: Of the image.

    Returns:
        Labels of the obstacle tasks, of which every object is one, and of ``det3d``.

    Raises:
        ConversionError: A box has no volume.
    """
    region = calibration.region(width_px)
    placed = [(item, calibration.box(item)) for item in objects if item.type != "DontCare"]
    known = [(box, *_DET3D_OF_TYPE[item.type]) for item, box in placed if item.type in _DET3D_OF_TYPE]
    det3d = boxes_3d_label(
        [box for box, _, _ in known], [name for _, name, _ in known], [ignored for *_, ignored in known], region
    )
    return {**obstacle_labels([box for _, box in placed], region), DET3D.name: det3d}
