"""``multitask_demo.py`` with one learning rate cycle through all steps: integers for the iterations of the float training.

A step that begins behind a float training which has come to rest can only mend what rounding costs; what it trains beyond that
is lost on a budget. Here floats stop at 93 % of the cycle, and the steps end it at the rates that the cycle would have there.
"""

from mmengine.config import read_base

with read_base():
    from .._base_.quantization import quantized_steps
    from .._base_.schedules import one_cycle
    from .multitask_demo import *

c1, c2 = (quantized_steps(max_iters=65, val_interval=65, lr=lr) for lr in (1.2e-4, 2e-5))
solver = [
    dict(name="with-bn", **one_cycle(max_iters=1820, val_interval=1820, lr=8e-3, cycle_iters=1950)),
    c1[0],
    c2[1],
    c2[2],
]

del one_cycle, quantized_steps, c1, c2
