from __future__ import annotations

import pytest

from admlops.conversion.cyclists import cyclist_boxes

RIDER = [10.0, 0.0, 20.0, 40.0]  # its centre line is x = 15
BICYCLE = [5.0, 25.0, 30.0, 50.0]


@pytest.mark.parametrize(
    ("machines", "cyclist"),
    [
        ([], RIDER),
        ([BICYCLE], [5.0, 0.0, 30.0, 50.0]),
        ([[16.0, 25.0, 40.0, 50.0]], RIDER),  # beside the rider's centre line: parked
        ([[5.0, 40.0, 30.0, 60.0]], RIDER),  # begins where the rider ends
        ([[14.0, 35.0, 60.0, 90.0], BICYCLE], [5.0, 0.0, 30.0, 50.0]),  # 30 px^2 against 150
    ],
)
def test_rider_is_joined_with_the_machine_below(machines, cyclist):
    assert cyclist_boxes([RIDER], machines) == [cyclist]


def test_two_on_one_machine_are_one_cyclist():
    pillion = [20.0, 5.0, 29.0, 40.0]
    other = [60.0, 0.0, 70.0, 30.0]
    assert cyclist_boxes([RIDER, other, pillion], [BICYCLE]) == [[5.0, 0.0, 30.0, 50.0], other]
    assert cyclist_boxes([], [BICYCLE]) == []
