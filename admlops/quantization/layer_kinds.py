"""Which layers integers know: the one table that a new layer is added to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from admlops.layers import Add, Concat, ConvBnAct, FeatureInput, NetworkInput, UpsampleTo
from admlops.quantization.simulated_layers import (
    SimulatedAdd,
    SimulatedConcat,
    SimulatedConv,
    SimulatedFeatureInput,
    SimulatedInput,
)

LAYER_KINDS: Mapping[type[nn.Module], str] = {
    NetworkInput: "input",
    SimulatedInput: "input",
    FeatureInput: "feature_input",
    SimulatedFeatureInput: "feature_input",
    ConvBnAct: "conv",
    SimulatedConv: "conv",
    nn.Conv2d: "conv",
    Add: "add",
    SimulatedAdd: "add",
    Concat: "concat",
    SimulatedConcat: "concat",
    UpsampleTo: "upsample",
    nn.MaxPool2d: "max_pool",
    nn.ReLU: "relu",
    nn.Identity: "identity",
    nn.Dropout: "identity",
    nn.Dropout2d: "identity",
}
"""Kind by exact type: a subclass may compute something else. Also ``ConvModule`` of mmcv, by name, as "conv"."""


INPUT_KINDS = frozenset({"input", "feature_input"})
"""Where a network begins: with a picture, or with a map of features."""


@dataclass(frozen=True)
class ConvParts:
    """A convolution with what follows it.

    Attributes:
        conv: The convolution.
        bn: The normalisation, or None.
        act: The ReLU, or None.
    """

    conv: nn.Conv2d
    bn: nn.BatchNorm2d | None
    act: nn.ReLU | None


def kind_of(module: nn.Module) -> str | None:
    """Look up the kind of a layer.

    Args:
        module: A module.

    Returns:
        Its kind; None where it is no layer that integers know, but perhaps made of such.
    """
    kind = LAYER_KINDS.get(type(module))
    if kind is None and _is_conv_module(module):
        return "conv"
    return kind


def conv_parts(module: nn.Module) -> ConvParts | str:
    """Take a convolution unit apart.

    Args:
        module: A module of kind ``conv``.

    Returns:
        Its parts, or why integers cannot compute it.
    """
    unit: Any = module
    if isinstance(module, nn.Conv2d):
        conv, bn, act = module, None, None
    elif isinstance(module, ConvBnAct | SimulatedConv):
        conv, bn, act = unit.conv, unit.bn, unit.act
    else:
        if tuple(unit.order) != ("conv", "norm", "act") or unit.with_explicit_padding or unit.with_spectral_norm:
            return "only ConvModules in the order conv, norm, act with zero padding and without spectral norm fit"
        conv, bn, act = unit.conv, unit.norm if unit.with_norm else None, unit.activate if unit.with_activation else None
    if type(conv) is not nn.Conv2d or conv.padding_mode != "zeros" or isinstance(conv.padding, str):
        return f"{type(conv).__name__} is no plain convolution with zeros around it"
    if bn is not None and not (isinstance(bn, nn.BatchNorm2d) and bn.affine and bn.track_running_stats):
        return f"{type(bn).__name__} cannot be absorbed: use BN with running statistics (norm_cfg=dict(type='BN'))"
    if act is not None and type(act) is not nn.ReLU:
        return f"{type(act).__name__} is an activation that integers lack: use ReLU (act_cfg=dict(type='ReLU'))"
    return ConvParts(conv, bn, act)


def _is_conv_module(module: nn.Module) -> bool:
    return type(module).__name__ == "ConvModule" and type(module).__module__.startswith("mmcv.")
