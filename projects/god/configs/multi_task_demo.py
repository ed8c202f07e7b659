"""``multi_task.py`` in the size of a demo on two CPU cores."""

from mmengine.config import read_base

with read_base():
    from ._base_.god_network import eval_loader, one_cycle, quantized_steps, train_loader
    from .multi_task import *

tasks = ["god_base", "drivable_2cls", "drivable_multi"]
# Many small steps: in 300 CPU seconds windows in pairs came further than whole grids, and a higher rate than a lower one.
train_dataloader = train_loader(tasks, batch_size=2, load_threads=1)
val_dataloader = test_dataloader = eval_loader(tasks, load_threads=1)
custom_hooks[0].update(momentum=0.02)
solver = [
    dict(name="with-bn", **one_cycle(max_iters=1000, val_interval=1000, lr=8e-3, warmup=0.1)),
    *quantized_steps(max_iters=200, val_interval=200),
]
default_hooks["checkpoint"].update(interval=250)

del train_loader, eval_loader, one_cycle, quantized_steps, tasks
