"""Obstacles without a network: what rises above the lowest point around it. The baseline beside a network's numbers.

A cell is an obstacle where one of its points lies more than ``rise_m`` and less than ``clearance_m`` above the lowest point of
all cells that lie wholly within the square of side ``window_m`` about its centre: 5 x 5 cells of 20 cm, 23 x 23 of 5 cm. Points
in the dump cell take no part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from god.geometry import BevGrid


@dataclass(frozen=True)
class HeightRule:
    """The rule; see the module for its definition.

    Attributes:
        grid: The grid.
        rise_m: Height from which a point stands on the ground.
        clearance_m: Height from which a vehicle passes below it.
        window_m: Side of the square in which the lowest point is the ground.
    """

    grid: BevGrid
    rise_m: float = 0.2
    clearance_m: float = 2.5
    window_m: float = 1.2

    def __call__(self, points_m: npt.NDArray[np.floating[Any]], cell: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Apply the rule to a sweep.

        Args:
            points_m: (N, 3 or more) x, y, z.
            cell: (N,) cell of each point, ``grid.num_cells`` outside.

        Returns:
            (rows, cols) 1 = obstacle, 0 = none, also where there is no point.
        """
        inside = cell < self.grid.num_cells
        cell, z_m = cell[inside], points_m[inside, 2].astype(np.float32, copy=False)
        lowest_m = np.full(self.grid.num_cells, np.inf, np.float32)
        np.minimum.at(lowest_m, cell, z_m)
        # A millionth keeps a window of a whole number of cells from losing its edge to rounding.
        reach = int((self.window_m / self.grid.cell_m - 1) / 2 + 1e-6)
        window = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
        ground_m = cv2.erode(lowest_m.reshape(self.grid.shape), window).reshape(-1)
        height_m = z_m - ground_m[cell]
        obstacle = np.zeros(self.grid.num_cells, np.uint8)
        obstacle[cell[(height_m > self.rise_m) & (height_m < self.clearance_m)]] = 1
        return obstacle.reshape(self.grid.shape)
