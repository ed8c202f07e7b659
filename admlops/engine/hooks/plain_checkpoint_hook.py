"""Makes checkpoints complete (sampler state) and safe to load (plain values)."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from admlops.engine.checkpoint import plain
from admlops.engine.release_train_loop import ReleaseTrainLoop
from admlops.registry import HOOKS


@HOOKS.register_module()
class PlainCheckpointHook(Hook):  # type: ignore[misc]
    """Adds the position in the sample stream, and reduces a checkpoint to tensors and plain values.

    Left out are the message hub's histories (smoothing windows of the log) and what schedulers keep besides numbers; a
    resumed run builds both anew. ``after_load_checkpoint`` is left to the runner, which knows whether it resumes.
    """

    priority = "LOWEST"

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Complete and reduce a checkpoint.

        Args:
            runner: The runner.
            checkpoint: What is about to be written; changed in place.
        """
        if isinstance(runner.train_loop, ReleaseTrainLoop):
            checkpoint["sampler"] = runner.train_loop.state_dict()
        hub = checkpoint.pop("message_hub")
        checkpoint["message_hub"] = {
            "log_scalars": {},
            "runtime_info": dict(hub["runtime_info"]),
            "resumed_keys": {},
        }
        for key in list(checkpoint):
            checkpoint[key] = plain(checkpoint[key])
