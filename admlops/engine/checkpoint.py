"""Checkpoints that load with ``weights_only`` on: what is written is plain, what is read is checked.

mmengine 0.10.7 saves ``HistoryBuffer`` objects and bound methods, which torch >= 2.6 refuses to load
(open-mmlab/mmengine#1655). Our checkpoints hold tensors and plain Python values only; foreign ones of the mm* family are
read with a short allow-list in which ``getattr`` is replaced by one that reaches nothing but what they need.
"""

from __future__ import annotations

import importlib
import os
import pickle
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer
from mmengine.optim.scheduler import OneCycleLR
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler
from torch import Tensor, nn

from admlops.engine.config_check import type_name
from admlops.errors import CheckpointError

_FORCE_SAFE, _FORCE_UNSAFE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
_HARMLESS_ATTRIBUTES = {
    HistoryBuffer: {"min", "max", "current", "mean"},
    OneCycleParamScheduler: {"_annealing_cos", "_annealing_linear"},
    OneCycleLR: {"_annealing_cos", "_annealing_linear"},
}


def _safe_getattr(owner: Any, name: str) -> Any:
    if name not in _HARMLESS_ATTRIBUTES.get(owner, set()):
        raise CheckpointError(
            "the checkpoint asks for an attribute that no mm* checkpoint needs",
            got=f"getattr({owner!r}, {name!r})",
            remedy="do not use this file: it may be an attack",
        )
    return getattr(owner, name)


@contextmanager
def safe_globals() -> Iterator[None]:
    """Let ``torch.load(weights_only=True)`` read checkpoints of mmengine, and nothing else.

    Returns:
        A context manager.
    """
    multiarray = importlib.import_module(np.ndarray.__reduce__(np.zeros(0))[0].__module__)
    dtypes = {type(np.dtype(code)) for code in ("f4", "f8", "i4", "i8", "bool")}
    allowed: list[Any] = [
        HistoryBuffer,
        OneCycleParamScheduler,
        OneCycleLR,
        (multiarray._reconstruct, "numpy.core.multiarray._reconstruct"),
        (multiarray._reconstruct, "numpy._core.multiarray._reconstruct"),
        (multiarray.scalar, "numpy.core.multiarray.scalar"),
        (multiarray.scalar, "numpy._core.multiarray.scalar"),
        np.ndarray,
        np.dtype,
        *dtypes,
        (_safe_getattr, "builtins.getattr"),
    ]
    # Downloads go through torch.hub, which asks for unsafe loading; the variable overrules it.
    before = {name: os.environ.pop(name) for name in (_FORCE_SAFE, _FORCE_UNSAFE) if name in os.environ}
    os.environ[_FORCE_SAFE] = "1"
    try:
        with torch.serialization.safe_globals(allowed):
            yield
    finally:
        del os.environ[_FORCE_SAFE]
        os.environ.update(before)


def read_checkpoint(path: str | Path, map_location: str | torch.device = "cpu") -> dict[str, Any]:
    """Read a checkpoint of ours or of an mm* project without running any code of it.

    Args:
        path: Local file.
        map_location: Device of the tensors.

    Returns:
        The checkpoint's dict.

    Raises:
        CheckpointError: Missing, truncated, not a checkpoint, or it holds something other than tensors and plain values.
    """
    file = Path(path)
    if not file.is_file():
        raise CheckpointError("no such checkpoint", where=file, remedy="look into the work dir for with-bn-last.pth")
    with safe_globals(), refusals_explained(file):
        checkpoint = torch.load(file, map_location=map_location, weights_only=True)
    if not isinstance(checkpoint, dict):
        raise CheckpointError("not a checkpoint", where=file, expected="a dict", got=type(checkpoint).__name__)
    return checkpoint


@contextmanager
def refusals_explained(path: object) -> Iterator[None]:
    """Turn what ``torch.load`` raises into a ``CheckpointError``.

    Args:
        path: The file, for the message.

    Returns:
        A context manager.

    Raises:
        CheckpointError: The file is truncated or holds forbidden objects.
    """
    try:
        yield
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            "the checkpoint holds objects that are not loaded because they could run code",
            where=path,
            expected="tensors, numbers, strings and containers of them",
            got=_forbidden_name(str(error)),
            remedy="use a file that this project wrote, or convert a trusted one to a plain state_dict",
        ) from error
    except (RuntimeError, EOFError) as error:
        if "central directory" not in str(error) and "PytorchStreamReader" not in str(error) and str(error):
            raise
        raise CheckpointError(
            "the checkpoint is truncated or no checkpoint at all",
            where=path,
            got=str(error).splitlines()[0] if str(error) else "end of file",
            remedy="copy it again, or resume from an older one",
        ) from error


def check_fit(network: nn.Module, weights: Mapping[str, Tensor], path: str | Path, strict: bool = False) -> None:
    """Refuse weights that a network cannot take.

    Args:
        network: The network.
        weights: Tensors by name.
        path: Their file, for the message.
        strict: Whether tensors that the network does not have are refused too.

    Raises:
        CheckpointError: Tensors are missing, of another shape, or unknown.
    """
    own = network.state_dict()
    faults = {
        "missing": [name for name in own if name not in weights],
        "of another shape": [name for name in own if name in weights and own[name].shape != weights[name].shape],
        "unknown to the network": [name for name in weights if name not in own] if strict else [],
    }
    if any(faults.values()):
        raise CheckpointError(
            "the checkpoint does not fit the config's network",
            where=path,
            expected=f"the {len(own)} tensors of the network",
            got="; ".join(f"{len(names)} {fault}, such as {names[0]}" for fault, names in faults.items() if names),
            remedy="give the config that the checkpoint was trained with",
        )


def fitting(network: nn.Module, weights: Mapping[str, Any]) -> frozenset[str]:
    """Find what a network takes of weights where it leaves out what does not fit.

    Args:
        network: The network.
        weights: Tensors by name.

    Returns:
        Names of its tensors that are there, in the same shape.
    """
    shapes = {name.removeprefix("module."): getattr(value, "shape", None) for name, value in weights.items()}
    return frozenset(name for name, own in network.state_dict().items() if shapes.get(name) == own.shape)


def check_start(network: nn.Module, fitted: frozenset[str], path: str | Path | None) -> None:
    """Refuse to train on random weights where learned ones were meant.

    Parts that are frozen need all of their weights: of the checkpoint, or of a ``Pretrained`` initialisation of their own. Of
    the trunk a checkpoint has to bring something: where nothing fits, it is of another network.

    Args:
        network: What is about to be trained.
        fitted: Its tensors that were loaded, see ``fitting``.
        path: The file that they are of; None where nothing was loaded.

    Raises:
        CheckpointError: A frozen part would stay random, or a piece of it; or nothing of the file fits the trunk.
    """
    own = [name for name in network.state_dict() if not name.endswith("num_batches_tracked")]
    pretrained = tuple(f"{name}." if name else "" for name, module in network.named_modules() if _is_pretrained(module))
    given = [name for name in own if name in fitted or name.startswith(pretrained)]

    def count(part: str) -> tuple[int, int]:
        given_of_part, of_part = (sum(name.startswith(f"{part}.") for name in names) for names in (given, own))
        return given_of_part, of_part

    frozen: tuple[str, ...] = getattr(network, "frozen", ())
    counts = {part: count(part) for part in frozen}
    random = {part: found for part, found in counts.items() if found[0] < found[1]}
    what, remedy = "frozen parts would stay random", "; or let them learn: --cfg-options 'model.frozen=()'"
    trunk = count("backbone")
    if not random and path is not None and trunk[1] and not trunk[0]:
        random = {"backbone": trunk}
        what, remedy = "nothing of the checkpoint fits the trunk", "; or leave it away, to start from random weights"
    if random:
        raise CheckpointError(
            what,
            where="no --load-from" if path is None else path,
            expected=f"weights for {', '.join(random)}",
            got=f"{', '.join(f'{found} of {number} tensors of {part}' for part, (found, number) in random.items())};"
            f" {len(given)} of {len(own)} of the whole network",
            remedy="give --load-from a checkpoint of a network that has these parts, such as the one whose branch is tuned here"
            + remedy,
        )


def _is_pretrained(module: nn.Module) -> bool:
    settings = getattr(module, "init_cfg", None) or ()
    return any(type_name(each).startswith("Pretrained") for each in ([settings] if isinstance(settings, dict) else settings))


def save_checkpoint(checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Write a checkpoint whole or not at all.

    Args:
        checkpoint: Its content; what is not plain is left out.
        path: The file.
    """
    file = Path(path)
    part = file.with_name(f".{file.name}.part")
    try:
        with part.open("wb") as handle:
            torch.save(plain(checkpoint), handle)
            handle.flush()
            os.fsync(handle.fileno())
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def _forbidden_name(message: str) -> str:
    named = re.search(r"GLOBAL (\S+)|[Uu]nsupported (?:global|operand|class)[^\n]*", message)
    return named.group(1) or named.group(0) if named else message.splitlines()[0]


def plain(value: Any) -> Any:
    """Reduce a value to what ``weights_only`` loading accepts.

    Args:
        value: Any nest of containers.

    Returns:
        The same nest of tensors, numbers, strings, ``None`` and containers; NumPy values as Python ones; whatever
        else (classes, functions, history buffers) is left out of its container.
    """
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items() if _is_plain(item)}
    if isinstance(value, (list, tuple)):
        items = [plain(item) for item in value if _is_plain(item)]
        return tuple(items) if isinstance(value, tuple) else items
    return value


def _is_plain(value: Any) -> bool:
    simple = (torch.Tensor, np.generic, np.ndarray, str, bytes, bool, int, float, type(None), Mapping, list, tuple)
    return isinstance(value, simple)
