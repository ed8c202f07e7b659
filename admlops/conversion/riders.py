"""Who sits on a cycle, where a source boxes riders as persons and bicycles apart from them."""

from __future__ import annotations

from collections.abc import Sequence

MIN_SHARED = 0.2
"""Shared area as a share of the smaller box from which on a person may be the rider."""

Box = Sequence[float]


def may_ride(person_px: Box, cycles_px: Sequence[Box]) -> bool:
    """Tell whether a person may be the rider of one of the cycles.

    Generous, because whoever is taken for a rider wrongly is only left out.

    Args:
        person_px: x1, y1, x2, y2.
        cycles_px: Boxes of bicycles and motorcycles in the same photo.

    Returns:
        Whether they share ``MIN_SHARED`` or more of the smaller box.
    """
    return any(_shared(person_px, cycle) >= MIN_SHARED for cycle in cycles_px)


def _shared(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return width * height / smaller
