"""A config key that nobody reads is an error: misspelled keys must not train for a week.

mmengine's ``Config`` accepts any key. Here every dict with a ``type`` is held against the signature of its class, every
dict without one against the table below, and the top level against what the runner and our tools read.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from functools import cache
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope, Registry
from mmengine.registry import root as mmengine_root
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from admlops import registry
from admlops.errors import ConfigError, nearest
from admlops.quantization import QuantSpec

TOOL_KEYS = frozenset(
    {
        "activation_checkpointing",
        "compile",
        "custom_imports",
        "default_ctx",
        "efficient_conv_bn_eval",
        "export",
        "export_last",
        "fusion_bn_patterns",
        "model_wrapper_cfg",
        "parity",
        "quantization",
        "require_clean",
        "solver",
        "step",
        "sync_bn",
        "work_dir",
    }
)
"""Top-level keys that our tools read, or that mmengine's runner reads without naming them in its signature."""

TOP_LEVEL_KEYS = TOOL_KEYS | (frozenset(inspect.signature(Runner.__init__).parameters) - {"self", "cfg"})
"""Every key that a config may have at its top."""

_META_KEYS = {"type", "_scope_", "_delete_"}
_LOADER_KEYS = (set(inspect.signature(DataLoader.__init__).parameters) - {"self"}) | {
    "dataset",
    "sampler",
    "batch_sampler",
    "collate_fn",
    "worker_init_fn",
    "num_batch_per_epoch",
}
_PARAMWISE_KEYS = {
    "custom_keys",
    "bias_lr_mult",
    "bias_decay_mult",
    "norm_decay_mult",
    "flat_decay_mult",
    "dwconv_decay_mult",
    "dcn_offset_lr_mult",
    "bypass_duplicate",
}
_OPTIM_WRAPPER_KEYS = {"optimizer", "accumulative_counts", "clip_grad", "paramwise_cfg", "constructor", "dtype", "loss_scale"}
# Taken by the runner, before the class sees its arguments.
_RUNNER_KEYS = {
    "custom_hooks": {"priority"},
    "default_hooks": {"priority"},
    "param_scheduler": {"convert_to_iter_based"},
}

RUNNER_KEYS = frozenset({"train_cfg", "optim_wrapper", "param_scheduler"})
"""What a step of ``solver`` gives to the runner, in place of the config's own."""


# Dicts that carry no type, by the last key of their path; all their keys are known.
_UNTYPED: dict[str, set[str]] = {
    "train_dataloader": _LOADER_KEYS,
    "val_dataloader": _LOADER_KEYS,
    "test_dataloader": _LOADER_KEYS,
    "optim_wrapper": _OPTIM_WRAPPER_KEYS,
    "paramwise_cfg": _PARAMWISE_KEYS,
    "env_cfg": {"cudnn_benchmark", "mp_cfg", "dist_cfg", "resource_limit"},
    "mp_cfg": {"mp_start_method", "opencv_num_threads"},
    "dist_cfg": {"backend", "timeout"},
    "randomness": {"seed", "deterministic", "diff_rank_seed"},
    "auto_scale_lr": {"enable", "base_batch_size"},
    "clip_grad": {"max_norm", "norm_type", "error_if_nonfinite", "foreach", "clip_value"},
    "default_hooks": {"runtime_info", "timer", "sampler_seed", "logger", "param_scheduler", "checkpoint", "visualization"},
    "data_release": {"root", "repo", "ref", "kind", "tasks"},
    "solver": {"name", "observers", "conversion"} | RUNNER_KEYS,
    "observers": {"calibration_batches", "observe_until"},
    "conversion": {"check_images"},
    "quantization": {field.name for field in fields(QuantSpec)},
    "parity": {"mean_drop", "branch_drop"},
    "export": {"input_hw", "pyramid_step", "place_yx"},
    "export_last": {"target", "original_hw"},
    "branch": {"task", "head", "in_levels", "loss_weight", "skip_partial"},
}


def check_config(cfg: Config) -> None:
    """Refuse keys that nobody would read and types that no registry knows. Tasks and classes are checked where they are used.

    Args:
        cfg: A loaded config.

    Raises:
        ConfigError: The first such key, with its path and the nearest valid name.
    """
    where = cfg.filename
    values = cfg.to_dict()
    valid = TOP_LEVEL_KEYS
    for key in values:
        if key not in valid:
            raise ConfigError(
                f"nobody reads the config key {key!r}",
                where=where,
                expected="a key of mmengine's Runner or of ADMLOps' tools",
                remedy=f"{nearest(key, valid)} (a variable that only builds others: `del {key}` at the end of the file)",
            )
    for path, node in _dicts(values, ()):
        if path[-1] == "paramwise_cfg" and "constructor" in _at(values, path[:-1]):
            continue  # what its keys mean is the constructor's affair
        _check_dict(path, node, where)


def config_paths(cfg: Config) -> list[str]:
    """List every path that ``--cfg-options`` can address.

    Args:
        cfg: A loaded config.

    Returns:
        Paths such as ``train_dataloader.dataset.pipeline.2.crop_hw``.
    """
    paths: list[str] = []

    def walk(node: Any, path: tuple[str, ...]) -> None:
        if path:
            paths.append(".".join(path))
        if isinstance(node, Mapping):
            for key, item in node.items():
                walk(item, (*path, str(key)))
        elif isinstance(node, (list, tuple)):
            for i, item in enumerate(node):
                walk(item, (*path, str(i)))

    walk(cfg.to_dict(), ())
    return paths


def valid_arguments(node: Mapping[str, Any]) -> set[str] | None:
    """Find the keys that a typed dict may have.

    Args:
        node: A dict with a ``type``.

    Returns:
        Names, or ``None`` where the class takes anything.
    """
    cls = resolve_type(node)
    if cls is None:
        return None
    names, takes_more = _arguments(cls)
    return None if takes_more else names


def resolve_type(node: Mapping[str, Any]) -> Any:
    """Find the class or function that a dict's ``type`` names.

    Args:
        node: A dict with a ``type``.

    Returns:
        The class, or ``None`` where no registry knows the name.
    """
    kind = node["type"]
    if not isinstance(kind, str):
        return kind
    scope = node.get("_scope_")
    found = None
    for child in vars(registry).values():
        if isinstance(child, Registry):
            name = f"{scope}.{kind}" if scope and "." not in kind else kind
            # One of mmdet3d's registries names a module that mmdet3d does not have.
            with DefaultScope.overwrite_default_scope("admlops"), suppress(ModuleNotFoundError):
                found = child.get(name)
            if found is not None:
                return found
    return None


def type_name(node: Mapping[str, Any]) -> str:
    """Name the class of a typed dict, whether the config holds the class or its name.

    Args:
        node: A dict with a ``type``.

    Returns:
        The bare name of the class.
    """
    kind = node["type"]
    return kind.rpartition(".")[2] if isinstance(kind, str) else str(getattr(kind, "__name__", kind))


def _dicts(node: Any, path: tuple[str, ...], scope: str | None = None) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    if isinstance(node, Mapping):
        # A stock head's scope holds for the losses, assigners and coders in it.
        scope = node.get("_scope_", scope)
        if path:
            yield path, {**node, "_scope_": scope} if scope else node
        for key, item in node.items():
            yield from _dicts(item, (*path, str(key)), scope)
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for i, item in enumerate(node):
            yield from _dicts(item, (*path, str(i)), scope)


def _check_dict(path: tuple[str, ...], node: Mapping[str, Any], where: object) -> None:
    name = _table_name(path)
    if "type" in node and name != "clip_grad":  # whose type is "norm" or "value"
        valid = valid_arguments(node)
        if valid is None:
            # Inside a stock head a type may be a word of its own: mmcv's nms is no registry's.
            if isinstance(node["type"], str) and "_scope_" not in node and resolve_type(node) is None:
                _require_package(node["type"].partition("."), f"{where}: {'.'.join(path)}")
                raise ConfigError(
                    f"no registry knows type {node['type']!r}",
                    where=f"{where}: {'.'.join(path)}",
                    remedy=nearest(node["type"], _registered_names()),
                )
            return
        if name == "optim_wrapper":
            valid = valid | _OPTIM_WRAPPER_KEYS
        valid = valid | _runner_keys(path)
    elif name in _UNTYPED:
        valid = _UNTYPED[name]
    else:
        return
    for key in node:
        if key not in valid and key not in _META_KEYS:
            raise ConfigError(
                f"nobody reads the config key {'.'.join((*path, key))!r}",
                where=where,
                expected=f"an argument of {type_name(node) if 'type' in node and name != 'clip_grad' else name}",
                remedy=nearest(key, valid),
            )


def _require_package(parts: tuple[str, str, str], where: str) -> None:
    package, dot, _ = parts
    if dot and importlib.util.find_spec(package) is None:
        raise ConfigError(
            f"the config needs the package {package!r}, which is not installed",
            where=where,
            remedy="make setup; in an environment of your own: docs/install.md, The lidar network",
        )


def addable_keys(path: tuple[str, ...], node: Mapping[str, Any]) -> set[str]:
    """Find the keys that the command line may add to a dict of a config.

    Args:
        path: Of the dict, such as ``("train_dataloader",)``; empty for the config itself.
        node: The dict.

    Returns:
        Names; empty where nothing says what the dict may hold.
    """
    if not path:
        return set(TOP_LEVEL_KEYS)
    name = _table_name(path)
    if "type" in node and name != "clip_grad":
        cls = resolve_type(node)
        # Where a class takes anything, only what it names may be added: `save_best` of a CheckpointHook, not `save_bst`.
        return set() if cls is None else _arguments(cls)[0] | _runner_keys(path)
    return _UNTYPED.get(name, set())


def _runner_keys(path: tuple[str, ...]) -> set[str]:
    return set().union(*(_RUNNER_KEYS.get(part, set()) for part in path[-2:]))


def _at(node: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        node = node[part] if isinstance(node, Mapping) else node[int(part)]
    return node


def _table_name(path: tuple[str, ...]) -> str:
    if len(path) > 1 and path[-2] == "branches":
        return "branch"
    return path[-2] if len(path) > 1 and path[-1].isdigit() else path[-1]


@cache
def _arguments(cls: Any) -> tuple[set[str], bool]:
    if not inspect.isclass(cls):
        return _accepted(cls)
    names: set[str] = set()
    for base in cls.__mro__:
        constructor = vars(base).get("__init__")
        if constructor is None:
            continue
        own, takes_more = _accepted(constructor)
        names |= own
        if not takes_more:
            return names - {"self"}, False
    return names - {"self"}, True


def _accepted(function: Any) -> tuple[set[str], bool]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return set(), True
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return named, any(p.kind is p.VAR_KEYWORD for p in parameters)


def _registered_names() -> set[str]:
    names: set[str] = set()
    for child in vars(registry).values():
        if isinstance(child, Registry):
            names |= set(child.module_dict)
    return names | set(mmengine_root.MODELS.module_dict)
