"""mmengine's Runner with checkpoints that are written whole, read safely and resumed in place."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, Runner
from torch import nn

from admlops.engine.checkpoint import check_start, fitting, refusals_explained, safe_globals
from admlops.engine.hooks.finite_hook import FiniteHook
from admlops.engine.hooks.lineage_hook import LineageHook
from admlops.engine.hooks.quantization_hook import QuantizationHook
from admlops.engine.hooks.silent_branch_hook import SilentBranchHook
from admlops.engine.lineage import RunLineage
from admlops.engine.release_train_loop import ReleaseTrainLoop
from admlops.engine.require_clean import require_clean
from admlops.engine.steps import NetworkState, current_step, shape_network, start_step, state_of_step
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

    A quantized step (``admlops.engine.steps``) has its network before optimizer and DDP are built.

    Attributes:
        lineage: What the run is made of.
        step: The step of the config that it runs.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        cfg = kwargs.get("cfg")
        if cfg is not None and cfg.get("require_clean"):
            require_clean(cfg)  # before the work dir is made
        self.step = current_step(Config() if cfg is None else cfg)
        self.lineage = RunLineage(Path(kwargs.get("work_dir") or args[1]).absolute())
        self._lineage_hook = LineageHook(self.lineage)
        self._fitted: frozenset[str] = frozenset()
        super().__init__(*args, **kwargs)
        self.register_hook(self._lineage_hook)
        self.register_hook(FiniteHook(self.step.name))
        self.register_hook(SilentBranchHook())
        if self.step.observers is not None:
            self.register_hook(QuantizationHook(self.step.name, **asdict(self.step.observers)))

    @property
    def network(self) -> nn.Module:
        """The network itself, also where DDP wraps it."""
        network: nn.Module = self.model.module if is_model_wrapper(self.model) else self.model
        return network

    def build_model(self, model: nn.Module | dict[str, Any]) -> Any:
        """Build the network; that of a quantized step gets the weights that it starts from, since absorbing BN needs them.

        Args:
            model: As in mmengine.

        Returns:
            The network.

        Raises:
            CheckpointError: There is nothing to start from, or it does not fit.
        """
        network: Any = super().build_model(model)
        self._state = state_of_step(self.cfg, network)
        if self.step.spec is None:
            return network
        if self.cfg.get("resume"):
            shape_network(network, self._state)
        else:
            path = str(self.cfg.get("load_from"))
            self._note_loaded(path, start_step(network, self._state, str(self.step.previous), path))
        return network

    def _init_model_weights(self) -> None:
        # The weights of a quantized step are there, and its BN is folded into them.
        if self.step.spec is None:
            super()._init_model_weights()

    def load_or_resume(self) -> None:
        """Load or resume a checkpoint; a quantized step has loaded the one that it starts from.

        Raises:
            CheckpointError: It cannot be loaded, or a training would start on random weights where learned ones were meant.
        """
        resumes = self.cfg.get("resume")
        if self.step.spec is None or resumes:
            super().load_or_resume()
        if self.step.spec is None and not resumes and self._train_loop is not None:
            check_start(self.network, self._fitted, self._load_from)

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
        if self.step.index > 0:
            # Each step has other values, and its checkpoints lie in the same folder.
            name = f"{Path(name).stem}-{self.step.name}.py"
        text = self.cfg.pretty_text
        self.lineage.note_config(self.cfg.filename, text, name)
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
        kwargs["meta"] = {**(kwargs.get("meta") or {}), "step": self._state.to_meta()}
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
            CheckpointError: Missing, truncated, unsafe, or of a quantized step although this one is float.
        """
        if "://" not in filename and not Path(filename).is_file():
            raise CheckpointError("no such checkpoint", where=filename, remedy="check the path that was given")
        with safe_globals(), refusals_explained(filename):
            checkpoint: dict[str, Any] = super().load_checkpoint(filename, map_location, *args, **kwargs)
        state = NetworkState.of_checkpoint(checkpoint)
        if self.step.spec is None and state.quantization is not None:
            raise CheckpointError(
                f"step {self.step.name} trains in float, and the checkpoint's BN layers are absorbed",
                where=filename,
                expected="a float checkpoint",
                got=f"one of step {state.step}",
                remedy="run the steps in the order of the config's solver",
            )
        self._fitted = fitting(self.network, checkpoint.get("state_dict", checkpoint))
        self.loaded_sampler_state = checkpoint.get("sampler")
        self._note_loaded(filename, checkpoint)
        return checkpoint

    def _note_loaded(self, filename: str, checkpoint: dict[str, Any]) -> None:
        self.loaded_from = str(filename)
        if is_main_process():
            self.lineage.note_loaded(filename, checkpoint)

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
