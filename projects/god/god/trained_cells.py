"""What a checkpoint says of the cells that it was trained on: weights fit any grid, and mean something on one alone."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from admlops.engine.checkpoint import read_checkpoint
from admlops.errors import CheckpointError, ConfigError
from god.geometry import BevGrid
from god.registry import HOOKS

_PATH = ("model", "encoder", "grid")


@HOOKS.register_module()
class TrainedCellsHook(Hook):  # type: ignore[misc]
    """Lets ``require_trained_cells`` see each checkpoint that is tested; files of exports hold their own grid."""

    def before_test(self, runner: Runner) -> None:
        """Look before the first sweep.

        Args:
            runner: The runner; its config says on which cells it tests.

        Raises:
            CheckpointError: The checkpoint was trained on others.
        """
        # What was trained a moment ago may have begun from other cells.
        if runner.cfg.get("train_cfg") is None and Path(runner.loaded_from).suffix == ".pth":
            path, grid = runner.loaded_from, BevGrid.of_config(runner.cfg.model.encoder.grid)
            require_trained_cells(read_checkpoint(path), grid, path)


def require_trained_cells(checkpoint: Mapping[str, Any], grid: BevGrid, path: str | Path) -> None:
    """Refuse to use a network on cells of another side, or another band of heights, than those that it was trained on.

    Other bounds of the same cells are allowed: the network computes the same everywhere, and training itself sees windows.
    A checkpoint that does not say what it was trained on, such as bare weights, passes.

    Args:
        checkpoint: Content of the file.
        grid: Of the network that shall use it.
        path: The file, for the message.

    Raises:
        CheckpointError: They differ.
    """
    trained = trained_grid(checkpoint)
    if trained is not None and _cells(trained) != _cells(grid):
        raise CheckpointError(
            "the checkpoint was trained on other cells than those of the config",
            where=f"{path}: {'.'.join(_PATH)} of the config in it",
            expected=_cells(trained),
            got=f"{_cells(grid)} in the config that was given",
            remedy="give the config that it was trained with (other bounds of the same cells are fine), or train it on"
            " these cells first: tools/train.py CONFIG --load-from CHECKPOINT",
        )


def trained_grid(checkpoint: Mapping[str, Any]) -> BevGrid | None:
    """Read the grid in the config that a checkpoint holds. The text is parsed, never run.

    Args:
        checkpoint: Content of the file.

    Returns:
        The grid; None where there is no config of a lidar network in it.
    """
    text = (checkpoint.get("meta") or {}).get("cfg")
    try:
        statements = ast.parse(text).body if isinstance(text, str) else []
        node = next((each.value for each in statements if isinstance(each, ast.Assign) and _is_named(each, _PATH[0])), None)
        for key in _PATH[1:]:
            node = _entries(node).get(key)
        fields = {key: ast.literal_eval(value) for key, value in _entries(node).items()}
        return BevGrid(**fields) if fields else None
    except (SyntaxError, ValueError, TypeError, ConfigError):
        return None


def _is_named(statement: ast.Assign, name: str) -> bool:
    target = statement.targets[0]
    return isinstance(target, ast.Name) and target.id == name


def _entries(node: ast.expr | None) -> dict[str, ast.expr]:
    """Take ``dict(...)`` or ``{...}`` apart, as ``Config.dump`` writes both."""
    if isinstance(node, ast.Call):
        return {each.arg: each.value for each in node.keywords if each.arg is not None}
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {key.value: value for key, value in pairs if isinstance(key, ast.Constant) and isinstance(key.value, str)}
    return {}


def _cells(grid: BevGrid) -> str:
    # As people read them: 3 * 0.1 is 0.3.
    return f"cells of {grid.cell_m:g} m, heights from {grid.z_min_m:g} to {grid.z_max_m:g} m"
