"""Riders and the machines they ride: some sources box the two apart, our cyclist is both."""

from __future__ import annotations

from collections.abc import Sequence

Box = Sequence[float]


def cyclist_boxes(riders_px: Sequence[Box], machines_px: Sequence[Box]) -> list[list[float]]:
    """Join each rider with the machine below it: the one that it overlaps most among those that its centre line meets.

    Riders of the same machine are one cyclist. A rider whose machine is hidden or cut off stays as it is; a machine that
    nobody rides is no cyclist.

    Args:
        riders_px: x1, y1, x2, y2 of each rider.
        machines_px: The same of each bicycle and motorcycle, parked ones too.

    Returns:
        x1, y1, x2, y2 of each cyclist, in the order of the riders.
    """
    cyclists: list[list[float]] = []
    cyclist_of_machine: dict[int, int] = {}
    for rider in riders_px:
        center_x = (rider[0] + rider[2]) / 2
        overlaps = {
            index: _overlap(rider, machine)
            for index, machine in enumerate(machines_px)
            if machine[0] <= center_x <= machine[2] and _overlap(rider, machine) > 0
        }
        if not overlaps:
            cyclists.append(list(rider))
            continue
        index = max(overlaps, key=lambda index: overlaps[index])
        if index in cyclist_of_machine:
            number = cyclist_of_machine[index]
            cyclists[number] = _union(cyclists[number], rider)
        else:
            cyclist_of_machine[index] = len(cyclists)
            cyclists.append(_union(rider, machines_px[index]))
    return cyclists


def _overlap(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0.0) * max(height, 0.0)


def _union(one: Box, other: Box) -> list[float]:
    return [min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])]
