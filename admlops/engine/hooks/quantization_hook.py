"""What a quantized step does besides training: finds the ranges of activations, and shows what it starts with."""

from __future__ import annotations

from itertools import islice
from typing import Any

import torch
from mmengine import dist
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from admlops.quantization import calibrating, quantizers, set_observing, uncalibrated


class QuantizationHook(Hook):  # type: ignore[misc]
    """Calibrates a network without ranges, validates it before its first iteration, and stops the ranges near the end.

    Args:
        step_name: Name of the step.
        calibration_batches: Training batches of each process that calibration looks at.
        observe_until: Part of the iterations after which the ranges stand still.
    """

    # Before EMAHook, which copies the network: the copy needs the ranges too.
    priority = "ABOVE_NORMAL"

    def __init__(self, step_name: str, calibration_batches: int, observe_until: float) -> None:
        self.step_name = step_name
        self.calibration_batches = calibration_batches
        self.observe_until = observe_until

    def before_run(self, runner: Runner) -> None:
        """Find the ranges that the network lacks; a resumed training has them in its checkpoint.

        Args:
            runner: The runner.
        """
        network = runner.network
        if runner.cfg.get("resume") or not uncalibrated(network):
            return
        loader = runner.build_dataloader(dict(runner.cfg.train_dataloader, persistent_workers=False), seed=runner.seed)
        was_training = network.training
        network.eval()
        with torch.no_grad(), calibrating(network):
            for batch in islice(loader, self.calibration_batches):
                network(network.data_preprocessor(batch, training=True)["inputs"], mode="tensor")
        network.train(was_training)
        found = list(quantizers(network))
        for _, quantizer in found:
            dist.all_reduce(quantizer.amax, "max")
        print_log(f"{self.step_name}: {len(found)} ranges from {self.calibration_batches} batches", logger="current")

    def before_train(self, runner: Runner) -> None:
        """Validate what the step starts with: a jump against the step before shows here, not after hours.

        Args:
            runner: The runner.
        """
        if runner.iter == 0 and runner.val_loop is not None:
            print_log(f"{self.step_name}: validation before the first iteration", logger="current")
            runner.val_loop.run()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Let ranges move, or not any more.

        Args:
            runner: The runner.
            batch_idx: Unused.
            data_batch: Unused.
        """
        set_observing(runner.network, runner.iter < self.observe_until * runner.max_iters)
