"""Obstacles in cells of 5 cm, 12.8 m around, trained alone; may start from the weights of ``god_base``."""

from mmengine.config import read_base

with read_base():
    from ._base_.god_network import *

task = "god_hd"
model = god_network(god_branch(task), hd_grid)
train_dataloader = train_loader([task], grid=hd_grid)
val_dataloader = test_dataloader = eval_loader([task], grid=hd_grid)
val_evaluator = test_evaluator = evaluator(god_tasks=[task], grid=hd_grid)
visualizer = pictures([task])

schedule = one_cycle(max_iters=20000, val_interval=2000)
train_cfg = schedule["train_cfg"]
optim_wrapper = schedule["optim_wrapper"]
param_scheduler = schedule["param_scheduler"]

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
del task, schedule
