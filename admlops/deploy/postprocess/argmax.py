"""``SegHead.decode`` in a graph: bilinear interpolation to input pixels and the best channel of each.

Neither ``Resize`` nor ``ArgMax`` over channels is fast in any runtime, at twelve channels of 512x960 they took longer than
the network. Interpolation by a whole factor s is a 3x3 convolution of one channel to its s * s pixels a cell; a chain of
comparisons then finds the best channel while a channel's pixels are still in the cache. Measured on one thread, logits of 12
and 5 channels, ``Resize`` and ``ArgMax`` -> this: OpenVINO 48 -> 7 ms, ONNX Runtime 20 -> 11 ms; the masks are the same.

Raw outputs with the parameter ``fold`` hold the S * S pixels of a cell as channels already, class by class, as
``pixel_shuffle`` reads them: they are compared as they are, and brought to their places afterwards. Tasks of two classes then
also give the probability of the second; with the parameter ``margin`` the second wins where its logit is larger by more.

Shape letters: K channels, S pixels a side of a cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from admlops.deploy.graph_builder import GraphBuilder
from admlops.quantization.network_graph import Shape
from admlops.structures import OutputSpec

MASK = "uint8 (H, W): channel of each pixel of the network's input; of lanes 0 is background, 1 the first class"
SCORE = "float32 (H, W): probability of the second class"


def outputs(spec: OutputSpec) -> Mapping[str, str]:
    """Name what a branch's decoding gives.

    Args:
        spec: Of the branch.

    Returns:
        Meaning by the last part of the name.
    """
    return {"mask": MASK, "score": SCORE} if _has_score(spec) else {"mask": MASK}


def _has_score(spec: OutputSpec) -> bool:
    return "fold" in spec.parameters and spec.task.num_channels == 2


def write(
    builder: GraphBuilder,
    spec: OutputSpec,
    allowed: Sequence[bool],
    raw: Sequence[str],
    shapes: Sequence[Shape],
    input_hw: tuple[int, int],
) -> None:
    """Add the decoding to a graph.

    Args:
        builder: The graph.
        spec: Of the branch.
        allowed: (K,) channels that may win.
        raw: The logits, float32 (1, K, h, w); with ``fold`` (1, K * S * S, h, w).
        shapes: Their channels, rows and columns.
        input_hw: Height and width of the mask.
    """
    (logits,), (shape,) = raw, shapes
    planes = _folded(builder, spec, logits) if "fold" in spec.parameters else _interpolated(builder, spec, logits, shape)
    pixels = {k: plane for k, plane in enumerate(planes) if allowed[k]}
    if len(pixels) > 1 and "margin" in spec.parameters:
        margin = builder.constant(spec.parameters["margin"], np.float32)
        pixels[1] = builder.node("Sub", [pixels[1], margin])
    cells = shape[1:]
    mask = _place(builder, spec, _best(builder, pixels), cells, input_hw)
    # Bytes at the very end only: TensorRT computes with none.
    builder.output(f"{spec.task.name}.mask", builder.node("Cast", [mask], to=TensorProto.UINT8), np.uint8, input_hw)
    if _has_score(spec):
        score = builder.node("Sigmoid", [builder.node("Sub", [planes[1], planes[0]])])
        # A class that may not win has no share of the softmax.
        bounds = [builder.constant(float(bound), np.float32) for bound in (not allowed[0], allowed[1])]
        score = _place(builder, spec, builder.node("Clip", [score, *bounds]), cells, input_hw)
        builder.output(f"{spec.task.name}.score", score, np.float32, input_hw)


def _interpolated(builder: GraphBuilder, spec: OutputSpec, logits: str, shape: Shape) -> Sequence[str]:
    """Give the S * S pixels of each cell, channel by channel, (1, S * S, h, w)."""
    channels, rows, columns = shape
    edge = builder.constant(np.array([0, 0, 1, 1] * 2))
    padded = builder.node("Pad", [logits, edge], mode="edge")
    # As a batch: OpenVINO keeps channels side by side, and is slow to take them apart otherwise.
    batch = builder.node("Reshape", [padded, builder.constant(np.array([channels, 1, rows + 2, columns + 2]))])
    names = [f"{spec.task.name}.plane.{channel}" for channel in range(channels)]
    planes = builder.nodes("Split", [batch], names, axis=0, num_outputs=channels)
    weight = builder.constant(bilinear_weights(spec.tensors[0].stride))
    return [builder.node("Conv", [plane, weight]) for plane in planes]


def _folded(builder: GraphBuilder, spec: OutputSpec, logits: str) -> Sequence[str]:
    names = [f"{spec.task.name}.plane.{channel}" for channel in range(spec.task.num_channels)]
    sizes = builder.constant(np.full(len(names), spec.tensors[0].stride ** 2, np.int64))
    return builder.nodes("Split", [logits, sizes], names, axis=1)


def _place(builder: GraphBuilder, spec: OutputSpec, pixels: str, cells_hw: tuple[int, int], input_hw: tuple[int, int]) -> str:
    """Bring the S * S pixels of each cell to where they belong, (H, W)."""
    stride = spec.tensors[0].stride
    placed = builder.node("DepthToSpace", [pixels], blocksize=stride) if stride > 1 else pixels
    if (cells_hw[0] * stride, cells_hw[1] * stride) != input_hw:
        bounds = [builder.constant(np.array(values)) for values in ((0, 0), input_hw, (2, 3))]
        placed = builder.node("Slice", [placed, *bounds])
    return builder.node("Reshape", [placed, builder.constant(np.array(input_hw))])


def _best(builder: GraphBuilder, values: Mapping[int, str]) -> str:
    """Find the key of the largest value; of equal ones the first."""
    (first, best), *others = values.items()
    key = builder.constant(first, np.float32)
    # One value alone is compared with itself: the result has its shape either way.
    for other, value in others or [(first, best)]:
        key = builder.node("Where", [builder.node("Greater", [value, best]), builder.constant(other, np.float32), key])
        best = builder.node("Max", [best, value])
    return key


def bilinear_weights(scale: int) -> NDArray[np.float32]:
    """Compute the weights that interpolate each pixel of a cell from the 3x3 cells around it.

    Args:
        scale: S, pixels a side of a cell.

    Returns:
        (S * S, 1, 3, 3) float32; pixels in reading order.
    """
    place = (np.arange(scale) + 0.5) / scale - 0.5
    cells = np.arange(-1, 2)
    weights_S3 = np.clip(1 - np.abs(place[:, None] - cells), 0, None)
    weights: NDArray[np.float32] = np.einsum("pi,qj->pqij", weights_S3, weights_S3).astype(np.float32)
    return weights.reshape(scale * scale, 1, 3, 3)
