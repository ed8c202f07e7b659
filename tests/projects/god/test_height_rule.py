from __future__ import annotations

import numpy as np
import pytest
from grid_sweeps import grid_of

from god.baseline import HeightRule
from god.geometry import BevGrid


def found_at(grid, points):
    """Columns of row 1 of 3 that the rule calls obstacles."""
    cloud = np.asarray(points, np.float32)
    found = HeightRule(grid)(cloud, grid.cell_of(cloud))
    assert found.dtype == np.uint8
    assert not found[[0, 2]].any()
    return np.flatnonzero(found[1]).tolist()


@pytest.fixture
def grid():
    """Cells of 0.4 m: a window of 1.2 m reaches one cell to either side."""
    return grid_of(3, 10, 0.4)


def profile(heights_m):
    return [(0.4 * col + 0.2, 0.0, height_m) for col, height_m in enumerate(heights_m)]


def test_a_step_of_20_cm_is_no_obstacle_and_one_of_30_cm_is(grid):
    assert found_at(grid, profile([-1.7] * 5 + [-1.51] * 5)) == []
    # Only where the lower side is within the window.
    assert found_at(grid, profile([-1.7] * 5 + [-1.4] * 5)) == [5]


def test_a_slope_is_an_obstacle_when_it_climbs_20_cm_within_half_the_window(grid):
    assert found_at(grid, profile(-1.7 + 0.19 * np.arange(10))) == []
    assert found_at(grid, profile(-1.7 + 0.21 * np.arange(10))) == list(range(1, 10))


def test_an_overhang_is_passed_below(grid):
    ground = profile([-1.7] * 10)
    assert found_at(grid, [*ground, (1.0, 0.0, 0.81)]) == []
    assert found_at(grid, [*ground, (1.0, 0.0, 0.79)]) == [2]
    # A pole has points in between, which stand in the way.
    assert found_at(grid, [*ground, (1.0, 0.0, 0.81), (1.0, 0.0, 0.0)]) == [2]


def test_the_lowest_point_is_looked_for_along_both_axes(grid):
    beside = [(1.0, -0.4, -1.7), (1.0, 0.0, -1.0)]
    assert found_at(grid, beside) == [2]
    # Two cells away is out of the window: a roof alone is its own ground.
    assert found_at(grid_of(5, 10, 0.4), [(1.0, -0.8, -1.7)]) == []
    far = np.array([(1.0, -0.8, -1.7), (1.0, 0.0, -1.0)], np.float32)
    wide = grid_of(5, 10, 0.4)
    assert not HeightRule(wide)(far, wide.cell_of(far)).any()


@pytest.mark.parametrize(("cell_m", "reach"), [(0.2, 2), (0.05, 11), (0.4, 1)])
def test_the_window_holds_the_cells_that_lie_wholly_in_it(cell_m, reach):
    grid = BevGrid(x_min_m=0.0, y_min_m=-cell_m / 2, cell_m=cell_m, rows=1, cols=30)
    for away, found in ((reach, [reach]), (reach + 1, [])):
        points = np.array([(cell_m / 2, 0.0, -1.7), (cell_m * (away + 0.5), 0.0, -1.0)], np.float32)
        assert np.flatnonzero(HeightRule(grid)(points, grid.cell_of(points))).tolist() == found


def test_points_outside_the_grid_take_no_part(grid):
    low = (0.2, 0.0, -9.0)  # below the grid's band
    assert found_at(grid, [low, *profile([-1.7] * 10)]) == []
    nothing = np.zeros((0, 4), np.float32)
    assert not HeightRule(grid)(nothing, grid.cell_of(nothing)).any()
