"""mmengine's Runner with checkpoints that are written whole, read safely and resumed in place."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, Runner
from torch import nn

from admlops.engine.checkpoint import refusals_explained, safe_globals
from admlops.engine.hooks.lineage_hook import LineageHook
from admlops.engine.lineage import RunLineage
from admlops.engine.release_train_loop import ReleaseTrainLoop
from admlops.engine.require_clean import require_clean
from admlops.errors import CheckpointError, ConfigError
from admlops.registry import RUNNERS


@RUNNERS.register_module()
class ReleaseRunner(Runner):  # type: ignore[misc]
    """Runner of all tools.

    Every checkpoint tells what it was made of, see ``LineageHook``. Where its config says ``require_clean=True``, it refuses
    what could not be proved afterwards.

    Args:
        *args: As ``mmengine.runner.Runner`` takes them.
        **kwargs: As ``mmengine.runner.Runner`` takes them.

    Attributes:
        lineage: What the run is made of.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        cfg = kwargs.get("cfg")
        if cfg is not None and cfg.get("require_clean"):
            require_clean(cfg)  # before the work dir is made
        self.lineage = RunLineage(Path(kwargs.get("work_dir") or args[1]).absolute())
        self._lineage_hook = LineageHook(self.lineage)
        super().__init__(*args, **kwargs)
        self.register_hook(self._lineage_hook)

    @property
    def network(self) -> nn.Module:
        """The network itself, also where DDP wraps it."""
        network: nn.Module = self.model.module if is_model_wrapper(self.model) else self.model
        return network

    def build_train_loop(self, loop: BaseLoop | dict[str, Any]) -> BaseLoop:
        """Build the training loop.

        Args:
            loop: As in mmengine.

        Returns:
            The loop.

        Raises:
            ConfigError: Its first epoch would never end.
        """
        built = super().build_train_loop(loop)
        if isinstance(built, EpochBasedTrainLoop) and hasattr(built.dataloader.sampler, "set_samples_consumed"):
            raise ConfigError(
                "a loop over epochs needs a sampler that ends, and a ReleaseSampler does not",
                where="train_cfg",
                expected="dict(type=ReleaseTrainLoop, max_iters=, val_interval=)",
                got=type(built).__name__,
            )
        return built

    def dump_config(self) -> None:
        """Write the config into the work dir; without training beside the log, since the work dir's tells what was trained."""
        name = Path(self.cfg.filename).name if self.cfg.filename else f"{self.timestamp}.py"
        text = self.cfg.pretty_text
        self.lineage.note_config(self.cfg.filename, text)
        if is_main_process():
            folder = Path(self.log_dir if self._train_loop is None else self.work_dir)
            (folder / name).write_text(text, encoding="utf-8")

    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **kwargs: Any) -> None:
        """Save a checkpoint under a temporary name, then rename it: a killed run leaves no torn file.

        Args:
            out_dir: Folder.
            filename: Name in it.
            *args: As in mmengine.
            **kwargs: As in mmengine.
        """
        partial = f".{filename}.part"
        super().save_checkpoint(out_dir, partial, *args, **kwargs)
        part = Path(out_dir) / partial
        # Only the main process writes; another one that looked would find the file half written, and rename it.
        if is_main_process() and part.is_file():
            with part.open("rb") as handle:
                os.fsync(handle.fileno())
            file = Path(out_dir) / filename
            self._lineage_hook.before_replace(file)
            part.replace(file)
            self._lineage_hook.after_save_checkpoint(file)

    def load_checkpoint(
        self, filename: str, map_location: str | Callable[..., Any] = "cpu", *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Load weights with ``weights_only`` on.

        Args:
            filename: Checkpoint.
            map_location: Device of its tensors.
            *args: As in mmengine.
            **kwargs: As in mmengine.

        Returns:
            The checkpoint.

        Raises:
            CheckpointError: Missing, truncated or unsafe.
        """
        if "://" not in filename and not Path(filename).is_file():
            raise CheckpointError("no such checkpoint", where=filename, remedy="check the path that was given")
        with safe_globals(), refusals_explained(filename):
            checkpoint: dict[str, Any] = super().load_checkpoint(filename, map_location, *args, **kwargs)
        self.loaded_sampler_state = checkpoint.get("sampler")
        self.loaded_from = str(filename)
        if is_main_process():
            self.lineage.note_loaded(filename, checkpoint)
        return checkpoint

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """Resume network, optimizer, schedules and the position in the sample stream.

        Args:
            filename: Checkpoint.
            *args: As in mmengine.
            **kwargs: As in mmengine.
        """
        super().resume(filename, *args, **kwargs)
        if is_main_process():
            self.lineage.note_resumed()
        if isinstance(self.train_loop, ReleaseTrainLoop):
            self.train_loop.load_state_dict(self.loaded_sampler_state)
