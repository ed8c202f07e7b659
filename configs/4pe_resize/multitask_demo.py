"""``multitask.py`` in the size of a CPU: half the resolution, ten minutes on two cores."""

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
    resize_hw=(270, 570),
    crop_hw=(256, 480),
    batch_size=4,
    load_threads=1,
    # The validation roads have other colours than any of the training: shapes must do.
    photometric=dict(hue_rad=1.5, saturation=0.6, channel_gain=0.15, contrast=0.35, gamma=0.3),
)
val_dataloader = test_dataloader = eval_loader(tasks, resize_hw=(270, 570), load_threads=1)
solver = [
    dict(name="with-bn", **one_cycle(max_iters=1300, val_interval=1300, lr=8e-3)),
    *quantized_steps(max_iters=325, val_interval=325, lr=8e-4),
]
default_hooks["checkpoint"].update(interval=260)
# A quarter of 1080x1920, 14 rows cut above.
export.update(pyramid_step=2, input_hw=(256, 480))

del train_loader, eval_loader, one_cycle, quantized_steps, tasks
