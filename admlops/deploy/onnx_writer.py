"""Writes a network as ONNX, its integers in the form that each runtime fuses.

Written node by node, because every runtime fuses its own pattern of quantizers only, and none says when it falls back to
floats: that stays exact and becomes slow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from torch import Tensor

from admlops.deploy.graph_builder import GraphBuilder
from admlops.errors import ExportError, nearest
from admlops.quantization.network_graph import (
    AddNode,
    ConcatNode,
    ConvNode,
    FeatureInputNode,
    Grid,
    InputNode,
    MaxPoolNode,
    NetworkGraph,
    Node,
    ReluNode,
    Shape,
    UpsampleNode,
)

IMAGE = "image"
"""The graph input: uint8 (1, H, W, 3), BGR."""
CANVAS = "canvas"
"""The graph input of a network that reads a map of features: float32 (1, C, H, W)."""
PIXEL_SCALE, PIXEL_ZERO = 1 / 128, 128
"""A pixel means ``(pixel - 128) / 128``."""
Postprocess = Callable[[GraphBuilder, Mapping[str, str], Mapping[str, Shape]], None]
"""Reads the raw outputs (tensor and shape by name) and declares the graph's outputs with ``GraphBuilder.output``."""

Encode = Callable[[GraphBuilder], str]
"""Declares the graph's inputs and names the map that it makes of them, float32 (1, C, H, W)."""


@dataclass(frozen=True)
class Flavour:
    """How one runtime wants integers written.

    Attributes:
        signed: Whether signed grids are int8; else they are uint8 around 128.
        unsigned: Whether grids up to 255 can be written.
        integer_bias: Whether a bias may be int32 behind a ``DequantizeLinear``.
        pixels: Whether ``DequantizeLinear`` takes pixels as they are.
        wraps: Whether operations that only move integers stay integer ones only between quantizers of their own.
        sums_in_convs: Whether a sum becomes part of a convolution that it adds, whose own quantizer then is ignored.
        joins: Whether integers stay what they are around a concatenation.
    """

    signed: bool
    unsigned: bool
    integer_bias: bool
    pixels: bool
    wraps: bool
    sums_in_convs: bool
    joins: bool


FLAVOURS: Mapping[str, Flavour] = {
    "onnxruntime": Flavour(
        signed=False, unsigned=True, integer_bias=True, pixels=True, wraps=True, sums_in_convs=False, joins=True
    ),
    "openvino": Flavour(
        signed=True, unsigned=True, integer_bias=True, pixels=True, wraps=False, sums_in_convs=True, joins=False
    ),
    "tensorrt": Flavour(
        signed=True, unsigned=False, integer_bias=False, pixels=False, wraps=False, sums_in_convs=False, joins=True
    ),
}


def to_onnx(
    graph: NetworkGraph,
    input_hw: tuple[int, int],
    flavour: str,
    *,
    encode: Encode | None = None,
    postprocess: Postprocess | None = None,
    taps: Sequence[str] = (),
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """Write a network as an ONNX model of one picture, or map of features, of a fixed size.

    A network that reads a map, and has no ``encode`` before it, is written in the opset of chips.

    Args:
        graph: A quantized network, or one in floats.
        input_hw: Rows and columns of the network's input.
        flavour: Runtime that it is written for, a name in ``FLAVOURS``.
        encode: Computes the map of features inside the graph; without it the map is the graph's input.
        postprocess: Declares the outputs; without it they are the raw outputs.
        taps: Names of nodes whose values become outputs too, in float32.
        metadata: Text that is stored in the model, by key.

    Returns:
        The model: input ``image`` (1, H, W, 3) uint8, BGR; ``canvas`` (1, C, H, W) float32; or those of ``encode``.

    Raises:
        ExportError: The runtime cannot run these integers.
    """
    if flavour not in FLAVOURS:
        raise ExportError("there is no such target", got=flavour, remedy=nearest(flavour, FLAVOURS))
    if graph.rounding not in {None, "half_even"}:
        raise ExportError(
            "ONNX rounds half to even, the network was trained with another rounding",
            got=graph.rounding,
            remedy="train with rounding = 'half_even', or run the integer reference",
        )
    writer = _NetworkWriter(graph, input_hw, FLAVOURS[flavour], encode)
    for node in graph.nodes:
        writer.write(node)
    builder, shapes = writer.builder, writer.shapes
    if postprocess is None:
        for name, node_name in graph.outputs.items():
            builder.output(name, writer.values[node_name], np.float32, (1, *shapes[node_name]))
    else:
        raw = {name: writer.values[node_name] for name, node_name in graph.outputs.items()}
        postprocess(builder, raw, {name: shapes[node_name] for name, node_name in graph.outputs.items()})
    for name in taps:
        builder.output(name, writer.values[name], np.float32, (1, *shapes[name]))
    reads_map = any(isinstance(node, FeatureInputNode) for node in graph.nodes)
    return builder.model(metadata, for_chips=reads_map and encode is None)


class _NetworkWriter:
    """Writes the nodes of one network.

    Attributes:
        builder: What it writes to.
        values: Float tensor by node; behind a ``DequantizeLinear`` where the node has a grid.
        shapes: Channels, rows and columns by node.

    Args:
        graph: The network.
        input_hw: Rows and columns of its input.
        flavour: How its integers are written.
        encode: Computes the map of features.
    """

    def __init__(self, graph: NetworkGraph, input_hw: tuple[int, int], flavour: Flavour, encode: Encode | None = None) -> None:
        self.graph = graph
        self.flavour = flavour
        self.encode = encode
        self.builder = GraphBuilder()
        self.shapes = graph.shapes(input_hw)
        self.values: dict[str, str] = {}
        self._grids = {node.name: node.grid for node in graph.nodes}

    def write(self, node: Node) -> None:
        """Write one node; its operands are there."""
        operands = [self.values[name] for name in node.inputs]
        if isinstance(node, FeatureInputNode):
            value = self._feature_input(node)
        elif isinstance(node, InputNode):
            value = self._input(node)
        elif isinstance(node, ConvNode):
            value = self._quantize(node, self._rectify(node, self._conv(node, operands[0]), relu=node.relu))
        elif isinstance(node, AddNode):
            self._check_sum(node)
            value = self._quantize(node, self._rectify(node, self.builder.node("Add", operands), relu=node.relu))
        elif isinstance(node, ReluNode):
            value = self._quantize(node, self._rectify(node, operands[0], relu=True))
        elif isinstance(node, ConcatNode):
            value = self._concat(node, operands)
        elif isinstance(node, UpsampleNode):
            value = self._move(node, self._upsample(node, operands[0]))
        elif isinstance(node, MaxPoolNode):
            window: dict[str, Any] = {"kernel_shape": node.kernel_size, "strides": node.stride, "pads": node.padding * 2}
            value = self._move(node, self.builder.node("MaxPool", operands, **window))
        else:
            raise ExportError(f"the export knows no operation {node.kind!r}", where=node.name)
        self.values[node.name] = value

    def _input(self, node: InputNode) -> str:
        """Read the picture; rows, columns, channels become channels, rows, columns.

        Pixels are the network's first integers as they are: nothing is rounded, and where a runtime's convolutions have the
        channels innermost, nothing is moved.
        """
        if node.grid not in {None, Grid(PIXEL_SCALE, -PIXEL_ZERO, 127)}:
            raise ExportError("the network's input has another grid than pixels", where=node.name, got=node.grid)
        builder, shape = self.builder, self.shapes[node.name]
        image = builder.input(IMAGE, np.uint8, (1, *shape[1:], shape[0]))
        if self.flavour.pixels:
            scale, zero = builder.constant(PIXEL_SCALE, np.float32), builder.constant(PIXEL_ZERO, np.uint8)
            value = builder.node("DequantizeLinear", [image, scale, zero])
            return self._move(node, builder.node("Transpose", [value], perm=(0, 3, 1, 2)))
        pixels = builder.node("Cast", [image], to=onnx.TensorProto.FLOAT)
        shifted = builder.node("Sub", [pixels, builder.constant(PIXEL_ZERO, np.float32)])
        value = builder.node("Mul", [shifted, builder.constant(PIXEL_SCALE, np.float32)])
        return self._quantize(node, builder.node("Transpose", [value], perm=(0, 3, 1, 2)))

    def _feature_input(self, node: FeatureInputNode) -> str:
        if self.encode is not None:
            value = self.encode(self.builder)
        else:
            value = self.builder.input(CANVAS, np.float32, (1, *self.shapes[node.name]))
        # Not negative by itself: a ReLU only where the type of the integers would let negative ones through.
        return self._quantize(node, self._rectify(node, value, relu=False))

    def _conv(self, node: ConvNode, feat: str) -> str:
        attributes: dict[str, Any] = {
            "kernel_shape": tuple(node.weight_OIHW.shape[2:]),
            "strides": node.stride,
            "pads": node.padding * 2,
            "dilations": node.dilation,
            "group": node.groups,
        }
        return self.builder.node("Conv", [feat, *self._parameters(node)], **attributes)

    def _parameters(self, node: ConvNode) -> tuple[str, str]:
        weight, bias = _array(node.weight_OIHW), _array(node.bias_O)
        grid = self._grids[node.inputs[0]]
        if node.weight_scale_O is None:
            return self.builder.constant(weight), self.builder.constant(bias)
        if grid is None:
            raise ExportError("a convolution reads a tensor that has no grid", where=node.name)
        weight_scale = _array(node.weight_scale_O)
        scale = np.float32(grid.scale) * weight_scale
        weights = self._dequantize_channels(weight, weight_scale)
        if self.flavour.integer_bias:
            return weights, self._dequantize_channels(bias, scale)
        return weights, self.builder.constant(bias.astype(np.float32) * scale)

    def _dequantize_channels(self, integers: NDArray[Any], scale: NDArray[Any]) -> str:
        zeros = self.builder.constant(np.zeros(len(scale), integers.dtype))
        inputs = [self.builder.constant(integers), self.builder.constant(scale), zeros]
        return self.builder.node("DequantizeLinear", inputs, axis=0)

    def _check_sum(self, node: AddNode) -> None:
        """Refuse a sum for which the runtime would not round a convolution that has to be."""
        operands = [self.graph[name] for name in node.inputs]
        if not self.flavour.sums_in_convs or not self.graph.quantized or any(each.grid is None for each in operands):
            return
        for operand in operands:
            readers = [name for each in self.graph.nodes for name in each.inputs if name == operand.name]
            if isinstance(operand, ConvNode) and len(readers) == 1 and operand.name not in self.graph.outputs.values():
                raise ExportError(
                    "a convolution is rounded before it is added, which the target would leave out",
                    where=f"{operand.name}, added by {node.name}",
                    remedy="prepare the network with this version: it leaves such a convolution unrounded in training too",
                )

    def _rectify(self, node: Node, value: str, *, relu: bool) -> str:
        grid = node.grid
        if grid is not None and grid.low == 0:
            # A quantizer of bytes from 0 on cuts negative numbers by itself.
            relu = self._format(node.name, grid) != (np.uint8, 0)
        return self.builder.node("Relu", [value]) if relu else value

    def _upsample(self, node: UpsampleNode, value: str) -> str:
        builder = self.builder
        _, rows, columns = self.shapes[node.inputs[0]]
        scales = builder.constant(np.array([1, 1, 2, 2], np.float32))
        doubled = builder.node(
            "Resize",
            [value, "", scales],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
        wanted = self.shapes[node.name][1:]
        if wanted == (2 * rows, 2 * columns):
            return doubled
        doubled = self._move(node, doubled)
        ends, axes = np.array(wanted, np.int64), np.array([2, 3], np.int64)
        return builder.node("Slice", [doubled, *map(builder.constant, (np.zeros_like(ends), ends, axes))])

    def _move(self, node: Node, value: str) -> str:
        """Close an operation that only moves integers, where the runtime wants quantizers around it."""
        return self._quantize(node, value) if self.flavour.wraps else value

    def _concat(self, node: ConcatNode, operands: Sequence[str]) -> str:
        """Join integers of one grid; joined as floats, runtimes look for the common grid themselves and lose bits."""
        if node.grid is None:
            return self.builder.node("Concat", operands, axis=1)
        if not self.flavour.joins:
            # OpenVINO brings the quantizers around it to few common levels, also where other layers read the operands. Neither
            # quantizers of its own for each operand nor rounding in arithmetic keeps it from that.
            raise ExportError(
                "the target rounds otherwise around a concatenation of integers",
                where=node.name,
                remedy="export for 'onnxruntime', or train a network that sums instead of concatenating",
            )
        parameters = self._quantizer(node.name, node.grid)
        integers = [self.builder.node("QuantizeLinear", [each, *parameters]) for each in operands]
        return self.builder.node("DequantizeLinear", [self.builder.node("Concat", integers, axis=1), *parameters])

    def _quantize(self, node: Node, value: str) -> str:
        """Round to the node's grid."""
        if node.grid is None:
            return value
        parameters = self._quantizer(node.name, node.grid)
        integers = self.builder.node("QuantizeLinear", [value, *parameters])
        return self.builder.node("DequantizeLinear", [integers, *parameters])

    def _quantizer(self, name: str, grid: Grid) -> tuple[str, str]:
        """Make the scale and the zero point of a grid."""
        dtype, zero_point = self._format(name, grid)
        return self.builder.constant(grid.scale, np.float32), self.builder.constant(zero_point, dtype)

    def _format(self, name: str, grid: Grid) -> tuple[type[np.generic], int]:
        """Choose the type whose range is the grid's, and its zero point."""
        if grid.high == 255 and grid.low == 0 and self.flavour.unsigned:
            return np.uint8, 0
        if grid.high == 127 and grid.low in {-128, 0}:
            return (np.int8, 0) if self.flavour.signed else (np.uint8, 128)
        if grid.high == 255 and grid.low == 0:
            raise ExportError(
                "the target knows signed integers only, the network was trained with unsigned ones behind ReLU",
                where=name,
                expected="integers up to 127",
                got="integers up to 255",
                remedy="set relu_range = 's8' in the config's quantization and train again from step 1",
            )
        raise ExportError("no type has the range of a grid", where=name, got=f"{grid.low} to {grid.high}")


def _array(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.detach().cpu().numpy()
    return array
