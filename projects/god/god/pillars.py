"""Pillar encoding in plain PyTorch: from points, and the cell of each, to a canvas of features a cell.

The canvas is bit for bit the same under any order of the points and any number of threads, and the same whether points outside
the grid are filtered or lie in the dump cell: each point's features are computed by sums and products of single numbers, never
by a matrix product, whose rounding depends on where a row stands, and points meet in minima and maxima alone, never in a mean.

One function a stage; each operation exports (``scatter_reduce`` with ``include_self=True``, gathers, max pooling, arithmetic).

Shape letters: M points of a batch, B samples, R rows, L columns, N = B * R * L cells (index N is the dump), C channels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from admlops.errors import ModelError
from god.geometry import BevGrid
from god.registry import MODELS

SCALES = (0.5, 0.5, 1.0, 0.25, 0.125, 0.125, 0.5)
"""By what each feature is divided, so that what tells an obstacle from the ground is about 1 in each: offsets from the cell's
centre in cells, z, z above ground, z above the lowest point and the range of the cell in m, intensity. In metres beside a z of
-1.7, weights for the decimetres between ground and debris took several times as long to learn."""
EMPTY_M = 1e4
"""Lowest point of a cell without points: above all that a grid holds, so that no minimum takes it."""
_OF_BATCH = (
    "the grid of a batch, as PackBevInputs was given it",
    "train_loader another window_side, or a test's grid other sides",
)


def cell_heights(z_m: Tensor, cell: Tensor, num_cells: int) -> tuple[Tensor, Tensor]:
    """Find the lowest and the highest point of each cell.

    Args:
        z_m: (M,) heights, m.
        cell: (M,) int64.
        num_cells: N.

    Returns:
        (N + 1,) lowest, ``EMPTY_M`` where the cell is empty; (N + 1,) highest, ``-EMPTY_M`` there.
    """
    empty = z_m.new_full((num_cells + 1,), EMPTY_M)
    lowest_m = empty.scatter_reduce(0, cell, z_m, "amin", include_self=True)
    highest_m = (-empty).scatter_reduce(0, cell, z_m, "amax", include_self=True)
    return lowest_m, highest_m


def coarse_ground(lowest_m: Tensor, grid_hw: tuple[int, int], block: int) -> Tensor:
    """Guess the ground: the lowest point of the coarse cell around, and of its eight neighbours.

    Args:
        lowest_m: (N + 1,) of ``cell_heights``.
        grid_hw: R and L.
        block: Side of a coarse cell, cells.

    Returns:
        (N,) ground, m; ``EMPTY_M`` where all nine are empty.
    """
    negative_B1RL = -lowest_m[:-1].view(-1, 1, *grid_hw)
    coarse = F.max_pool2d(F.max_pool2d(negative_B1RL, block), 3, stride=1, padding=1)
    return -F.interpolate(coarse, scale_factor=block, mode="nearest").flatten()


def point_features(
    points_M4: Tensor, cell: Tensor, lowest_m: Tensor, highest_m: Tensor, ground_m: Tensor, centres_m: tuple[Tensor, Tensor]
) -> Tensor:
    """Describe each point within its cell.

    Args:
        points_M4: x, y, z in m, intensity in 0..1.
        cell: (M,) int64.
        lowest_m: (N + 1,).
        highest_m: (N + 1,).
        ground_m: (N,).
        centres_m: (L,) x of the columns and (R,) y of the rows.

    Returns:
        (7, M): x and y from the cell's centre, z, z above the coarse ground, z above the cell's lowest point, the cell's
        highest above its lowest, all in m; intensity.
    """
    x_m, y_m, z_m, intensity = points_M4.unbind(dim=1)
    x_centres_m, y_centres_m = centres_m
    rows, cols = len(y_centres_m), len(x_centres_m)
    lowest = lowest_m[cell]
    # What the dump cell says is not used.
    inside = cell.clamp(max=len(ground_m) - 1)
    return torch.stack(
        [
            x_m - x_centres_m[inside % cols],
            y_m - y_centres_m[inside // cols % rows],
            z_m,
            z_m - ground_m[inside],
            z_m - lowest,
            highest_m[cell] - lowest,
            intensity,
        ]
    )


def linear_relu(features_FM: Tensor, weight_CF: Tensor, bias_C: Tensor) -> Tensor:
    """Apply a linear layer and a ReLU, a product and a sum at a time: its result does not depend on where a point stands.

    Args:
        features_FM: Features of the points.
        weight_CF: Weights.
        bias_C: Biases.

    Returns:
        (C, M), not negative.
    """
    total_CM = weight_CF[:, :1] * features_FM[:1]
    for index in range(1, len(features_FM)):
        # In place: new memory would take ten times as long.
        total_CM += weight_CF[:, index : index + 1] * features_FM[index : index + 1]
    total_CM += bias_C[:, None]
    return total_CM.relu_()


def canvas_of(values_CM: Tensor, cell: Tensor, num_cells: int, grid_hw: tuple[int, int], fold: int) -> Tensor:
    """Take the maximum of each cell's points, 0 where there are none.

    Args:
        values_CM: Not negative.
        cell: (M,) int64.
        num_cells: N.
        grid_hw: R and L.
        fold: Side of the square of cells that becomes channels.

    Returns:
        (B, C * fold * fold, R / fold, L / fold), channels last in memory.
    """
    values_MC = values_CM.t().contiguous()
    index_MC = cell[:, None].expand_as(values_MC)
    cells_NC = values_MC.new_zeros(num_cells + 1, len(values_CM)).scatter_reduce(
        0, index_MC, values_MC, "amax", include_self=True
    )
    canvas_BCRL = cells_NC[:-1].view(-1, *grid_hw, len(values_CM)).permute(0, 3, 1, 2)
    return F.pixel_unshuffle(canvas_BCRL, fold)


@MODELS.register_module()
class MinMaxPillarEncoder(nn.Module):
    """The stages above with a learned linear layer; float32, whatever autocast says: bfloat16 holds no coordinates.

    Attributes:
        grid: The grid.
        fold: Side of the square of cells that becomes channels.
        out_channels: Channels of the canvas.
        block: Side of a cell of the coarse ground, cells.
        linear: Weights and biases of the linear layer; ``linear_relu`` computes it.

    Args:
        grid: The grid, or its fields.
        channels: Channels a cell.
        fold: Side of the square of cells that becomes channels: the network computes at 1 / fold of the resolution.
        ground_block_m: Side of a cell of the coarse ground, m.

    Raises:
        ModelError: The fold is below 1, or the grid's sides are no multiples of it and of the coarse cell.
    """

    def __init__(
        self, grid: BevGrid | Mapping[str, Any], channels: int = 16, fold: int = 2, ground_block_m: float = 0.8
    ) -> None:
        super().__init__()
        self.grid = BevGrid.of_config(grid)
        self.fold = fold
        self.block = max(1, round(ground_block_m / self.grid.cell_m))
        self._require_whole(self.grid, "model.encoder.grid", "the config's grid other rows and cols")
        self.out_channels = channels * fold * fold
        self.linear = nn.Linear(len(SCALES), channels)
        self.scales_F: Tensor
        # Kept in checkpoints: weights mean nothing without them.
        self.register_buffer("scales_F", torch.tensor(SCALES))
        self.units_F: Tensor
        self.register_buffer("units_F", torch.tensor([self.grid.cell_m] * 2 + [1.0] * (len(SCALES) - 2)), persistent=False)
        x_centres_m, y_centres_m = _centres(self.grid)
        self.x_centres_m: Tensor
        self.y_centres_m: Tensor
        self.register_buffer("x_centres_m", x_centres_m, persistent=False)
        self.register_buffer("y_centres_m", y_centres_m, persistent=False)

    def _require_whole(self, grid: BevGrid, where: str, names: str) -> None:
        if self.fold < 1:
            raise ModelError("the fold must be a number of cells", where="model.encoder.fold", expected=">= 1", got=self.fold)
        step = math.lcm(self.fold, self.block)
        wrong = sorted({side for side in grid.shape if side % step})
        if wrong:
            others = ", ".join(f"{_multiples_about(side, step)} instead of {side}" for side in wrong)
            raise ModelError(
                "the sides of a grid must be multiples of the fold and of a coarse cell of the ground",
                where=where,
                expected=f"rows and columns that {self.fold} (fold) and {self.block} (cells of {grid.cell_m:g} m a coarse cell)"
                f" divide: multiples of {step}",
                got=f"{grid.rows} x {grid.cols} cells",
                remedy=f"give {names}: {others}",
            )

    def forward(self, points: Tensor, cell: Tensor, batch_size: int = 1, grid: BevGrid | None = None) -> Tensor:
        """Encode the points of a batch.

        Args:
            points: (M, 4) x, y, z about the sensor in m, intensity in 0..1; finite, of all samples in any order.
            cell: (M,) int64, sample * cells of the grid + cell; ``batch_size`` * cells of the grid for those outside.
            batch_size: B.
            grid: Grid of the batch, of the same cells; its own by default.

        Returns:
            Canvas (B, out_channels, rows / fold, cols / fold) float32, not negative, 0 where no point lies.

        Raises:
            ModelError: The sides of the grid are no multiples of the fold and of the coarse cell.
        """
        centres_m = (self.x_centres_m, self.y_centres_m)
        if grid is not None and grid != self.grid:
            self._require_whole(grid, *_OF_BATCH)
            centres_m = _centres(grid, points.device)
        grid = grid or self.grid
        with torch.autocast(points.device.type, enabled=False):
            points_M4, num_cells = points.float(), batch_size * grid.num_cells
            lowest_m, highest_m = cell_heights(points_M4[:, 2], cell, num_cells)
            ground_m = coarse_ground(lowest_m, grid.shape, self.block)
            features_FM = point_features(points_M4, cell, lowest_m, highest_m, ground_m, centres_m)
            values_CM = linear_relu(features_FM, self.weight, self.linear.bias)
            return canvas_of(values_CM, cell, num_cells, grid.shape, self.fold)

    @property
    def weight(self) -> Tensor:
        """(C, 7) weights of the features as they are, in m: the learned ones over ``SCALES``; what exports hold."""
        return self.linear.weight / (self.scales_F * self.units_F)


def _centres(grid: BevGrid, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    x_m, y_m = (torch.from_numpy(centres).float().to(device) for centres in grid.centres_m())
    return x_m, y_m


def _multiples_about(side: int, step: int) -> str:
    below = side // step * step
    return f"{below} or {below + step}" if below else str(step)
