"""From a config file and command-line options to a config that can run."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from admlops.engine.config_check import (
    RUNNER_KEYS,
    addable_keys,
    check_config,
    config_paths,
)
from admlops.errors import ConfigError, nearest
from admlops.project import find_in_project, project_root

FLOAT_STEP = "with-bn"
"""Name of the only step of a config without ``solver``, and of checkpoints that do not say."""


def load_config(
    path: str | Path, options: Mapping[str, Any] | None = None, work_dir: str | Path | None = None, step: int = 0
) -> Config:
    """Load a config, apply the command line's options and a training step, and check every key.

    Args:
        path: Config file.
        options: Values by dotted path, see ``parse_options``.
        work_dir: Where results go; by default ``work_dirs/<folder of the config, or plug-in>/<its name>``.
        step: Index into ``solver``: its values replace the config's own.

    Returns:
        The config.

    Raises:
        ConfigError: No such file, an option or a key that nobody reads.
    """
    file = find_in_project(path)
    if not file.is_file():
        root = project_root()
        siblings = [str(p.relative_to(root)) for at in ("configs/*/*.py", "projects/*/configs/*.py") for p in root.glob(at)]
        raise ConfigError("no such config", where=file, remedy=nearest(str(file), siblings))
    cfg = Config.fromfile(file)
    for option, value in (options or {}).items():
        _check_option(cfg, option, value, step)
    if options:
        # mmengine merges dicts; an option takes the place of what was there.
        cfg.merge_from_dict(
            {option: {**value, "_delete_": True} if isinstance(value, Mapping) else value for option, value in options.items()}
        )
    check_config(cfg)
    apply_step(cfg, step)
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        loader = cfg.get(name)
        if loader and not loader.get("num_workers"):
            # PyTorch refuses what only worker processes could use.
            loader.pop("prefetch_factor", None)
            loader.persistent_workers = False
    if work_dir is not None:
        cfg.work_dir = str(work_dir)
    elif cfg.get("work_dir") is None:
        # Two networks may have configs of the same name; a plug-in keeps its own in projects/<name>/configs.
        folder = file.resolve().parent
        cfg.work_dir = str(Path("work_dirs") / (folder.parent if folder.name == "configs" else folder).name / file.stem)
    return cfg


def apply_step(cfg: Config, step: int) -> None:
    """Make the values of one training step the config's own.

    Args:
        cfg: A config, changed in place; without ``solver`` it is its own only step.
        step: Index into ``solver``.

    Raises:
        ConfigError: No such step.
    """
    cfg.step = step
    solver = cfg.get("solver") or [{"name": FLOAT_STEP}]
    if not 0 <= step < len(solver):
        raise ConfigError(
            f"the config has no step {step}",
            where=cfg.filename,
            expected=", ".join(f"{i} {entry['name']}" for i, entry in enumerate(solver)),
            remedy="add it to the solver: `quantized_steps` of configs/_base_/quantization.py builds those to integers",
        )
    if not cfg.get("solver"):
        return
    for key in RUNNER_KEYS & set(solver[step]):
        cfg[key] = solver[step][key]
    name = solver[step]["name"]
    if (cfg.get("default_hooks") or {}).get("checkpoint") is not None:
        cfg.merge_from_dict({"default_hooks.checkpoint.filename_tmpl": f"{name}-{{:04d}}.pth"})


def parse_options(options: Sequence[str]) -> dict[str, Any]:
    """Parse ``key=value`` options: Python literals, ``true``, ``false`` and ``none``, else strings.

    Args:
        options: Such as ``["train_dataloader.batch_size=4", "model.neck.type=VarGUNet"]``.

    Returns:
        Values by dotted path.

    Raises:
        ConfigError: An option without ``=``.
    """
    words = {"true": True, "false": False, "none": None}
    parsed: dict[str, Any] = {}
    for option in options:
        key, equals, text = option.partition("=")
        if not equals or not key:
            raise ConfigError("an option lacks its value", expected="key=value", got=repr(option))
        try:
            parsed[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            parsed[key] = words.get(text.lower(), text)
    return parsed


def _check_option(cfg: Config, option: str, value: Any, step: int) -> None:
    keys = option.split(".")
    solver = cfg.get("solver") or []
    if step < len(solver) and keys[0] in solver[step] and keys[0] in cfg:
        raise ConfigError(
            f"nobody reads the option {option!r}",
            where=cfg.filename,
            expected="a value that the step does not replace",
            got=f"{option}={value!r} for step {step}, which has its own {keys[0]}",
            remedy=f"what works is solver.{step}.{option}",
        )
    node: Any = cfg.to_dict()
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(node, Mapping):
            if key in node:
                node = node[key]
                continue
            if last and key in addable_keys(tuple(keys[:depth]), node):
                return
        elif isinstance(node, (list, tuple)) and key.isdigit() and int(key) < len(node):
            node = node[int(key)]
            continue
        raise ConfigError(
            f"nobody reads the option {option!r}",
            where=cfg.filename,
            expected="the path of a value in the config",
            got=f"{option}={value!r}; there is no {'.'.join(keys[: depth + 1])}",
            remedy=_working_path(cfg, keys),
        )


def _working_path(cfg: Config, keys: Sequence[str]) -> str:
    paths = config_paths(cfg)
    # A builder variable (crop_hw) was deleted when the file ended; the values that it built are still there.
    same_leaf = [path for path in paths if path.split(".")[-1] == keys[-1]]
    if same_leaf:
        return f"what works is {' or '.join(same_leaf[:6])}"
    close = difflib.get_close_matches(".".join(keys), paths, n=1, cutoff=0.5)
    close = close or difflib.get_close_matches(keys[-1], [path.split(".")[-1] for path in paths], n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"its top level holds {', '.join(cfg.to_dict())}"
