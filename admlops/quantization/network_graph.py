"""A network as plain data: what is computed from what, with weights in floats or in integers.

This is what step 3 stores, what the integer reference runs and what every export is written from. It knows neither modules nor
runtimes. Shape letters: B batch, C or O channels, I input channels, H and W rows and columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from admlops.errors import QuantizationError

Shape = tuple[int, int, int]
"""Channels, rows, columns."""


@dataclass(frozen=True)
class Grid:
    """The values that a quantized tensor can take: ``q * scale`` with ``low <= q <= high``.

    Attributes:
        scale: Distance of two values; exactly representable in float32.
        low: Smallest integer: -128, or 0 behind a ReLU.
        high: Largest integer: 127, or 255 behind a ReLU on targets that know unsigned bytes.
    """

    scale: float
    low: int
    high: int

    @property
    def exponent(self) -> int:
        """log2 of the scale.

        Raises:
            QuantizationError: The scale is no power of two.
        """
        mantissa, exponent = torch.frexp(torch.tensor(self.scale, dtype=torch.float64))
        if float(mantissa) != 0.5:
            raise QuantizationError("a scale is no power of two", got=self.scale)
        return int(exponent) - 1


@dataclass(frozen=True)
class Node:
    """One operation; its output is known by its name.

    Attributes:
        name: Name of the module that it comes from, unique in the graph.
        inputs: Names of the nodes whose outputs it reads.
        grid: Grid of its output, or None: a float tensor, or integers at the accumulator's own scale.
    """

    kind: ClassVar[str]
    name: str
    inputs: tuple[str, ...]
    grid: Grid | None


@dataclass(frozen=True)
class InputNode(Node):
    """The picture, ``(pixel - 128) / 128``.

    Attributes:
        channels: Its channels.
    """

    kind = "input"
    channels: int


@dataclass(frozen=True)
class FeatureInputNode(InputNode):
    """A map of features, computed in floats by what lies before the network; not negative."""

    kind = "feature_input"


@dataclass(frozen=True, eq=False)
class ConvNode(Node):
    """Convolution with bias, then ReLU if ``relu``.

    Attributes:
        weight_OIHW: int8 in a quantized graph, else float32.
        bias_O: int32 multiples of ``scale of the input * weight_scale_O`` in a quantized graph, else float32.
        weight_scale_O: float32 scale of each output channel's weights; None in a float graph.
        stride: Step in rows and columns.
        padding: Zeros on each side, rows and columns.
        dilation: Distance of the kernel's taps.
        groups: Groups.
        relu: Whether a ReLU follows.
    """

    kind = "conv"
    weight_OIHW: Tensor
    bias_O: Tensor
    weight_scale_O: Tensor | None
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    relu: bool


@dataclass(frozen=True)
class AddNode(Node):
    """Sum of two equally shaped tensors, then ReLU if ``relu``.

    At most one operand has no grid: a convolution's accumulator, that is not rounded before it is added.

    Attributes:
        relu: Whether a ReLU follows.
    """

    kind = "add"
    relu: bool


@dataclass(frozen=True)
class ConcatNode(Node):
    """Concatenation of channels; each operand moves to the common grid."""

    kind = "concat"


@dataclass(frozen=True)
class UpsampleNode(Node):
    """Nearest-neighbour doubling of the first input, cropped to the rows and columns of the second."""

    kind = "upsample"


@dataclass(frozen=True)
class MaxPoolNode(Node):
    """Largest value of each window.

    Attributes:
        kernel_size: Rows and columns of the window.
        stride: Step in rows and columns.
        padding: Cells without value on each side.
    """

    kind = "max_pool"
    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]


@dataclass(frozen=True)
class ReluNode(Node):
    """A ReLU that follows no convolution; the grid is its input's."""

    kind = "relu"


NODE_TYPES: Mapping[str, type[Node]] = {
    cls.kind: cls for cls in (InputNode, FeatureInputNode, ConvNode, AddNode, ConcatNode, UpsampleNode, MaxPoolNode, ReluNode)
}


@dataclass(frozen=True, eq=False)
class NetworkGraph:
    """A network.

    Attributes:
        nodes: In an order in which they can be computed; the first is the only ``InputNode``.
        outputs: Node by name of the raw output (``TensorSpec.name``).
        rounding: How integers are rounded, a name in ``ROUNDINGS``; None in a float graph.
        power_of_two: Whether all scales are powers of two, so that shifts suffice.
    """

    nodes: tuple[Node, ...]
    outputs: Mapping[str, str]
    rounding: str | None = None
    power_of_two: bool = True

    @property
    def quantized(self) -> bool:
        """Whether the weights are integers."""
        return self.rounding is not None

    def __getitem__(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)

    def convs(self) -> Iterator[ConvNode]:
        """Iterate over the convolutions.

        Yields:
            Each convolution, in order.
        """
        for node in self.nodes:
            if isinstance(node, ConvNode):
                yield node

    def shapes(self, input_hw: tuple[int, int]) -> dict[str, Shape]:
        """Follow the shape of a picture through the network.

        Args:
            input_hw: Rows and columns of the network's input.

        Returns:
            Channels, rows and columns of each node's output.
        """
        shapes: dict[str, Shape] = {}
        for node in self.nodes:
            known = [shapes[name] for name in node.inputs]
            if isinstance(node, InputNode):
                shape = (node.channels, *input_hw)
            elif isinstance(node, ConvNode):
                span = [d * (k - 1) + 1 for d, k in zip(node.dilation, node.weight_OIHW.shape[2:], strict=True)]
                shape = (len(node.weight_OIHW), *_slide(known[0], span, node.stride, node.padding))
            elif isinstance(node, MaxPoolNode):
                shape = (known[0][0], *_slide(known[0], node.kernel_size, node.stride, node.padding))
            elif isinstance(node, ConcatNode):
                shape = (sum(each[0] for each in known), *known[0][1:])
            elif isinstance(node, UpsampleNode):
                shape = (known[0][0], *known[1][1:])
            else:
                shape = known[0]
            shapes[node.name] = shape
        return shapes

    def to_state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Split the graph into what JSON can hold and tensors.

        Returns:
            The structure, and tensors by name. Scales that are powers of two are stored as exponents: such a state has no
            float in it.
        """
        tensors: dict[str, Tensor] = {}
        nodes = []
        for node in self.nodes:
            entry: dict[str, Any] = {"kind": node.kind}
            for field in fields(node):
                value = getattr(node, field.name)
                if isinstance(value, Tensor):
                    key, tensors[f"{node.name}.{field.name}"] = field.name, value
                    if field.name == "weight_scale_O" and self.power_of_two:
                        tensors[f"{node.name}.{key}"] = to_exponents(value)
                else:
                    entry[field.name] = self._grid_state(value) if isinstance(value, Grid) else value
            nodes.append(entry)
        head = {"outputs": dict(self.outputs), "rounding": self.rounding, "power_of_two": self.power_of_two}
        return {**head, "nodes": nodes}, tensors

    def _grid_state(self, grid: Grid) -> dict[str, float]:
        step = {"exponent": grid.exponent} if self.power_of_two else {"scale": grid.scale}
        return {**step, "low": grid.low, "high": grid.high}

    @classmethod
    def from_state(cls, structure: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> NetworkGraph:
        """Put together what ``to_state`` took apart.

        Args:
            structure: The structure.
            tensors: The tensors.

        Returns:
            The graph.

        Raises:
            QuantizationError: They do not belong together.
        """
        nodes: list[Node] = []
        where = "its structure"
        try:
            for entry in structure["nodes"]:
                where = str(entry.get("name", f"node {len(nodes)}"))
                node_type = NODE_TYPES[entry["kind"]]
                values = {field.name: _load_field(field.name, entry, tensors) for field in fields(node_type)}
                nodes.append(node_type(**values))
            where = "its structure"
            head = {key: structure[key] for key in ("outputs", "rounding", "power_of_two")}
        except (AttributeError, KeyError, TypeError) as error:
            raise QuantizationError(
                "the integer network is incomplete",
                where=where,
                got=f"{type(error).__name__}: {error}",
                remedy="make it again with step 3",
            ) from error
        return cls(tuple(nodes), **head)

    def with_outputs(self, names: Mapping[str, str]) -> NetworkGraph:
        """Return the graph with other nodes as outputs, for instance all that have a grid.

        Args:
            names: Node by output name.

        Returns:
            The same network with these outputs.
        """
        return replace(self, outputs=dict(names))


def to_exponents(scale: Tensor) -> Tensor:
    """Take log2 of scales that are powers of two.

    Args:
        scale: Powers of two.

    Returns:
        int8 exponents.

    Raises:
        QuantizationError: One of them is no power of two.
    """
    mantissa, exponent = torch.frexp(scale.double())
    if not bool((mantissa == 0.5).all()):
        raise QuantizationError("a scale is no power of two", got=scale[mantissa != 0.5][0].item())
    return (exponent - 1).to(torch.int8)


def _load_field(name: str, entry: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Any:
    key = f"{entry['name']}.{name}"
    if key in tensors:
        tensor = tensors[key]
        is_exponent = name == "weight_scale_O" and not tensor.is_floating_point()
        return torch.ldexp(torch.ones(len(tensor)), tensor.int()) if is_exponent else tensor
    value = entry[name]
    if name == "grid" and value is not None:
        scale = value["scale"] if "scale" in value else 2.0 ** value["exponent"]
        return Grid(scale, value["low"], value["high"])
    return tuple(value) if isinstance(value, list) else value


def _slide(shape: Shape, span: Any, stride: tuple[int, int], padding: tuple[int, int]) -> tuple[int, int]:
    sides = zip(shape[1:], span, stride, padding, strict=True)
    rows, columns = ((size + 2 * pad - reach) // step + 1 for size, reach, step, pad in sides)
    return rows, columns
