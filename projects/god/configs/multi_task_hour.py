"""``multi_task.py`` in the size of one CPU core and one hour, on the rendered sample: what docs/benchmarks.md reports."""

from mmengine.config import read_base

with read_base():
    from ._base_.god_network import eval_loader, one_cycle, quantized_steps, train_loader
    from .multi_task import *

tasks = ["god_base", "drivable_2cls", "drivable_multi"]
# Chosen by `projects/god/tools/thresholds.py` on the validation sweeps; docs/benchmarks.md shows others.
model["branches"]["god"]["head"].update(threshold=0.8)
train_dataloader = train_loader(tasks, batch_size=4, load_threads=1)
val_dataloader = test_dataloader = eval_loader(tasks, load_threads=1)
solver = [
    dict(name="with-bn", **one_cycle(max_iters=4000, val_interval=2000, lr=5e-3, warmup=0.1)),
    *quantized_steps(max_iters=400, val_interval=400),
]
default_hooks["checkpoint"].update(interval=500)

del train_loader, eval_loader, one_cycle, quantized_steps, tasks
