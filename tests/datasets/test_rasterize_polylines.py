import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admlops.datasets.transforms.rasterize_polylines import draw_polyline, lane_width_px


def _draw(hw: tuple[int, int], points: list, width: float) -> np.ndarray:
    mask = np.zeros(hw, dtype=np.uint8)
    draw_polyline(mask, np.array(points, dtype=np.float64), width, 3)
    return mask


def test_width() -> None:
    assert [lane_width_px(rows) for rows in (720, 1080, 940, 360)] == [8, 12, pytest.approx(10.444, abs=1e-3), 4]


@pytest.mark.parametrize("y", [10, 10.25, 10.5])
def test_horizontal_line_is_exactly_as_wide(y: float) -> None:
    mask = _draw((20, 40), [[10, y], [30, y]], 8)
    assert (mask[:, 15] == 3).sum() == 8
    assert np.flatnonzero(mask[:, 15]).tolist() == list(range(6, 14))
    # Round ends reach half the width further: in the row nearest to the line from 10 - 3.97 to 30 + 3.97.
    assert np.flatnonzero(_draw((20, 40), [[10, 10], [30, 10]], 8)[9]).tolist() == list(range(6, 34))


def test_vertical_and_diagonal_line() -> None:
    mask = _draw((40, 20), [[10, 10], [10, 30]], 8)
    assert np.flatnonzero(mask[20]).tolist() == list(range(6, 14))
    # At 45 degrees a row crosses a band 6 wide over 6 * sqrt(2) = 8.49 columns: centres between 20.5 +- 4.24.
    mask = _draw((40, 40), [[0, 0], [40, 40]], 6)
    assert np.flatnonzero(mask[20]).tolist() == list(range(16, 25))


def test_lines_outside_are_clipped() -> None:
    mask = _draw((10, 10), [[-50, 5], [60, 5]], 2)
    assert mask.sum() == 2 * 10 * 3
    assert not _draw((10, 10), [[-50, -50], [60, -50]], 8).any()


@settings(max_examples=100, deadline=None)
@given(
    points=st.lists(st.tuples(st.floats(-20, 60), st.floats(-20, 60)), min_size=2, max_size=4),
    width=st.floats(1, 15),
)
def test_equals_distance_to_the_line(points: list, width: float) -> None:
    mask = _draw((40, 40), points, width)
    x, y = np.meshgrid(np.arange(40) + 0.5, np.arange(40) + 0.5)
    distance = np.full((40, 40), np.inf)
    for a, b in zip(np.array(points[:-1]), np.array(points[1:]), strict=True):
        along = b - a
        length2 = max(float(along @ along), 1e-300)
        t = np.clip(((x - a[0]) * along[0] + (y - a[1]) * along[1]) / length2, 0, 1)
        distance = np.minimum(distance, np.hypot(x - a[0] - t * along[0], y - a[1] - t * along[1]))
    clear = np.abs(distance - width / 2) > 1e-6
    np.testing.assert_array_equal((mask == 3)[clear], (distance < width / 2)[clear])
