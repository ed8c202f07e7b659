"""Which devices and processes a command uses: CPU, one GPU or many, with the same command."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.logging import print_log

from admlops.errors import ConfigError, MachineError


def parse_ctx(ctx: str) -> tuple[int, ...]:
    """Parse the GPU ids of ``--ctx``.

    Args:
        ctx: Such as ``0`` or ``0,1``.

    Returns:
        The ids.

    Raises:
        ConfigError: Not a list of distinct numbers.
    """
    try:
        ids = tuple(int(part) for part in ctx.split(","))
    except ValueError:
        ids = ()
    if not ids or len(set(ids)) != len(ids) or min(ids) < 0:
        raise ConfigError("--ctx is unusable", expected="GPU ids such as 0 or 0,1", got=repr(ctx))
    return ids


def choose_devices(cfg: Config, ctx: str | None, launcher: str, argv: Sequence[str] | None = None) -> None:
    """Give this command its GPUs; start one process a GPU where more than one was asked for.

    Args:
        cfg: Config; ``default_ctx`` names the GPUs to use where there are any.
        ctx: What ``--ctx`` said, or ``None``.
        launcher: ``none`` or the launcher that already started this process.
        argv: Command line to start again in each process; ``sys.argv`` by default.

    Raises:
        MachineError: GPUs were asked for that are not there.
        ConfigError: ``--ctx`` together with a launcher.
    """
    present = torch.cuda.device_count()
    if ctx is not None:
        if launcher != "none":
            raise ConfigError("--ctx starts its own processes", got=f"--launcher {launcher}", remedy="give one of the two")
        if present == 0:
            raise MachineError(
                "--ctx asks for GPUs and this machine has none",
                got=f"--ctx {ctx}, torch {torch.__version__}, torch.cuda.is_available() is {torch.cuda.is_available()}",
                remedy="leave --ctx away to train on the CPU",
            )
    if launcher != "none" or present == 0:
        return
    default = cfg.get("default_ctx") or (0,)
    default = (default,) if isinstance(default, int) else tuple(default)  # `--cfg-options default_ctx=1` gives a number
    asked = parse_ctx(ctx) if ctx is not None else default
    ids = asked if ctx is not None else tuple(i for i in asked if i < present)
    if not ids or max(ids) >= present:
        raise MachineError("such a GPU is not there", expected=f"ids from 0 to {present - 1}", got=asked)
    if len(ids) < len(asked):
        print_log(f"default_ctx names GPUs {asked}, this machine has {present}: training on {ids}", "current", logging.WARNING)
    if len(ids) == 1:
        # Importing mmengine has initialised CUDA's driver, after which CUDA_VISIBLE_DEVICES changes nothing here.
        torch.cuda.set_device(ids[0])
        return
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(i) for i in range(present)]
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(names[i] for i in ids)
    command = list(sys.argv if argv is None else argv)
    kept = [a for i, a in enumerate(command) if a != "--ctx" and (i == 0 or command[i - 1] != "--ctx") and "--ctx=" not in a]
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={len(ids)}"]
    os.execv(sys.executable, [*run, *kept, "--launcher", "pytorch"])


def set_up_processes(cfg: Config, launcher: str) -> None:
    """Prepare a config for one or many processes.

    Args:
        cfg: Config, changed in place; its ``model_wrapper_cfg`` goes before the defaults set here.
        launcher: ``none``, ``pytorch``, ``slurm`` or ``mpi``.

    Raises:
        MachineError: More processes than GPUs.
    """
    cfg.launcher = launcher
    if launcher == "none":
        return
    wrapper: dict[str, Any] = {
        "type": "MMDistributedDataParallel",
        # Ranks agree on BN's statistics; the training loop sees to it before a validation too.
        "broadcast_buffers": True,
        # A branch that no rank has labels for stays out of the graph, and its gradients None.
        "find_unused_parameters": True,
    }
    if torch.cuda.is_available():
        local_rank, present = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local_rank >= present:
            raise MachineError(
                "there are more processes than GPUs",
                expected=f"at most {present} on this machine",
                got=f"{os.environ.get('LOCAL_WORLD_SIZE', local_rank + 1)} processes",
                remedy="start one a GPU, or hide the GPUs with CUDA_VISIBLE_DEVICES= to train on the CPU",
            )
    else:
        # mmengine's launcher calls torch.cuda.set_device; a process group that exists already makes it skip that.
        wrapper["device_ids"] = None
        if not dist.is_initialized():
            dist.init_process_group("gloo")
    cfg.model_wrapper_cfg = wrapper | dict(cfg.get("model_wrapper_cfg") or {})


def switch_on_amp(cfg: Config) -> None:
    """Train in mixed precision (bfloat16).

    Args:
        cfg: Config, changed in place.

    Raises:
        MachineError: No GPU.
    """
    if not torch.cuda.is_available():
        raise MachineError(
            "--amp needs a GPU",
            got=f"torch {torch.__version__} without a usable CUDA device",
            remedy="leave --amp away: mmengine's AmpOptimWrapper does not run on the CPU",
        )
    cfg.optim_wrapper.type = "AmpOptimWrapper"
    cfg.optim_wrapper.dtype = "bfloat16"
    # bfloat16 has float32's range, so nothing underflows; and a scaler fails on a batch that no source labels, because
    # it looks for infinities in gradients that are not there.
    cfg.optim_wrapper.setdefault("loss_scale", {"enabled": False})
