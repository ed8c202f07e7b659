"""From modules to a graph: the prepared network's integers (step 3), or a float network with BN folded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from admlops.errors import QuantizationError
from admlops.quantization.fold_bn import fold_bn
from admlops.quantization.layer_kinds import conv_parts
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
    UpsampleNode,
)
from admlops.quantization.prepare import TRANSPARENT
from admlops.quantization.simulated_layers import ACCUMULATOR_LIMIT, SimulatedConv
from admlops.quantization.trace import Call, trace

INPUT_NODES: Mapping[str, type[InputNode]] = {"input": InputNode, "feature_input": FeatureInputNode}
Weights = tuple[Tensor, Tensor, Tensor | None]
"""Weight (O, I, H, W), bias (O,), scale (O,)."""


def integer_graph(model: nn.Module, example_BCHW: Tensor | None = None) -> NetworkGraph:
    """Take the integers out of a prepared network, whatever BN of it is absorbed.

    Args:
        model: A prepared and calibrated network.
        example_BCHW: Picture to follow through the network.

    Returns:
        The quantized graph.

    Raises:
        QuantizationError: The network isn't prepared or calibrated, or a sum could leave what float32 holds exactly.
    """
    simulated = next((module for module in model.modules() if isinstance(module, SimulatedConv)), None)
    if simulated is None:
        raise QuantizationError("the network computes in floats", remedy="prepare and train it first: steps 1 and 2")

    def weights(call: Call) -> Weights:
        if not isinstance(call.module, SimulatedConv):
            raise QuantizationError("a convolution was not prepared", where=call.name)
        broken = [name for name, value in call.module.state_dict().items() if not bool(torch.isfinite(value).all())]
        if broken:
            raise QuantizationError(
                "a layer holds values that are not finite",
                where=call.name,
                got=", ".join(broken),
                remedy="training diverged: go back to an earlier checkpoint, with a smaller learning rate",
            )
        q_OIHW, bias_O, scale_O = call.module.integers()
        return q_OIHW.to(torch.int8).cpu(), bias_O.to(torch.int32).cpu(), scale_O.cpu()

    nodes, outputs = _nodes(model, example_BCHW, weights, quantized=True)
    graph = NetworkGraph(nodes, outputs, simulated.spec.rounding, simulated.spec.power_of_two)
    check_accumulators(graph)
    return graph


def float_graph(model: nn.Module, example_BCHW: Tensor | None = None) -> NetworkGraph:
    """Take a float network apart, with BN folded into its convolutions.

    Args:
        model: A network in floats.
        example_BCHW: Picture to follow through the network.

    Returns:
        The graph, in float32.

    Raises:
        QuantizationError: The network does something that a graph cannot hold.
    """

    def weights(call: Call) -> Weights:
        parts = conv_parts(call.module)
        if isinstance(parts, str):
            raise QuantizationError(parts, where=call.name)
        weight_OIHW, bias_O = fold_bn(parts.conv, parts.bn)
        return weight_OIHW.float().cpu(), bias_O.float().cpu(), None

    nodes, outputs = _nodes(model, example_BCHW, weights, quantized=False)
    return NetworkGraph(nodes, outputs)


@torch.no_grad()
def check_accumulators(graph: NetworkGraph) -> None:
    """Prove that no sum can exceed what float32 adds exactly, whatever the picture.

    Args:
        graph: A quantized graph.

    Raises:
        QuantizationError: It can; the layers are named.
    """
    hazards = []
    grids = {node.name: node.grid for node in graph.nodes}
    bounds: dict[str, Tensor] = {}
    for node in graph.nodes:
        if isinstance(node, ConvNode):
            grid = grids[node.inputs[0]]
            if grid is None or node.weight_scale_O is None:
                raise QuantizationError("a convolution reads what no quantizer rounds", where=node.name)
            reach = max(-grid.low, grid.high)
            bound_O = node.weight_OIHW.long().abs().flatten(1).sum(dim=1) * reach + node.bias_O.long().abs()
            if int(bound_O.max()) >= ACCUMULATOR_LIMIT:
                hazards.append(f"{node.name}: channel {int(bound_O.argmax())} can reach {int(bound_O.max())}")
            bounds[node.name] = bound_O.double() * (grid.scale * node.weight_scale_O.double())
        elif isinstance(node, AddNode):
            units, total = [], torch.zeros((), dtype=torch.float64)
            for name in node.inputs:
                grid = grids[name]
                if grid is not None:
                    units.append(torch.tensor(grid.scale, dtype=torch.float64))
                    total = total + max(-grid.low, grid.high) * grid.scale
                else:
                    conv = graph[name]
                    source = grids[conv.inputs[0]]
                    if not isinstance(conv, ConvNode) or source is None or conv.weight_scale_O is None:
                        raise QuantizationError("a sum reads what is neither rounded nor a convolution", where=node.name)
                    units.append(conv.weight_scale_O.double() * source.scale)
                    total = total + bounds[name]
            reached = total / torch.minimum(units[0], units[1])
            if graph.power_of_two and float(reached.max()) >= ACCUMULATOR_LIMIT:
                hazards.append(
                    f"{node.name}: its operands' scales are too far apart, the sum can reach {float(reached.max()):.3g} units"
                )
    if hazards:
        raise QuantizationError(
            "sums could overflow what every runtime adds exactly",
            expected=f"below {ACCUMULATOR_LIMIT}",
            got="\n" + "\n".join(f"    {hazard}" for hazard in hazards),
            remedy="train on with a smaller learning rate, or fewer input channels a group",
        )


def _nodes(
    model: nn.Module, example_BCHW: Tensor | None, weights: Callable[[Call], Weights], quantized: bool
) -> tuple[tuple[Node, ...], dict[str, str]]:
    found = trace(model, example_BCHW)
    if found.foreign:
        raise QuantizationError(
            "the network is more than its layers", got="\n" + "\n".join(f"    {each}" for each in dict.fromkeys(found.foreign))
        )
    nodes: dict[str, Node] = {}
    for call in found.calls:
        grid = _grid(call, nodes) if quantized else None
        begins = INPUT_NODES.get(call.kind)
        nodes[call.name] = begins(call.name, (), grid, found.image_channels) if begins else _node(call, grid, weights)
    missing = [name for name, node in found.outputs.items() if node not in nodes]
    if missing or not found.outputs:
        raise QuantizationError("the network puts out what no layer made", got=missing or "no output")
    return tuple(nodes.values()), found.outputs


def _grid(call: Call, nodes: dict[str, Node]) -> Grid | None:
    if call.kind in TRANSPARENT:
        grid = nodes[call.inputs[0]].grid
        return Grid(grid.scale, 0, grid.high) if grid is not None and call.kind == "relu" else grid
    quantizer: Any = getattr(call.module, "out_quantizer", None)
    return None if quantizer is None else quantizer.grid()


def _node(call: Call, grid: Grid | None, weights: Callable[[Call], Weights]) -> Node:
    module: Any = call.module
    common: dict[str, Any] = {"name": call.name, "inputs": call.inputs, "grid": grid}
    if call.kind == "conv":
        parts = conv_parts(module)
        if isinstance(parts, str):
            raise QuantizationError(parts, where=call.name)
        conv, (weight_OIHW, bias_O, scale_O) = parts.conv, weights(call)
        return ConvNode(
            **common,
            weight_OIHW=weight_OIHW.detach().contiguous(),
            bias_O=bias_O.detach(),
            weight_scale_O=scale_O,
            stride=_pair(conv.stride),
            padding=_pair(conv.padding),
            dilation=_pair(conv.dilation),
            groups=conv.groups,
            relu=parts.act is not None,
        )
    if call.kind == "add":
        add: Any = getattr(module, "add", module)
        return AddNode(**common, relu=add.act is not None)
    if call.kind == "max_pool":
        return MaxPoolNode(
            **common,
            kernel_size=_pair(module.kernel_size),
            stride=_pair(module.stride),
            padding=_pair(module.padding),
        )
    plain = {"concat": ConcatNode, "upsample": UpsampleNode, "relu": ReluNode}
    return plain[call.kind](**common)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))
