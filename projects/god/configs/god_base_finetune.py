"""New obstacle labels for a trained ``multi_task``: its god head learns alone, all else stays bit for bit.

``tools/train.py projects/god/configs/god_base_finetune.py --load-from CHECKPOINT``
"""

from mmengine.config import read_base

with read_base():
    from .god_base import *
    from .multi_task import model

model["frozen"] = ("encoder", "backbone", "branches.drivable_2cls", "branches.drivable_multi")
