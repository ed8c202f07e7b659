"""How high the ground lies, from points that are known to be ground or from all points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from god.geometry import BevGrid

Floats = npt.NDArray[np.floating[Any]]
Bools = npt.NDArray[np.bool_]

GROUND_CELL_M = 1.0
"""Side of the cells in which the height of the ground is averaged."""

GROUND_BAND_M = 0.15
"""What lies less than this above (or below) the local ground is ground, or too low to matter."""

_COARSER = 4
_NUM_LEVELS = 4
_WINDOW = 5
_MAX_SLOPE = 0.15
_LEVEL_M = 0.1
_MIN_SUPPORT = 3
_OFFSET = np.arange(_WINDOW) - _WINDOW // 2
_CONE_M = np.hypot(_OFFSET[:, None], _OFFSET[None, :]) * GROUND_CELL_M * _MAX_SLOPE


@dataclass(frozen=True)
class LocalGround:
    """Height of the ground over a grid's area.

    Attributes:
        cells: Cells of ``GROUND_CELL_M`` whose edges are whole metres, so that mirroring and quarter turns map cells to cells.
        height_m: (rows, cols) z of the ground in them; NaN only where no ground is known at all.
    """

    cells: BevGrid
    height_m: npt.NDArray[np.float64]

    @classmethod
    def from_points(cls, grid: BevGrid, ground_xyz: Floats) -> LocalGround:
        """Average points in cells, then take the median of 5x5 cells; where those are empty, of cells four times as large.

        Args:
            grid: Area to cover.
            ground_xyz: (N, 3) points on the ground, m.

        Returns:
            The ground.
        """
        cells = ground_cells(grid)
        height_m = np.full(cells.shape, np.nan)
        for level in range(_NUM_LEVELS):
            factor = _COARSER**level
            coarse = _coarsen(cells, factor)
            median = _median_of_windows(_mean_in_cells(coarse, ground_xyz))
            spread = np.kron(median, np.ones((factor, factor)))
            skip_row = round((cells.y_min_m - coarse.y_min_m) / GROUND_CELL_M)
            skip_col = round((cells.x_min_m - coarse.x_min_m) / GROUND_CELL_M)
            covering = spread[skip_row : skip_row + cells.rows, skip_col : skip_col + cells.cols]
            height_m = np.where(np.isnan(height_m), covering, height_m)
            if not np.isnan(height_m).any():
                break
        return cls(cells, height_m)

    def height_above(self, xyz: Floats) -> npt.NDArray[np.float64]:
        """Compute how high points lie above the ground.

        Args:
            xyz: (N, 3 or more) points, m.

        Returns:
            (N,) m; NaN outside of the area and where no ground is known.
        """
        padded = np.append(self.height_m.ravel(), np.nan)
        above: npt.NDArray[np.float64] = np.asarray(xyz)[:, 2] - padded[self.cells.cell_of(xyz)]
        return above


def estimate_ground(grid: BevGrid, xyz: Floats) -> Bools:
    """Tell which points lie on the ground, by geometry alone.

    The lowest point of each 1 m cell counts where at least three of the 24 cells around it have theirs at its height, give or
    take 0.1 m and a slope of 15 %: that leaves out reflections below the ground, and foliage. It is ground unless it stands
    out of such a slope around another one within 4 m; points less than ``GROUND_BAND_M`` from that are ground too. Flat things
    lower than that (a board, a low kerb) pass as ground.

    Args:
        grid: Area to look at.
        xyz: (N, 3 or more) points, m.

    Returns:
        (N,) bool; False outside of the area.
    """
    cells = ground_cells(grid)
    cell = cells.cell_of(xyz)
    z = np.asarray(xyz)[:, 2].astype(np.float64)
    lowest = np.full(cells.num_cells + 1, np.inf)
    np.minimum.at(lowest, cell, z)
    surface = _drop_lonely(lowest[:-1].reshape(cells.shape))
    for _ in range(2):
        surface = _erode_with_cone(surface)
    above: npt.NDArray[np.float64] = z - np.append(surface.ravel(), np.nan)[cell]
    return np.abs(above) < GROUND_BAND_M


def ground_cells(grid: BevGrid) -> BevGrid:
    """Lay cells of 1 m, with edges at whole metres, over a grid.

    Args:
        grid: Area to cover.

    Returns:
        The cells, with the height band of the grid.
    """
    low_x, low_y = np.floor(grid.x_min_m), np.floor(grid.y_min_m)
    cols = int(np.ceil(grid.x_min_m + grid.cols * grid.cell_m) - low_x)
    rows = int(np.ceil(grid.y_min_m + grid.rows * grid.cell_m) - low_y)
    return BevGrid(float(low_x), float(low_y), GROUND_CELL_M, rows, cols, grid.z_min_m, grid.z_max_m)


def _coarsen(cells: BevGrid, factor: int) -> BevGrid:
    side = GROUND_CELL_M * factor
    low_x, low_y = np.floor(cells.x_min_m / side), np.floor(cells.y_min_m / side)
    cols = int(np.ceil((cells.x_min_m + cells.cols * GROUND_CELL_M) / side) - low_x)
    rows = int(np.ceil((cells.y_min_m + cells.rows * GROUND_CELL_M) / side) - low_y)
    return BevGrid(float(low_x * side), float(low_y * side), side, rows, cols, cells.z_min_m, cells.z_max_m)


def _mean_in_cells(cells: BevGrid, xyz: Floats) -> npt.NDArray[np.float64]:
    cell = cells.cell_of(xyz)
    counts = np.bincount(cell, minlength=cells.num_cells + 1)[:-1]
    sums = np.bincount(cell, weights=np.asarray(xyz)[:, 2], minlength=cells.num_cells + 1)[:-1]
    with np.errstate(invalid="ignore"):
        means: npt.NDArray[np.float64] = (sums / counts).reshape(cells.shape)
    return means


def _windows(values: npt.NDArray[np.float64], outside: float) -> npt.NDArray[np.float64]:
    padded = np.pad(values, _WINDOW // 2, constant_values=outside)
    return np.lib.stride_tricks.sliding_window_view(padded, (_WINDOW, _WINDOW))


def _median_of_windows(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    windows = np.sort(_windows(values, np.nan).reshape(*values.shape, _WINDOW**2), axis=-1)  # NaN comes last
    counts = np.count_nonzero(~np.isnan(windows), axis=-1)
    low = np.take_along_axis(windows, np.maximum((counts - 1) // 2, 0)[..., None], axis=-1)[..., 0]
    high = np.take_along_axis(windows, np.minimum(counts // 2, _WINDOW**2 - 1)[..., None], axis=-1)[..., 0]
    median: npt.NDArray[np.float64] = np.where(counts > 0, (low + high) / 2, np.nan)
    return median


def _drop_lonely(surface: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    known = np.where(np.isfinite(surface), surface, np.nan)
    agrees = np.abs(_windows(known, np.nan) - known[:, :, None, None]) <= _CONE_M + _LEVEL_M
    dropped: npt.NDArray[np.float64] = np.where(agrees.sum(axis=(-2, -1)) > _MIN_SUPPORT, surface, np.inf)
    return dropped


def _erode_with_cone(surface: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    eroded: npt.NDArray[np.float64] = (_windows(surface, np.inf) + _CONE_M).min(axis=(-2, -1))
    return eroded
