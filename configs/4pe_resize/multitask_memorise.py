"""A few frames of each public set, memorised: proof that every branch learns from sources that label only a part.

``benchmarks/real_frames.py`` converts the frames, trains this on them and tests it on the same.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.quantization import quantized_steps
    from .multitask_real import *
    from .utils import (
        eval_loader,
        one_cycle,
        train_loader,
    )

tasks = list(model["branches"])
few = dict(root="data/real/few")
train_dataloader = train_loader(
    tasks,
    release=few,
    resize_hw=(270, 570),
    crop_hw=(256, 480),
    batch_size=4,
    load_threads=1,
    photometric=dict(prob=0.0),
    flip_prob=0.0,
)
val_dataloader = test_dataloader = eval_loader(tasks, release=few, resize_hw=(270, 570), load_threads=1)
solver = [
    dict(name="with-bn", **one_cycle(max_iters=2000, val_interval=2000, lr=4e-3)),
    *quantized_steps(max_iters=500, val_interval=500, lr=4e-4),
]

del train_loader, eval_loader, one_cycle, quantized_steps, tasks, few
