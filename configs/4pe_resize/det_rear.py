"""Rears and heads of vehicles, trained alone."""

from mmengine.config import read_base

with read_base():
    from .utils import *

task = "det_rear"
model = network(det_branch(task))
train_dataloader = train_loader([task])
val_dataloader = test_dataloader = eval_loader([task])
val_evaluator = test_evaluator = evaluator(det_tasks=[task])
visualizer.update(tasks=[task])

schedule = one_cycle(max_iters=20000, val_interval=2000)
train_cfg = schedule["train_cfg"]
optim_wrapper = schedule["optim_wrapper"]
param_scheduler = schedule["param_scheduler"]

# What only builds others ends here: to change it on the command line, name the value that it built.
del data_release, val_data_release, batch_size, load_threads, prefetch, shuffle_window, resize_hw, resize_type, crop_hw
del det_branch, seg_branch, lane_branch, network, train_loader, eval_loader, evaluator, one_cycle
del camera_network, training_samples, evaluation_samples
del task, schedule
