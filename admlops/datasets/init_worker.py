"""What each DataLoader worker does before its first sample."""

from __future__ import annotations

import gc

import cv2
import torch

from admlops.registry import FUNCTIONS


@FUNCTIONS.register_module()
def init_worker(worker_id: int) -> None:
    """Keep a worker small and to one core. In a config: ``worker_init_fn=dict(type=init_worker)``.

    Freezing takes what was inherited by fork out of the garbage collector's sight: its marks would copy every inherited page
    (46 MB a worker instead of 8). Seeds need no care here, the data set seeds each draw.

    Args:
        worker_id: Given by the DataLoader.
    """
    gc.freeze()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
