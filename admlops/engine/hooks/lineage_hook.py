"""Puts the lineage into every checkpoint. ``ReleaseRunner`` registers it: no config can forget it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from admlops.data_release.lineage import lineage_path
from admlops.engine.checkpoint import plain
from admlops.engine.lineage import RunLineage, write_lineage


class LineageHook(Hook):  # type: ignore[misc]
    """Describes each checkpoint inside it and, once it is complete, in a file beside it.

    That file goes when the checkpoint goes: ``CheckpointHook`` keeps the newest ones only, and knows nothing of it.

    Args:
        lineage: Of the run.
    """

    priority = "VERY_HIGH"

    def __init__(self, lineage: RunLineage) -> None:
        self.lineage = lineage
        self._document: dict[str, Any] = {}
        self._pairs: set[Path] = set()

    def before_train(self, runner: Runner) -> None:
        """Collect what the run is made of, and which checkpoints a run before it has left.

        Args:
            runner: The runner.
        """
        if is_main_process():
            self.lineage.of_checkpoint(runner, None)
        self._pairs = {file for file in Path(runner.work_dir).glob("*.pth") if lineage_path(file).is_file()}

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add the lineage.

        Args:
            runner: The runner.
            checkpoint: What is about to be written; changed in place.
        """
        if is_main_process():
            self._document = plain(self.lineage.of_checkpoint(runner, checkpoint["meta"].get("iter")))
            checkpoint["lineage"] = self._document

    def before_replace(self, file: Path) -> None:
        """Withdraw the description of the file that is about to be replaced: a wrong one is worse than none.

        Args:
            file: The checkpoint.
        """
        lineage_path(file).unlink(missing_ok=True)

    def after_save_checkpoint(self, file: Path) -> None:
        """Describe a complete checkpoint, and drop the descriptions of those that are gone.

        Args:
            file: The checkpoint.
        """
        write_lineage(file, self._document)
        self._pairs.add(file)
        for gone in [pair for pair in self._pairs if not pair.exists()]:
            lineage_path(gone).unlink(missing_ok=True)
            self._pairs.remove(gone)
