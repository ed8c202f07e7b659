"""``multi_task.py`` in the size of a CPU."""

from mmengine.config import read_base

with read_base():
    from ._base_.god_network import eval_loader, one_cycle, quantized_steps, train_loader
    from .multi_task import *

tasks = ["god_base", "drivable_2cls", "drivable_multi"]
train_dataloader = train_loader(tasks, batch_size=2, load_threads=1)
val_dataloader = test_dataloader = eval_loader(tasks, load_threads=1)
solver = [
    dict(name="with-bn", **one_cycle(max_iters=400, val_interval=400)),
    *quantized_steps(max_iters=100, val_interval=100),
]
default_hooks["checkpoint"].update(interval=100)

del train_loader, eval_loader, one_cycle, quantized_steps, tasks
