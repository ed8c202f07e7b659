"""The camera network: one trunk, four detection and two segmentation branches.

What a branch is stands in its own file; here is what belongs to training all of them together.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.quantization import quantized_steps
    from .det_cyclist_light import model as cyclist_light
    from .det_person import model as person
    from .det_rear import model as rear
    from .det_vehicle_sign import model as vehicle_sign
    from .seg_default import model as semantic
    from .seg_lane import model as lane
    from .utils import *

det_tasks = ["det_cyclist_light", "det_person", "det_rear", "det_vehicle_sign"]
seg_tasks = ["seg_default"]
lane_tasks = ["seg_lane"]
tasks = det_tasks + seg_tasks + lane_tasks

model = network(
    dict(
        **cyclist_light["branches"],
        **person["branches"],
        **rear["branches"],
        **vehicle_sign["branches"],
        **semantic["branches"],
        **lane["branches"],
    )
)
train_dataloader = train_loader(tasks)
val_dataloader = test_dataloader = eval_loader(tasks)
val_evaluator = test_evaluator = evaluator(det_tasks, seg_tasks, lane_tasks)
visualizer.update(tasks=tasks)

# A training is a list of steps; the values of a step take the place of the config's own. `tools/train.py --step N` runs step N,
# without it step 0. What the steps absorb (`fusion_bn_patterns`), and to what integers: `_base_/quantization.py`.
solver = [
    dict(name="with-bn", **one_cycle(max_iters=60000, val_interval=5000)),
    *quantized_steps(max_iters=15000, val_interval=5000),
]

# What only builds others ends here: to change it on the command line, name the value that it built.
del data_release, val_data_release, batch_size, load_threads, prefetch, shuffle_window, resize_hw, resize_type, crop_hw
del det_branch, seg_branch, lane_branch, network, train_loader, eval_loader, evaluator, one_cycle, quantized_steps
del camera_network, training_samples, evaluation_samples
del det_tasks, seg_tasks, lane_tasks, tasks
del cyclist_light, person, rear, vehicle_sign, semantic, lane
