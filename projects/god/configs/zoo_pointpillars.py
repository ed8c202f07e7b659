"""A model of mmdet3d's own zoo, PointPillars, trained by our tools on a data release of KITTI.

| python tools/convert.py kitti KITTI --split train --out-dir data/kitti/train
| python tools/convert.py kitti KITTI --split val --out-dir data/kitti/val
| python tools/train.py projects/god/configs/zoo_pointpillars.py

Another model: take ``model`` from mmdet3d's config of it, name its classes instead of strings. Many need operators that mmcv
has for CUDA only; ``OperatorHook`` says which before anything else happens.
"""

from mmengine.config import read_base
from mmengine.runner import TestLoop, ValLoop

from admlops.engine import BranchLossHook, PlainCheckpointHook, ReportHook, StepCheckpointHook
from admlops.evaluation import MultiTaskEvaluator
from god.zoo import BevBoxMetric, OperatorHook

with read_base():
    from ....configs._base_.default_runtime import *
    from ....configs._base_.schedules import one_cycle
    from ._base_.pointpillars import det3d, evaluation_boxes, pointpillars, training_boxes

model = pointpillars()
train_dataloader = training_boxes(dict(root="data/kitti/train"))
val_dataloader = test_dataloader = evaluation_boxes(dict(root="data/kitti/val"))
val_evaluator = test_evaluator = dict(
    type=MultiTaskEvaluator,
    metrics=[dict(type=BevBoxMetric, task=det3d, iou=dict(pedestrian=0.5, cyclist=0.5, car=0.7))],
)
val_cfg = dict(type=ValLoop)
test_cfg = dict(type=TestLoop)
solver = [dict(name="with-bn", **one_cycle(max_iters=60000, val_interval=5000, lr=1.8e-3))]
custom_hooks = [
    dict(type=OperatorHook),
    dict(type=BranchLossHook),
    dict(type=PlainCheckpointHook),
    dict(type=StepCheckpointHook, step_name="with-bn"),
    dict(type=ReportHook),
]

del det3d, evaluation_boxes, one_cycle, pointpillars, training_boxes
