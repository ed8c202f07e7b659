"""The training loop: counts samples, not loader calls, so that a run can stop and go on anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.dist import broadcast, get_rank, get_world_size
from mmengine.runner import BaseLoop, Runner
from torch.utils.data import DataLoader

from admlops.errors import CheckpointError, ConfigError
from admlops.registry import LOOPS


@LOOPS.register_module()
class ReleaseTrainLoop(BaseLoop):  # type: ignore[misc]
    """Iteration-based training over the infinite, resumable stream of a ``ReleaseSampler``.

    mmengine's ``IterBasedTrainLoop`` replays every past batch on resume (open-mmlab/mmengine#1520) and pauses two seconds
    at each end of the data; here the sampler is set to the first sample that no finished step has consumed.

    Args:
        runner: The runner.
        dataloader: Loader, or its config; its sampler must be a ``ReleaseSampler``.
        max_iters: Iterations to train.
        val_interval: Iterations between two validations; one more follows the last iteration.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader[Any] | dict[str, Any],
        max_iters: int,
        val_interval: int = 1000,
    ) -> None:
        super().__init__(runner, dataloader)
        for name, value in (("max_iters", max_iters), ("val_interval", val_interval)):
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"train_cfg.{name} is unusable", expected="a positive integer", got=repr(value))
        self.sampler = self.dataloader.sampler
        if not hasattr(self.sampler, "set_samples_consumed"):
            raise ConfigError(
                "ReleaseTrainLoop needs a sampler that can start anywhere",
                where="train_dataloader.sampler",
                expected="dict(type=ReleaseSampler, ...)",
                got=type(self.sampler).__name__,
            )
        mixed_for = getattr(self.sampler, "global_batch_size", None)
        if mixed_for is not None and mixed_for != self.global_batch_size:
            raise ConfigError(
                "the mix is made for batches of another size, so its ratio would not hold in any of them",
                where="train_dataloader.sampler.mix.global_batch_size",
                expected=f"{self.global_batch_size}: batch_size x processes",
                got=mixed_for,
            )
        self._max_iters = max_iters
        self.val_interval = val_interval
        self.stop_training = False
        self._iter = 0
        self._epoch = 0
        self.samples_consumed = 0
        runner.visualizer.dataset_meta = getattr(self.dataloader.dataset, "metainfo", None)

    @property
    def max_epochs(self) -> int:
        """Epochs that the run will have started."""
        return -(-self._max_iters * self.global_batch_size // self.epoch_length)

    @property
    def max_iters(self) -> int:
        """Iterations to train."""
        return self._max_iters

    @property
    def epoch(self) -> int:
        """Passes over the release that are complete."""
        return int(self.samples_consumed // self.epoch_length)

    @property
    def iter(self) -> int:
        """Iterations that are complete."""
        return self._iter

    @property
    def global_batch_size(self) -> int:
        """Samples of one iteration over all ranks."""
        return int(self.dataloader.batch_size) * int(get_world_size())

    @property
    def epoch_length(self) -> int:
        """Samples of one pass over the release, duplicates counted."""
        return max(1, len(self.dataloader.dataset))

    def state_dict(self) -> dict[str, Any]:
        """Describe the position in the sample stream after the iteration that is about to be counted.

        Returns:
            The sampler's state, to be saved in a checkpoint.
        """
        return dict(self.sampler.state_dict())

    def load_state_dict(self, state: Mapping[str, Any] | None) -> None:
        """Go to a saved position.

        Args:
            state: What ``state_dict`` gave.

        Raises:
            CheckpointError: The checkpoint holds no such state.
        """
        if state is None:
            raise CheckpointError(
                "the checkpoint does not say which samples it has seen",
                expected="a checkpoint of this project's training",
                got="no 'sampler' in it",
                remedy="start a new run from its weights with load_from instead of resuming it",
            )
        self.sampler.load_state_dict(dict(state))
        self.samples_consumed = int(state["samples_consumed"])

    def run(self) -> torch.nn.Module:
        """Train.

        Returns:
            The trained network.

        Raises:
            ConfigError: A parameter schedule counts epochs.
        """
        runner = self.runner
        _refuse_epoch_schedules(runner.param_schedulers)
        runner.call_hook("before_train")
        runner.call_hook("before_train_epoch")
        self.sampler.set_samples_consumed(self.samples_consumed)
        batches = iter(self.dataloader)
        while self._iter < self._max_iters and not self.stop_training:
            runner.model.train()
            self.run_iter(next(batches))
            due = self._iter % self.val_interval == 0 or self._iter == self._max_iters
            if runner.val_loop is not None and due:
                # DDP shares BN's statistics before a forward; each rank has since added its own batch to them.
                for buffer in runner.model.buffers():
                    broadcast(buffer)
                runner.val_loop.run()
        del batches
        runner.call_hook("after_train_epoch")
        runner.call_hook("after_train")
        model: torch.nn.Module = runner.model
        return model

    def run_iter(self, data_batch: Sequence[dict[str, Any]]) -> None:
        """Train on one batch.

        Args:
            data_batch: What the loader gave.
        """
        runner = self.runner
        # A function of the position alone, so that dropout repeats itself after a resume.
        torch.manual_seed(hash((runner.seed, self._iter, get_rank())) & 0x7FFFFFFF)
        runner.call_hook("before_train_iter", batch_idx=self._iter, data_batch=data_batch)
        outputs = runner.model.train_step(data_batch, optim_wrapper=runner.optim_wrapper)
        # Before the hooks, since a checkpoint written by one of them includes this iteration.
        self.samples_consumed += self.global_batch_size
        self.sampler.set_samples_consumed(self.samples_consumed)
        runner.call_hook("after_train_iter", batch_idx=self._iter, data_batch=data_batch, outputs=outputs)
        self._iter += 1


def _refuse_epoch_schedules(schedulers: Any) -> None:
    """Raise where a schedule would never step, since this loop has no epochs; mmengine's schedules count them by default."""
    for group in schedulers.values() if isinstance(schedulers, Mapping) else [schedulers or []]:
        for number, scheduler in enumerate(group):
            # A plateau schedule steps at validations, whatever it counts.
            if scheduler.by_epoch and not getattr(scheduler, "need_val_args", False):
                raise ConfigError(
                    f"{type(scheduler).__name__} counts epochs, and this loop counts iterations: it would never step",
                    where=f"param_scheduler.{number}",
                    expected="by_epoch=False",
                    got="by_epoch=True, which is mmengine's default",
                    remedy="give begin, end and milestones in iterations, or add convert_to_iter_based=True",
                )
