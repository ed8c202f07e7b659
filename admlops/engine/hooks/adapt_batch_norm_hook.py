"""Gives the network that is evaluated and deployed the BN statistics of chosen sources, and of its averaged weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

import torch
from mmengine.hooks import EMAHook, Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import nn

from admlops.engine.batch_norm_statistics import Statistics, estimate_statistics, read_statistics, write_statistics
from admlops.errors import ConfigError
from admlops.registry import HOOKS


@HOOKS.register_module()
class AdaptBatchNormHook(Hook):  # type: ignore[misc]
    """Before each validation and after training, replaces running BN statistics by those of some sources.

    A running average mixes all sources that a network trains on, and the weights of the last thousand iterations. This takes
    the averaged weights (``EMAHook``) and images of the training release as training sees them, and computes mean and variance
    over all their pixels. What carries them: the network while it is validated, and the ``state_dict`` of the checkpoint that
    training ends with (``with-bn-last.pth``), with ``EMAHook`` also of a best one; ``tools/test.py`` and every export use them
    as they are. Training itself goes on with its own. Frozen layers keep theirs.

    Args:
        sources: Names of entries of the training release, drawn equally often; ``None`` takes the training's own mix.
        num_batches: Training batches of each process.

    Raises:
        ConfigError: No batches; when training starts, also an unknown source.
    """

    # Before EMAHook: what it averages is read from its copy, and written into both before it swaps weights or saves.
    priority = "ABOVE_NORMAL"

    def __init__(self, sources: Sequence[str] | None = None, num_batches: int = 50) -> None:
        if num_batches < 1:
            raise ConfigError("num_batches is unusable", where="AdaptBatchNormHook", expected="at least 1", got=num_batches)
        self.sources = sources
        self.num_batches = num_batches
        self._loader: Any = None
        self._training: Statistics = {}
        self._estimated: tuple[int, Statistics] | None = None

    def before_train(self, runner: Runner) -> None:
        """Open the data, so that a wrong name is found before hours of training.

        Args:
            runner: The runner.
        """
        config = dict(runner.cfg.train_dataloader, persistent_workers=False)
        if self.sources is not None:
            config["sampler"] = {**config["sampler"], "mix": {"sources": dict.fromkeys(self.sources, 1)}}
        self._loader = runner.build_dataloader(config, seed=runner.seed)

    def before_val_epoch(self, runner: Runner) -> None:
        """Adapt the network for a validation; one outside training is left as it is.

        Args:
            runner: The runner.
        """
        if self._loader is None:
            return
        statistics = self._estimate(runner)
        self._training = read_statistics(runner.network)
        write_statistics(runner.network, statistics)
        # Until the next iteration, a checkpoint gets its buffers from here.
        write_statistics(_averaged(runner), statistics)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Put the training's own statistics back.

        Args:
            runner: The runner.
            metrics: Unused.
        """
        write_statistics(runner.network, self._training)

    def after_train(self, runner: Runner) -> None:
        """Adapt what the last checkpoint will hold.

        Args:
            runner: The runner.
        """
        write_statistics(_averaged(runner), self._estimate(runner))

    def _estimate(self, runner: Runner) -> Statistics:
        # A validation follows the last iteration.
        if self._estimated is None or self._estimated[0] != runner.iter:
            statistics = estimate_statistics(_averaged(runner), islice(self._runs(), self.num_batches))
            self._estimated = (runner.iter, statistics)
            images = f"{self.num_batches} batches of {', '.join(self.sources or ['all sources'])}"
            print_log(f"statistics of {len(statistics)} BN layers from {images}", logger="current")
        return self._estimated[1]

    def _runs(self) -> Iterator[Callable[[nn.Module], Any]]:
        for batch in self._loader:
            yield partial(_run, batch)


def _averaged(runner: Runner) -> nn.Module:
    """The network as checkpoints hold it."""
    averages = [hook.ema_model.module for hook in runner.hooks if isinstance(hook, EMAHook)]
    network: nn.Module = averages[0] if averages else runner.network
    return network


def _run(batch: dict[str, Any], network: Any) -> None:
    inputs: torch.Tensor = network.data_preprocessor(batch, training=True)["inputs"]
    network(inputs, mode="tensor")
