"""From the points of several sweeps to one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from admlops.errors import ModelError
from admlops.structures import MultiTaskDataSample
from god.geometry import BevGrid
from god.registry import MODELS


@MODELS.register_module()
class BevDataPreprocessor(BaseDataPreprocessor):
    """Puts the points of all samples one behind the other and their labels on the device.

    Points outside the grid are left out here: what the encoder makes of them is not used, and coordinates beyond float32's
    range would reach gradients as 0 * infinity. ``point_counts`` of each sample says how many they are.

    Samples may show a window, a smaller grid of the same cells: the network computes the same everywhere, so training may see
    windows, at their cost, and validation the whole grid.

    Args:
        grid: The network's grid, or its fields; of samples that do not say theirs.
        non_blocking: Whether copies to the device overlap with computation.
    """

    def __init__(self, grid: BevGrid | Mapping[str, Any], non_blocking: bool = False) -> None:
        super().__init__(non_blocking=non_blocking)
        self.grid = BevGrid.of_config(grid)

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Make a batch.

        Args:
            data: ``inputs`` with the lists ``points`` of (N_i, 4) float32 and ``cell`` of (N_i,) int64; ``data_samples``, B
                samples or None.
            training: Unused, there is no random part.

        Returns:
            ``inputs``: ``points`` (M, 4), ``cell`` (M,) int64, sample * cells of the grid + cell, ``batch_size`` and the
            ``grid`` of the batch; ``data_samples`` with labels on the same device.

        Raises:
            ModelError: A point is not finite, or in a cell that the grid has not; or the samples have several grids, or one of
                other cells than the network's.
        """
        samples: Sequence[MultiTaskDataSample] | None = data.get("data_samples")
        grid = self._grid_of(samples or ())
        all_points, all_cells = [], []
        for index, (points_N4, cell_N) in enumerate(zip(data["inputs"]["points"], data["inputs"]["cell"], strict=True)):
            where = samples[index].get("sample_id") if samples else f"sweep {index} of the batch"
            _check_points(points_N4, cell_N, grid, where)
            inside_N = cell_N < grid.num_cells
            all_points.append(points_N4[inside_N])
            all_cells.append(cell_N[inside_N] + index * grid.num_cells)
        if samples is not None:
            for sample in samples:
                # Only the training labels travel to the device; metrics read gt_original where it is.
                if "gt" in sample:
                    sample.gt = sample.gt.to(self.device, non_blocking=self._non_blocking)
        inputs = {
            "points": torch.cat(all_points).to(self.device, non_blocking=self._non_blocking),
            "cell": torch.cat(all_cells).to(self.device, non_blocking=self._non_blocking),
            "batch_size": len(all_points),
            "grid": grid,
        }
        return {"inputs": inputs, "data_samples": samples}

    def _grid_of(self, samples: Sequence[MultiTaskDataSample]) -> BevGrid:
        """Read the grid that all samples of a batch show."""
        grids = {BevGrid.of_config(sample.get("grid", self.grid)) for sample in samples} or {self.grid}
        cells = {(grid.cell_m, grid.z_min_m, grid.z_max_m) for grid in grids}
        if len(grids) > 1 or cells != {(self.grid.cell_m, self.grid.z_min_m, self.grid.z_max_m)}:
            raise ModelError(
                "The samples of a batch must show one grid, in cells of the network's size",
                expected=self.grid,
                got="; ".join(map(str, sorted(grids, key=str))),
                remedy="give RasterizeBevLabels, PackBevInputs and the network grids of one cell_m and one height band",
            )
        return grids.pop()


def _check_points(points_N4: Tensor, cell_N: Tensor, grid: BevGrid, where: object) -> None:
    if points_N4.shape != (len(cell_N), 4):
        raise ModelError(
            "Points must be (N, 4) beside N cells",
            where=where,
            expected=(len(cell_N), 4),
            got=tuple(points_N4.shape),
        )
    if len(points_N4) and not torch.isfinite(points_N4).all():
        raise ModelError(
            "Points that are not finite would make every loss NaN",
            where=where,
            got=f"{int((~torch.isfinite(points_N4)).any(dim=1).sum())} of {len(points_N4)} points",
            remedy="put SanitizePoints behind LoadPoints: it takes them out and counts them",
        )
    if len(cell_N) and (int(cell_N.min()) < 0 or int(cell_N.max()) > grid.num_cells):
        raise ModelError(
            "Cells that the network's grid has not",
            where=where,
            expected=f"0..{grid.num_cells}, the last for points outside",
            got=f"{int(cell_N.min())}..{int(cell_N.max())}",
            remedy="give PackBevInputs and the network the same grid",
        )
