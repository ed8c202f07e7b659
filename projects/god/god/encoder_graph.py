"""``MinMaxPillarEncoder`` in an ONNX graph: each stage of ``pillars.py`` once more, in operators that compute the same floats.

Points meet in ``ScatterElements`` with minima and maxima alone, whose initial values take part: all runtimes agree on these.
Means, and reductions that leave the initial values out, are silently wrong in some exporters.

Shape letters: N points, R rows, L columns, C channels a cell, f fold, S side of a coarse cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor

from admlops.deploy.graph_builder import GraphBuilder
from admlops.deploy.input_geometry import GraphInput
from god.pillars import EMPTY_M, MinMaxPillarEncoder

POINTS, CELL = "points", "cell"
INPUTS = (GraphInput(POINTS, "float32", ("N", 4)), GraphInput(CELL, "int64", ("N",)))
"""``cell`` is computed outside, in float64 (``BevGrid.cell_of``): on an edge between two cells runtimes would disagree."""


def encoder_path(path: str | Path) -> Path:
    """Name the encoder of an export that begins with the canvas.

    Args:
        path: The export.

    Returns:
        ``<stem>-encoder.onnx``, in the same folder.
    """
    return Path(path).with_name(f"{Path(path).stem}-encoder.onnx")


class EncoderGraph:
    """Writes an encoder, for one sweep of any number of points.

    Args:
        encoder: The encoder, with its weights.
    """

    def __init__(self, encoder: MinMaxPillarEncoder) -> None:
        self.encoder = encoder
        self.grid = encoder.grid

    def __call__(self, builder: GraphBuilder) -> str:
        """Declare the inputs and write the stages.

        Args:
            builder: The graph.

        Returns:
            Name of the canvas, float32 (1, C * f * f, R / f, L / f).
        """
        points, cell = (builder.input(each.name, np.dtype(each.dtype), each.shape) for each in INPUTS)
        x, y, z, intensity = self._columns(builder, points)
        index = _reshape(builder, cell, (-1, 1))
        lowest = self._scatter(builder, EMPTY_M, 1, index, z, "min")
        highest = self._scatter(builder, -EMPTY_M, 1, index, z, "max")
        inside = builder.node("Min", [cell, builder.constant(self.grid.num_cells - 1, np.int64)])
        column = builder.node("Mod", [inside, builder.constant(self.grid.cols, np.int64)])
        row = builder.node("Div", [inside, builder.constant(self.grid.cols, np.int64)])
        lowest_at = builder.node("Gather", [lowest, cell], axis=0)
        features = (
            builder.node("Sub", [x, self._centre(builder, self.encoder.x_centres_m, column)]),
            builder.node("Sub", [y, self._centre(builder, self.encoder.y_centres_m, row)]),
            z,
            builder.node("Sub", [z, builder.node("Gather", [self._ground(builder, lowest), inside], axis=0)]),
            builder.node("Sub", [z, lowest_at]),
            builder.node("Sub", [builder.node("Gather", [highest, cell], axis=0), lowest_at]),
            intensity,
        )
        values = self._linear_relu(builder, features)
        channels = len(self.encoder.linear.bias)
        index = builder.node("Expand", [index, builder.constant(np.array([1, channels]))])
        return self._fold(builder, self._scatter(builder, 0.0, channels, index, values, "max"), channels)

    def _columns(self, builder: GraphBuilder, points: str) -> tuple[str, ...]:
        """Take x, y, z and intensity apart, (N, 1) each."""
        sizes = builder.constant(np.ones(4, np.int64))
        return builder.nodes("Split", [points, sizes], ("x", "y", "z", "intensity"), axis=1)

    def _scatter(self, builder: GraphBuilder, start: float, columns: int, index: str, values: str, reduction: str) -> str:
        """Let points meet in their cells: (R * L + 1, columns), the last row that of points outside."""
        shape = builder.constant(np.array([self.grid.num_cells + 1, columns]))
        value = numpy_helper.from_array(np.array([start], np.float32))
        cells = builder.node("ConstantOfShape", [shape], value=value)
        return builder.node("ScatterElements", [cells, index, values], axis=0, reduction=reduction)

    def _centre(self, builder: GraphBuilder, centres_m: Tensor, index: str) -> str:
        return builder.node("Gather", [builder.constant(_array(centres_m)[:, None]), index], axis=0)

    def _ground(self, builder: GraphBuilder, lowest: str) -> str:
        """Take the minimum over each coarse cell and its neighbours, (R * L, 1)."""
        side, (rows, cols) = self.encoder.block, self.grid.shape
        bounds = [builder.constant(np.array([bound])) for bound in (0, self.grid.num_cells)]
        height = _reshape(builder, builder.node("Slice", [lowest, *bounds]), (1, 1, rows, cols))
        coarse = builder.node("MaxPool", [builder.node("Neg", [height])], kernel_shape=(side, side), strides=(side, side))
        coarse = builder.node("MaxPool", [coarse], kernel_shape=(3, 3), strides=(1, 1), pads=(1, 1, 1, 1))
        # By copies: no runtime interpolates them.
        shape = (rows // side, 1, cols // side, 1)
        spread = builder.constant(np.array([rows // side, side, cols // side, side]))
        copied = builder.node("Expand", [_reshape(builder, builder.node("Neg", [coarse]), shape), spread])
        return _reshape(builder, copied, (-1, 1))

    def _linear_relu(self, builder: GraphBuilder, features: Sequence[str]) -> str:
        """Multiply and add feature by feature, (N, C): what comes out does not depend on where a point stands."""
        total = ""
        for weight_C, feature in zip(_array(self.encoder.weight).T, features, strict=True):
            product = builder.node("Mul", [feature, builder.constant(weight_C[None])])
            total = builder.node("Add", [total, product]) if total else product
        return builder.node("Relu", [builder.node("Add", [total, builder.constant(_array(self.encoder.linear.bias)[None])])])

    def _fold(self, builder: GraphBuilder, cells: str, channels: int) -> str:
        """Leave the points outside out, and bring f * f cells into channels as ``pixel_unshuffle`` does."""
        fold, (rows, cols) = self.encoder.fold, self.grid.shape
        bounds = [builder.constant(np.array([bound])) for bound in (0, self.grid.num_cells)]
        inside = builder.node("Slice", [cells, *bounds])
        apart = _reshape(builder, inside, (rows // fold, fold, cols // fold, fold, channels))
        moved = builder.node("Transpose", [apart], perm=(4, 1, 3, 0, 2))
        return _reshape(builder, moved, (1, channels * fold * fold, rows // fold, cols // fold))


def _reshape(builder: GraphBuilder, tensor: str, shape: Sequence[int]) -> str:
    return builder.node("Reshape", [tensor, builder.constant(np.array(shape, np.int64))])


def _array(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.detach().cpu().numpy()
    return array
