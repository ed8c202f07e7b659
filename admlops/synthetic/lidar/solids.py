"""What stands on the ground: boxes and porous blobs, put together to objects."""

from __future__ import annotations

from dataclasses import dataclass

from admlops.point_class import PointClass


@dataclass(frozen=True)
class Solid:
    """A box or an ellipsoid, upright, in the sensor's frame.

    Attributes:
        centre_m: x, y, z.
        size_m: Length, width, height; an ellipsoid's first two are equal.
        yaw_rad: Of its length against x.
        is_round: Ellipsoid, not box.
        free_path_m: Mean length of a ray inside it; 0 = it is solid.
        reflectivity: 0..1.
    """

    centre_m: tuple[float, float, float]
    size_m: tuple[float, float, float]
    yaw_rad: float = 0.0
    is_round: bool = False
    free_path_m: float = 0.0
    reflectivity: float = 0.4


@dataclass(frozen=True)
class SceneObject:
    """Something with one label.

    Attributes:
        kind: Its name, such as car or debris.
        point_class: Of its points.
        instance: Its id from 1, 0 for what is not counted (walls, vegetation, the ego vehicle).
        solids: What it is made of.
        centre_m: Of the box around it.
        size_m: Length, width and height of that box.
        yaw_rad: Of that box.
    """

    kind: str
    point_class: PointClass
    instance: int
    solids: tuple[Solid, ...]
    centre_m: tuple[float, float, float]
    size_m: tuple[float, float, float]
    yaw_rad: float
