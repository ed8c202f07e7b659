"""Five kinds of ground, trained alone."""

from mmengine.config import read_base

with read_base():
    from ._base_.god_network import *

task = "drivable_multi"
# Sidewalk, parking and gravel are few cells, which Dice does not forget. By the norms of gradients at the trunk's output this
# branch would pull as hard as obstacles do at a weight of 1, as drivable_2cls at 0.4.
model = god_network(drivable_branch(task, loss_weight=0.4, dice_weight=2.0))
train_dataloader = train_loader([task])
val_dataloader = test_dataloader = eval_loader([task])
val_evaluator = test_evaluator = evaluator(drivable_tasks=[task])
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
