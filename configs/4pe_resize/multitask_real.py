"""``multitask.py`` on real frames of public sets, of which none labels everything; half the resolution.

``benchmarks/real_frames.py convert`` makes the release: some forty frames to train on, and their held-out neighbours.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.quantization import quantized_steps
    from .multitask import *
    from .utils import (
        eval_loader,
        one_cycle,
        train_loader,
    )

tasks = list(model["branches"])
train_dataloader = train_loader(
    tasks,
    release=dict(root="data/real/train"),
    resize_hw=(270, 570),
    crop_hw=(256, 480),
    batch_size=4,
    load_threads=1,
    # A source of three frames counts as much as one of forty.
    mix="source_balanced",
)
val_dataloader = test_dataloader = eval_loader(tasks, release=dict(root="data/real/val"), resize_hw=(270, 570), load_threads=1)
solver = [
    dict(name="with-bn", **one_cycle(max_iters=3000, val_interval=3000, lr=4e-3)),
    *quantized_steps(max_iters=750, val_interval=750, lr=4e-4),
]
default_hooks["checkpoint"].update(interval=500)

del train_loader, eval_loader, one_cycle, quantized_steps, tasks
