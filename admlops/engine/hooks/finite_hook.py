"""Ends a training whose numbers are no numbers any more, before it overwrites a checkpoint that is good."""

from __future__ import annotations

import math
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from admlops.errors import ModelError


class FiniteHook(Hook):  # type: ignore[misc]
    """Stops at the first loss that is not finite, and writes no checkpoint whose weights are not.

    ``ReleaseRunner`` registers it: no config can forget it. It reads losses that the log reads too, so it costs no other wait
    for the GPU.

    Args:
        step_name: Name of the step, for the message.
    """

    # Right behind RuntimeInfoHook, and before whatever averages or saves weights.
    priority = "VERY_HIGH"

    def __init__(self, step_name: str) -> None:
        self.step_name = step_name

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Look at the losses.

        Args:
            runner: The runner.
            batch_idx: Unused.
            data_batch: Unused.
            outputs: Losses of the iteration by name.

        Raises:
            ModelError: One is not finite.
        """
        losses = {name: float(torch.as_tensor(value).detach()) for name, value in (outputs or {}).items()}
        bad = {name: value for name, value in losses.items() if not math.isfinite(value)}
        if bad:
            raise ModelError(
                f"training diverged in step {self.step_name}",
                where=f"iteration {runner.iter + 1}",
                expected="finite losses",
                got=", ".join(f"{name} = {value}" for name, value in bad.items()),
                remedy="go on from the last checkpoint (--resume) with a smaller learning rate; checkpoints before this stay",
            )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Look at the weights: a gradient may have ruined them while the loss was still a number.

        Args:
            runner: The runner.
            checkpoint: What is about to be written.

        Raises:
            ModelError: A tensor is not finite.
        """
        for name, tensor in checkpoint["state_dict"].items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise ModelError(
                    f"training diverged in step {self.step_name}",
                    where=f"iteration {runner.iter}",
                    expected="finite weights",
                    got=f"{name} is not",
                    remedy="go on from the last checkpoint (--resume) with a smaller learning rate; this one is not written",
                )
