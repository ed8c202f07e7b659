"""Shows a branch's loss only where it was computed (stale values look like learning)."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from admlops.registry import HOOKS


@HOOKS.register_module()
class BranchLossHook(Hook):  # type: ignore[misc]
    """Marks losses that an iteration did not compute as absent from the log's averaging window.

    mmengine averages the last n values that a loss ever had, also when the branch was last labelled long ago. An entry
    of count 0 takes the iteration's place in the window without weight; a window without any labelled iteration
    averages to nan, which ``BranchLogProcessor`` leaves out.
    """

    # After RuntimeInfoHook, which records the losses that were computed, and before LoggerHook.
    priority = "NORMAL"

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Fill in what was not computed.

        Args:
            runner: The runner.
            batch_idx: Index of the iteration.
            data_batch: Unused.
            outputs: Losses of the iteration by name.
        """
        computed = {f"train/{name}" for name in outputs or {}}
        for name, history in runner.message_hub.log_scalars.items():
            if name.startswith("train/") and ".loss" in name and name not in computed:
                history.update(0.0, 0)
