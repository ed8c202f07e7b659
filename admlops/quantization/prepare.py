"""From a float network to one that trains under the rounding of integers; every hazard is refused here, by the layer's name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from admlops.errors import QuantizationError
from admlops.quantization.activation_quantizer import ActivationQuantizer
from admlops.quantization.layer_kinds import conv_parts
from admlops.quantization.quant_spec import QuantSpec
from admlops.quantization.simulated_layers import (
    SimulatedAdd,
    SimulatedConcat,
    SimulatedConv,
    SimulatedFeatureInput,
    SimulatedInput,
)
from admlops.quantization.trace import IMAGE, Call, Trace, trace

TRANSPARENT = frozenset({"upsample", "max_pool", "relu"})
"""Kinds whose output is on their first input's grid."""


@dataclass(frozen=True)
class LayerReport:
    """How one layer is quantized.

    Attributes:
        name: Name of the module.
        kind: Its kind.
        output: ``u8``, ``s8``, ``accumulator`` (int32: a raw output, or the operand of a sum), or ``as its input``.
    """

    name: str
    kind: str
    output: str


def prepare(model: nn.Module, spec: QuantSpec, example_BCHW: Tensor | None = None) -> tuple[LayerReport, ...]:
    """Put simulating layers in the places of a float network's, in place.

    Parameters and BN keep their names, but for those of a convolution that stands alone (``<layer>.weight``, now
    ``<layer>.conv.weight``; a state in floats can be loaded). Quantizers add buffers ``<layer>.out_quantizer.amax``.

    The operands of a sum: a convolution that nothing else reads stays in its accumulator, because a runtime that adds within
    the convolution (OpenVINO) never rounds it; of two such the second is rounded.

    Args:
        model: A network in floats; its call with a picture returns its raw outputs.
        spec: The target's integers.
        example_BCHW: Picture to follow through the network.

    Returns:
        A line a layer.

    Raises:
        QuantizationError: The network does something that integers cannot; all of it is named. It is left as it was.
    """
    if any(isinstance(module, SimulatedConv) for module in model.modules()):
        raise QuantizationError("the network is prepared already")
    found = trace(model, example_BCHW)
    _refuse_hazards(model, found)
    bare = _accumulator_operands(found)
    swapped = {call.name: _simulate(call, found, bare, spec) for call in found.calls}
    for call in found.calls:
        module = swapped[call.name]
        if isinstance(module, SimulatedConv):
            module.wire(_quantizer(call.inputs[0], found, swapped), _addend(call.name, found, bare, swapped))
    for name, module in swapped.items():
        if module is not found[name].module:
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, module)
    for name, quantizer in quantizers(model):
        quantizer.name = name
    reports = []
    for call in found.calls:
        module = model.get_submodule(call.name)
        module.train(call.module.training)
        if isinstance(module, SimulatedConv):
            module.name = call.name
        reports.append(LayerReport(call.name, call.kind, _output_of(call, module)))
    return tuple(reports)


def quantizers(model: nn.Module) -> Iterator[tuple[str, ActivationQuantizer]]:
    """Iterate over the quantizers of a prepared network.

    Args:
        model: The network.

    Yields:
        Name and quantizer.
    """
    for name, module in model.named_modules():
        if isinstance(module, ActivationQuantizer):
            yield name, module


def set_observing(model: nn.Module, enabled: bool) -> None:
    """Let training move the ranges, or freeze them.

    Args:
        model: A prepared network.
        enabled: Whether ranges move.
    """
    for _, quantizer in quantizers(model):
        quantizer.observing = enabled


def uncalibrated(model: nn.Module) -> list[str]:
    """List the quantizers that saw nothing yet.

    Args:
        model: A prepared network.

    Returns:
        Their names.
    """
    return [name for name, quantizer in quantizers(model) if not float(quantizer.amax)]


@contextmanager
def calibrating(model: nn.Module) -> Iterator[None]:
    """Let a network run in floats while its quantizers note the largest magnitudes.

    Args:
        model: A prepared network; put it into eval mode, and switch gradients off.

    Yields:
        Nothing.
    """
    layers = [module for module in model.modules() if isinstance(module, SimulatedConv | ActivationQuantizer)]
    for layer in layers:
        layer.simulate = False
    try:
        yield
    finally:
        for layer in layers:
            layer.simulate = True


def absorb_bn(model: nn.Module, names: Sequence[str]) -> None:
    """Fold BN layers into their convolutions, in place. Optimizers made before hold parameters that are gone.

    Args:
        model: A prepared network.
        names: Names of BN layers.

    Raises:
        QuantizationError: One of them belongs to no convolution, or is absorbed already.
    """
    owners = {f"{name}.bn": module for name, module in model.named_modules() if isinstance(module, SimulatedConv) and module.bn}
    missing = [name for name in names if name not in owners]
    if missing:
        raise QuantizationError(
            "such BN layers cannot be absorbed",
            expected="BN layers that follow a convolution of a prepared network, absorbed once",
            got=", ".join(missing[:5]),
        )
    for name in names:
        owners[name].absorb_bn()


def _refuse_hazards(model: nn.Module, found: Trace) -> None:
    hazards = list(dict.fromkeys(found.foreign))
    names: dict[nn.Module, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        names.setdefault(module, []).append(name)
    owners: dict[Tensor, str] = {}
    for call in found.calls:
        if call.kind == "conv":
            parts = conv_parts(call.module)
            if isinstance(parts, str):
                hazards.append(f"{call.name}: {parts}")
            elif (owner := owners.setdefault(parts.conv.weight, call.name)) != call.name:
                hazards.append(f"{call.name}: shares its weights with {owner}, which absorbs another BN")
        if len(names[call.module]) > 1 and call.kind not in TRANSPARENT:
            hazards.append(f"{call.name}: is one module under several names, {', '.join(names[call.module])}")
    if not found.calls:
        hazards.append("the network calls none of the layers that integers know")
    if hazards:
        raise QuantizationError(
            "the network cannot be computed in integers",
            expected="layers of admlops.layers, ConvModule, Conv2d, ReLU, MaxPool2d, and no operation outside of them",
            got="\n" + "\n".join(f"    {hazard}" for hazard in hazards),
            remedy="use CenterLtrbHead or SegHead, replace these layers, or leave the branch out",
        )


def _is_bare_conv(name: str, found: Trace) -> bool:
    """Whether an operand of a sum is a convolution that nobody else reads, with a ReLU or without."""
    known = name != IMAGE and found[name].kind == "conv" and name not in found.outputs.values()
    return known and len(found.readers(name)) == 1


def _accumulator_operands(found: Trace) -> dict[str, str]:
    """Choose the operand of each sum that is not rounded: the other operand, by the name of the convolution."""
    chosen = {}
    for call in found.calls:
        if call.kind == "add" and call.inputs[0] != call.inputs[1]:
            # Rounding costs one without ReLU more: it would lose a bit to the sign.
            operands = sorted(call.inputs, key=lambda name: _is_unsigned(name, found))
            operand = next((name for name in operands if _is_bare_conv(name, found)), None)
            if operand is not None:
                chosen[operand] = next(name for name in call.inputs if name != operand)
    return chosen


def _simulate(call: Call, found: Trace, bare: dict[str, str], spec: QuantSpec) -> nn.Module:
    module: Any = call.module
    if call.kind == "input":
        return SimulatedInput(spec)
    if call.kind == "feature_input":
        return SimulatedFeatureInput(module.channels, spec)
    if call.kind == "add":
        return SimulatedAdd(module, spec)
    if call.kind == "concat":
        return SimulatedConcat(module, spec, unsigned=all(_is_unsigned(name, found) for name in call.inputs))
    if call.kind != "conv":
        return call.module
    parts = conv_parts(module)
    if isinstance(parts, str):
        raise QuantizationError(parts, where=call.name)
    is_raw = call.name in found.outputs.values() and not found.readers(call.name)
    return SimulatedConv(parts.conv, parts.bn, parts.act, spec, quantize_output=not is_raw and call.name not in bare)


def _is_unsigned(name: str, found: Trace) -> bool:
    if name == IMAGE:
        return False
    call = found[name]
    if call.kind in {"upsample", "max_pool"}:
        return _is_unsigned(call.inputs[0], found)
    if call.kind == "concat":
        return all(_is_unsigned(each, found) for each in call.inputs)
    if call.kind == "conv":
        parts = conv_parts(call.module)
        return not isinstance(parts, str) and parts.act is not None
    return call.kind == "feature_input" or (call.kind == "add" and getattr(call.module, "act", None) is not None)


def _quantizer(name: str, found: Trace, swapped: dict[str, nn.Module]) -> ActivationQuantizer:
    """Find whose scale a value has."""
    call = found[name]
    if call.kind in TRANSPARENT:
        return _quantizer(call.inputs[0], found, swapped)
    quantizer: ActivationQuantizer | None = getattr(swapped[name], "out_quantizer", None)
    if quantizer is None:
        raise QuantizationError("a layer reads what no quantizer rounds", where=name)
    return quantizer


def _addend(name: str, found: Trace, bare: dict[str, str], swapped: dict[str, nn.Module]) -> ActivationQuantizer | None:
    return _quantizer(bare[name], found, swapped) if name in bare else None


def _output_of(call: Call, module: nn.Module) -> str:
    if call.kind in TRANSPARENT:
        return "as its input"
    quantizer: ActivationQuantizer | None = getattr(module, "out_quantizer", None)
    if quantizer is None:
        return "accumulator"
    return "u8" if quantizer.high == 255 else "s8"
