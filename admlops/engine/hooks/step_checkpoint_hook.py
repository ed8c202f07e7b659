"""Names the checkpoints of a training step: ``with-bn-init.pth``, ``with-bn-last.pth``."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner

from admlops.registry import HOOKS


@HOOKS.register_module()
class StepCheckpointHook(Hook):  # type: ignore[misc]
    """Saves the network as a step begins and as it ends; those in between are ``CheckpointHook``'s.

    Args:
        step_name: Name of the step in ``solver``, such as ``with-bn``.
    """

    # After EMAHook, so that the last checkpoint holds the averaged weights of the last iteration.
    priority = "VERY_LOW"

    def __init__(self, step_name: str = "with-bn") -> None:
        self.step_name = step_name

    def before_train(self, runner: Runner) -> None:
        """Save what training starts from.

        Args:
            runner: The runner.
        """
        if runner.iter == 0:
            self._save(runner, "init", iterations=0)

    def after_train(self, runner: Runner) -> None:
        """Save what training ends with.

        Args:
            runner: The runner.
        """
        self._save(runner, "last", iterations=runner.iter)

    def _save(self, runner: Runner, suffix: str, iterations: int) -> None:
        runner.save_checkpoint(
            runner.work_dir,
            f"{self.step_name}-{suffix}.pth",
            meta={"epoch": runner.epoch, "iter": iterations},
            by_epoch=False,
        )
