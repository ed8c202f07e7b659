"""What each DataLoader worker does before its first sample."""

from __future__ import annotations

import gc
import multiprocessing
import os
import threading
import time
from multiprocessing.reduction import ForkingPickler
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.multiprocessing.reductions import reduce_tensor

from admlops.registry import FUNCTIONS

_INLINE_BYTES = 1 << 16
_PARENT_CHECK_S = 1.0


@FUNCTIONS.register_module()
def init_worker(worker_id: int) -> None:
    """Keep a worker small and to one core. In a config: ``worker_init_fn=dict(type=init_worker)``.

    Freezing takes what was inherited by fork out of the garbage collector's sight: its marks would copy every inherited page
    (46 MB a worker instead of 8). Seeds need no care here, the data set seeds each draw.

    Small tensors are sent by value. torch sends each through a shared memory file of its own: forty a sample, so that a batch
    of 32 exceeds the usual limit of 1024 open files and costs the training process milliseconds a sample.

    A worker ends with its training process, also where that is killed: one that has a batch to send would wait for a reader for
    ever, since it holds the other end of the pipe too.

    Args:
        worker_id: Given by the DataLoader.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.pid,), daemon=True).start()
    gc.freeze()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    ForkingPickler.register(torch.Tensor, _reduce_tensor)


def _end_with(parent_pid: int | None) -> None:
    while os.getppid() == parent_pid:
        time.sleep(_PARENT_CHECK_S)
    os._exit(1)


def _reduce_tensor(tensor: torch.Tensor) -> Any:
    if tensor.is_cpu and not tensor.requires_grad and tensor.numel() * tensor.element_size() <= _INLINE_BYTES:
        return _rebuild_tensor, (tensor.numpy(),)
    return reduce_tensor(tensor)  # type: ignore[no-untyped-call]


def _rebuild_tensor(array: npt.NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(np.require(array, requirements="W"))
