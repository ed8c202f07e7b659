"""Batch normalisation with running statistics, as weight and bias of the convolution before it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from admlops.errors import QuantizationError


def bn_factor(bn: nn.BatchNorm2d) -> Tensor:
    """Compute what the running statistics multiply each channel with.

    Args:
        bn: The normalisation.

    Returns:
        (O,) ``gamma / sigma``.

    Raises:
        QuantizationError: It keeps no running statistics.
    """
    return bn.weight / torch.sqrt(_running(bn.running_var) + bn.eps)


def fold_bn(conv: nn.Conv2d, bn: nn.BatchNorm2d | None) -> tuple[Tensor, Tensor]:
    """Fold the running statistics into weight and bias.

    Args:
        conv: The convolution.
        bn: Its normalisation, or None.

    Returns:
        Weight (O, I, H, W) and bias (O,).

    Raises:
        QuantizationError: BN keeps no running statistics.
    """
    bias_O = torch.zeros(len(conv.weight), device=conv.weight.device) if conv.bias is None else conv.bias
    if bn is None:
        return conv.weight, bias_O
    factor_O = bn_factor(bn)
    return conv.weight * factor_O.view(-1, 1, 1, 1), bn.bias + (bias_O - _running(bn.running_mean)) * factor_O


def _running(statistic: Tensor | None) -> Tensor:
    if statistic is None:
        raise QuantizationError("a BN layer without running statistics cannot be absorbed", remedy="track_running_stats=True")
    return statistic
