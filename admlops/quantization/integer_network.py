"""Step 3: the network in integers alone, int32 accumulators and shifts. Slow, and the judge of every runtime.

Shape letters: B batch, G groups, I and O channels a group, K kernel taps, N output cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from admlops.errors import QuantizationError
from admlops.quantization.network_graph import (
    AddNode,
    ConcatNode,
    ConvNode,
    Grid,
    InputNode,
    MaxPoolNode,
    NetworkGraph,
    Node,
    ReluNode,
    UpsampleNode,
)
from admlops.quantization.rounding import ROUNDINGS

MAX_SHIFT = 30
"""Accumulators stay below 2**24, so a longer shift leaves the same zero; int32 has no more than 31 bits to shift."""
LOWEST = torch.iinfo(torch.int32).min


@dataclass(frozen=True)
class Integers:
    """A tensor of integers and the scale of its channels.

    Attributes:
        q: int32 (B, C, H, W).
        scale: Scale of all channels (0-d) or of each (C,): int32 exponents of two; float32 where scales are no powers of two.
    """

    q: Tensor
    scale: Tensor

    @property
    def broadcast_scale(self) -> Tensor:
        """The scale, in a shape that meets ``q``."""
        return self.scale.view(-1, 1, 1)

    def to_float(self) -> Tensor:
        """Compute the values; exact where scales are powers of two, because ``|q| < 2 ** 24``.

        Returns:
            float32 (B, C, H, W).
        """
        if self.scale.is_floating_point():
            return self.q.float() * self.broadcast_scale
        return torch.ldexp(self.q.float(), self.broadcast_scale)


class IntegerNetwork(nn.Module):
    """Runs a quantized graph in integers.

    With scales that are powers of two every operation is an integer one; its results are those of the simulation, bit for bit.
    Else the accumulator is multiplied by a float32 scale and rounded, in the operations of the simulation.

    Attributes:
        graph: What is computed.

    Args:
        graph: A quantized graph.

    Raises:
        QuantizationError: The graph holds floats.
    """

    def __init__(self, graph: NetworkGraph) -> None:
        super().__init__()
        if graph.rounding is None:
            raise QuantizationError("the graph holds float weights", remedy="convert a network that was prepared for integers")
        self.graph = graph
        self.rounding = ROUNDINGS[graph.rounding]
        self.structure, tensors = graph.to_state()
        # Names of modules have dots, names of buffers may not.
        self._keys = {name: name.replace(".", "/") for name in tensors}
        for name, tensor in tensors.items():
            self.register_buffer(self._keys[name], tensor)

    @classmethod
    def from_state(cls, structure: Mapping[str, Any], state: Mapping[str, Tensor]) -> IntegerNetwork:
        """Build a network from what a checkpoint holds.

        Args:
            structure: ``structure`` of the network that was saved.
            state: Its ``state_dict()``.

        Returns:
            The network.
        """
        return cls(NetworkGraph.from_state(structure, {name.replace("/", "."): tensor for name, tensor in state.items()}))

    def forward(self, image_BCHW: Tensor) -> dict[str, Tensor]:
        """Compute the raw outputs.

        Args:
            image_BCHW: Pictures, ``(pixel - 128) / 128``; or uint8 pixels; or a map of features.

        Returns:
            Raw outputs by name, float32.
        """
        values = self.run(image_BCHW)
        return {name: values[node].to_float() for name, node in self.graph.outputs.items()}

    def run(self, image_BCHW: Tensor) -> dict[str, Integers]:
        """Compute every tensor.

        Args:
            image_BCHW: Pictures, ``(pixel - 128) / 128``; or uint8 pixels; or a map of features.

        Returns:
            Integers by name of the node.
        """
        values: dict[str, Integers] = {}
        for node in self.graph.nodes:
            operands = [values[name] for name in node.inputs]
            values[node.name] = self._input(node, image_BCHW) if isinstance(node, InputNode) else self._compute(node, operands)
        return values

    def _tensor(self, node: Node, name: str) -> Tensor:
        tensor: Tensor = self.get_buffer(self._keys[f"{node.name}.{name}"])
        return tensor

    def _scale(self, grid: Grid, like: Tensor) -> Tensor:
        if self.graph.power_of_two:
            return torch.tensor(grid.exponent, dtype=torch.int32, device=like.device)
        return torch.tensor(grid.scale, dtype=torch.float32, device=like.device)

    def _input(self, node: InputNode, image_BCHW: Tensor) -> Integers:
        if node.grid is None:
            raise QuantizationError("the network's input has no grid", where=node.name)
        if image_BCHW.dtype is torch.uint8:
            image_BCHW = (image_BCHW.float() - 128) / 128
        # As a tensor: a number is divided by through its reciprocal on some devices.
        scale = torch.tensor(node.grid.scale, device=image_BCHW.device)
        q = self.rounding.values(image_BCHW / scale).clamp(node.grid.low, node.grid.high)
        return Integers(q.to(torch.int32), self._scale(node.grid, image_BCHW))

    def _compute(self, node: Node, operands: list[Integers]) -> Integers:
        first = operands[0]
        if isinstance(node, ConvNode):
            return self._conv(node, first)
        if isinstance(node, AddNode):
            total = _add(*operands)
            return self._fit(Integers(total.q.clamp(min=0), total.scale) if node.relu else total, node.grid)
        if isinstance(node, ConcatNode):
            moved = [self._fit(operand, node.grid) for operand in operands]
            return Integers(torch.cat([each.q for each in moved], dim=1), moved[0].scale)
        if isinstance(node, UpsampleNode):
            doubled = first.q.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            return Integers(doubled[..., : operands[1].q.shape[2], : operands[1].q.shape[3]], first.scale)
        if isinstance(node, MaxPoolNode):
            return Integers(_max_pool(first.q, node), first.scale)
        if isinstance(node, ReluNode):
            return Integers(first.q.clamp(min=0), first.scale)
        raise QuantizationError(f"integers know no operation {node.kind!r}", where=node.name)

    def _conv(self, node: ConvNode, feat: Integers) -> Integers:
        q = _convolve(feat.q, self._tensor(node, "weight_OIHW"), node) + self._tensor(node, "bias_O").view(-1, 1, 1)
        weight_scale = self._tensor(node, "weight_scale_O")
        scale = feat.scale + weight_scale.int() if self.graph.power_of_two else feat.scale * weight_scale
        return self._fit(Integers(q.clamp(min=0) if node.relu else q, scale), node.grid)

    def _fit(self, value: Integers, grid: Grid | None) -> Integers:
        """Move integers to a grid: round and clamp."""
        if grid is None:
            return value
        scale = self._scale(grid, value.q)
        if self.graph.power_of_two:
            bits = (scale - value.broadcast_scale).expand(value.q.shape)
            down = self.rounding.shift(value.q, bits.clamp(1, MAX_SHIFT))
            # A finer grid needs no rounding; what is clamped anyway may not overflow on the way up.
            up = value.q.long() << (-bits).clamp(0, MAX_SHIFT)
            q = torch.where(bits > 0, down.long(), up).clamp(grid.low, grid.high).to(torch.int32)
        else:
            q = self.rounding.values(value.to_float() / scale).clamp(grid.low, grid.high).to(torch.int32)
        return Integers(q, scale)


def _add(a: Integers, b: Integers) -> Integers:
    if a.scale.is_floating_point():
        # In the unit of one: the sum is rounded by the caller, once.
        one = torch.ones((), dtype=torch.float32, device=a.q.device)
        return Integers(a.to_float() + b.to_float(), one)
    finer = torch.minimum(a.scale, b.scale)
    parts = [each.q << (each.scale - finer).view(-1, 1, 1) for each in (a, b)]
    return Integers(parts[0] + parts[1], finer)


def _max_pool(q: Tensor, node: MaxPoolNode) -> Tensor:
    (rows, columns), (step_y, step_x), (pad_y, pad_x) = node.kernel_size, node.stride, node.padding
    padded = F.pad(q, (pad_x, pad_x, pad_y, pad_y), value=LOWEST)
    windows = padded.unfold(2, rows, step_y).unfold(3, columns, step_x)
    return windows.amax(dim=(-1, -2))


def _convolve(q_BCHW: Tensor, weight_OIHW: Tensor, node: ConvNode) -> Tensor:
    """Convolve in int32: torch's own convolutions know floats only.

    Args:
        q_BCHW: int32.
        weight_OIHW: int8.
        node: Stride, padding, dilation, groups.

    Returns:
        int32 accumulators (B, O, H', W').
    """
    (pad_y, pad_x), (step_y, step_x), groups = node.padding, node.stride, node.groups
    padded = F.pad(q_BCHW, (pad_x, pad_x, pad_y, pad_y))
    out_channels, group_channels, kernel_h, kernel_w = weight_OIHW.shape
    rows = (padded.shape[2] - node.dilation[0] * (kernel_h - 1) - 1) // step_y + 1
    columns = (padded.shape[3] - node.dilation[1] * (kernel_w - 1) - 1) // step_x + 1
    batch = len(q_BCHW)
    weight_GOIK = weight_OIHW.int().view(groups, out_channels // groups, group_channels, -1)
    acc_BGON = torch.zeros(batch, groups, out_channels // groups, rows * columns, dtype=torch.int32, device=q_BCHW.device)
    for tap in range(kernel_h * kernel_w):
        y, x = (tap // kernel_w) * node.dilation[0], (tap % kernel_w) * node.dilation[1]
        seen = padded[:, :, y : y + step_y * (rows - 1) + 1 : step_y, x : x + step_x * (columns - 1) + 1 : step_x]
        acc_BGON += torch.matmul(weight_GOIK[..., tap], seen.reshape(batch, groups, group_channels, rows * columns))
    return acc_BGON.view(batch, out_channels, rows, columns)
