"""Statistics of batch normalisations over data of one's choice, computed at once instead of running along.

Wu and Johnson, "Rethinking 'Batch' in BatchNorm", arXiv 2105.07576 (precise statistics); Li et al., "Revisiting Batch
Normalization For Practical Domain Adaptation", arXiv 1603.04779 (AdaBN: those of the domain that a network works in).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias

import torch
from mmengine import dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Statistics: TypeAlias = dict[str, tuple[Tensor, Tensor]]


def read_statistics(network: nn.Module) -> Statistics:
    """Copy the running statistics.

    Args:
        network: Any.

    Returns:
        Mean and variance, (C,) each, by name of the layer.
    """
    return {name: (bn.running_mean.clone(), bn.running_var.clone()) for name, bn in _layers(network)}


def write_statistics(network: nn.Module, statistics: Mapping[str, tuple[Tensor, Tensor]]) -> None:
    """Set running statistics; layers that are not named keep theirs.

    Args:
        network: Changed in place.
        statistics: Mean and variance by name of the layer.
    """
    layers = dict(_layers(network))
    for name, (mean, variance) in statistics.items():
        layers[name].running_mean.copy_(mean)
        layers[name].running_var.copy_(variance)


@torch.no_grad()
def estimate_statistics(network: nn.Module, runs: Iterator[Callable[[nn.Module], Any]]) -> Statistics:
    """Compute mean and variance of each layer's input over all pixels of all batches of all ranks, as if of one batch.

    Every layer normalises by the statistics of the batch meanwhile, as in training; all else is in eval mode. The network is
    left as it was.

    Args:
        network: Its layers that ``train()`` leaves in eval mode, frozen ones, are left out.
        runs: Each puts one batch through the network.

    Returns:
        Mean and unbiased variance, (C,) float32 each, by name of the layer.
    """
    sums: dict[str, Tensor] = {}
    with _only_batch_norm_trains(network) as layers:
        handles = [bn.register_forward_pre_hook(partial(_add_input, sums, name)) for name, bn in layers]
        try:
            for run in runs:
                run(network)
        finally:
            for handle in handles:
                handle.remove()
    statistics = {}
    for name, total in sums.items():
        if dist.get_world_size() > 1:
            dist.all_reduce(total)
        count, mean = total[0], total[1] / total[0]
        variance = (total[2] / count - mean.square()) * count / (count - 1).clamp(min=1)
        statistics[name] = (mean.float(), variance.float())
    return statistics


def _layers(network: nn.Module) -> list[tuple[str, Any]]:
    found = ((name, module) for name, module in network.named_modules() if isinstance(module, _BatchNorm))
    return [(name, bn) for name, bn in found if bn.running_mean is not None]


@contextmanager
def _only_batch_norm_trains(network: nn.Module) -> Iterator[list[tuple[str, Any]]]:
    modes = [(module, module.training) for module in network.modules()]
    network.train()
    layers = [(name, bn) for name, bn in _layers(network) if bn.training]
    network.eval()
    for _, bn in layers:
        # Normalises by the batch without moving what runs along.
        bn.training, bn.track_running_stats = True, False
    try:
        yield layers
    finally:
        for _, bn in layers:
            bn.track_running_stats = True
        for module, mode in modes:
            module.training = mode


def _add_input(sums: dict[str, Tensor], name: str, _bn: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    feat_BCHW = inputs[0].float()
    variance, mean = torch.var_mean(feat_BCHW, dim=[axis for axis in range(feat_BCHW.ndim) if axis != 1], correction=0)
    # Single precision would lose the variance of what is far from 0.
    variance, mean = variance.double(), mean.double()
    count = torch.full_like(mean, feat_BCHW.numel() // feat_BCHW.shape[1])
    sums[name] = sums.get(name, 0) + torch.stack([count, count * mean, count * (variance + mean.square())])
