"""Parameters and multiply-accumulates of a network and of each of its modules, counted in one forward pass.

What counts as a MAC: one multiplication with a weight in a convolution or a linear layer. Batch normalisation (folded into the
convolution before deployment), biases, sums, pooling and resizing count as nothing, as in the papers that we compare with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd


@dataclass(frozen=True)
class Complexity:
    """Size and cost of one module, its children included.

    Attributes:
        num_parameters: Weights and biases; shared ones count once.
        macs: Multiply-accumulates of one forward pass with the given inputs, over the whole batch.
    """

    num_parameters: int
    macs: int


def count_complexity(
    module: nn.Module, inputs: Tensor | Sequence[Any], forward_kwargs: Mapping[str, Any] | None = None
) -> dict[str, Complexity]:
    """Count parameters and MACs of a module and of all modules inside it.

    The pass runs in eval mode without gradients; modes and buffers are afterwards as they were. A module that is used twice
    costs twice; one that is not used costs nothing but its parameters.

    Args:
        module: Any network or part of one.
        inputs: The input, or the sequence of positional inputs; pass a batch of one for the cost of a picture.
        forward_kwargs: Keyword arguments of the forward, such as ``dict(mode="tensor")``.

    Returns:
        Dotted module name -> counts, in definition order; ``""`` is the module itself.
    """
    names = {child: name for name, child in module.named_modules()}
    own_macs = dict.fromkeys(names.values(), 0)

    def hook_for(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def count(child: nn.Module, args: Any, output: Any) -> None:
            own_macs[name] += _weight_macs(child, args[0], output)

        return count

    modes = [(child, child.training) for child in names]
    hooks = [
        child.register_forward_hook(hook_for(name)) for child, name in names.items() if isinstance(child, (_ConvNd, nn.Linear))
    ]
    try:
        module.eval()
        with torch.no_grad():
            module(*((inputs,) if isinstance(inputs, Tensor) else inputs), **(forward_kwargs or {}))
    finally:
        for hook in hooks:
            hook.remove()
        for child, mode in modes:
            child.training = mode
    return {
        name: Complexity(
            num_parameters=sum(parameter.numel() for parameter in child.parameters()),
            macs=sum(own_macs[names[inner]] for inner in child.modules()),
        )
        for child, name in names.items()
    }


def _weight_macs(module: nn.Module, feat: Tensor, output: Tensor) -> int:
    """Each output value is a sum over a window; transposed: each input value is spread over one."""
    if isinstance(module, _ConvTransposeNd):
        return feat.numel() * (module.out_channels // module.groups) * prod(module.kernel_size)
    if isinstance(module, _ConvNd):
        return output.numel() * (module.in_channels // module.groups) * prod(module.kernel_size)
    if isinstance(module, nn.Linear):
        return output.numel() * module.in_features
    return 0
