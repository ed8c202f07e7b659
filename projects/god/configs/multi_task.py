"""The lidar network: one encoder, one trunk, obstacles and two drivable areas.

What a branch is stands in its own file; here is what belongs to training all of them together.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.god_network import *
    from .drivable_2cls import model as drivable
    from .drivable_multi import model as ground
    from .god_base import model as obstacles

god_tasks = ["god_base"]
drivable_tasks = ["drivable_2cls", "drivable_multi"]
tasks = god_tasks + drivable_tasks

model = god_network(dict(**obstacles["branches"], **drivable["branches"], **ground["branches"]))
train_dataloader = train_loader(tasks)
val_dataloader = test_dataloader = eval_loader(tasks)
val_evaluator = test_evaluator = evaluator(god_tasks, drivable_tasks)
visualizer = pictures(tasks)

# A training is a list of steps; the values of a step take the place of the config's own. `tools/train.py --step N` runs step N,
# without it step 0. What the steps absorb (`fusion_bn_patterns`), and to what integers: `configs/_base_/quantization.py`.
solver = [
    dict(name="with-bn", **one_cycle(max_iters=60000, val_interval=5000)),
    *quantized_steps(max_iters=15000, val_interval=5000),
]

# What only builds others ends here: to change it on the command line, name the value that it built.
del data_release, val_data_release, batch_size, load_threads, prefetch, base_grid, hd_grid, window_side, fold
del (
    god_branch,
    drivable_branch,
    god_network,
    window_of,
    train_loader,
    eval_loader,
    evaluator,
    pictures,
    one_cycle,
    quantized_steps,
)
del god_tasks, drivable_tasks, tasks, obstacles, drivable, ground
