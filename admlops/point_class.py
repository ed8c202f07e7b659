"""What a labelled lidar point is: one set of classes that the integers of every source map to, and that the renderer writes."""

from __future__ import annotations

from enum import IntEnum


class PointClass(IntEnum):
    """Class of a point. Ground is what a wheel may stand on, obstacles are what it may not touch."""

    UNKNOWN = 0
    ROAD = 1
    PARKING = 2
    SIDEWALK = 3
    OTHER_GROUND = 4
    TERRAIN = 5
    MOVABLE = 6
    STATIC = 7
    VEGETATION = 8
    DRIVEABLE = 9
    """Road or parking, nobody knows which: a source coarser than the tasks."""
