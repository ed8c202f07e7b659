"""The grid seen from above: which cell a point lies in, and where a cell's centre is. Defined here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from admlops.errors import ConfigError


@dataclass(frozen=True)
class BevGrid:
    """A grid of square cells; row = y, column = x, both growing with the coordinate.

    Cell (row, column) spans ``[x_min_m + column * cell_m, x_min_m + (column + 1) * cell_m)`` on x, and alike on y. Points
    outside the grid or its height band lie in the dump cell ``num_cells``.

    Attributes:
        x_min_m: Edge of the grid, m in the points' frame.
        y_min_m: Edge of the grid, m.
        cell_m: Side of a cell, m.
        rows: Number of rows.
        cols: Number of columns.
        z_min_m: Lower end of the height band about the sensor, m.
        z_max_m: Its upper end, m.
    """

    x_min_m: float = -51.2
    y_min_m: float = -51.2
    cell_m: float = 0.2
    rows: int = 512
    cols: int = 512
    z_min_m: float = -4.0
    z_max_m: float = 3.0

    def __post_init__(self) -> None:
        if self.cell_m <= 0 or self.rows < 1 or self.cols < 1 or self.z_min_m >= self.z_max_m:
            raise ConfigError("a grid that holds no cell", expected="cell_m, rows, cols > 0 and z_min_m < z_max_m", got=self)

    @classmethod
    def of_config(cls, grid: BevGrid | Mapping[str, Any]) -> BevGrid:
        """Make a grid of what a config gives.

        Args:
            grid: A grid, or its fields.

        Returns:
            The grid.
        """
        return grid if isinstance(grid, BevGrid) else cls(**grid)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows, self.cols

    @property
    def num_cells(self) -> int:
        """Number of cells; also the index of the dump cell."""
        return self.rows * self.cols

    def cell_of(self, points_m: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.int64]:
        """Find the cell of each point, in float64 whatever the points are in: on an edge float32 would change the cell.

        Args:
            points_m: (N, 3 or more) x, y, z about the sensor's height, m. None may be NaN.

        Returns:
            (N,) row * cols + column, ``num_cells`` outside.
        """
        xyz_m = np.asarray(points_m)[:, :3].astype(np.float64)
        col = np.floor((xyz_m[:, 0] - self.x_min_m) / self.cell_m)
        row = np.floor((xyz_m[:, 1] - self.y_min_m) / self.cell_m)
        inside = (col >= 0) & (col < self.cols) & (row >= 0) & (row < self.rows)
        inside &= (xyz_m[:, 2] >= self.z_min_m) & (xyz_m[:, 2] < self.z_max_m)
        return np.where(inside, row * self.cols + col, self.num_cells).astype(np.int64)

    def centres_m(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Compute the centres of all columns and rows.

        Returns:
            (cols,) x and (rows,) y, m.
        """
        x_m = self.x_min_m + (np.arange(self.cols) + 0.5) * self.cell_m
        y_m = self.y_min_m + (np.arange(self.rows) + 0.5) * self.cell_m
        return x_m, y_m

    def to_px(self, xy_m: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Map points to continuous cell coordinates, in which cell i spans [i, i + 1).

        Args:
            xy_m: (N, 2 or more), m.

        Returns:
            (N, 2) column, row.
        """
        xy = np.asarray(xy_m, dtype=np.float64)[:, :2]
        return (xy - (self.x_min_m, self.y_min_m)) / self.cell_m
