"""Heads of mmdet and mmseg as branches, unedited, beside one of ours.

Stock heads cannot leave single classes out of their loss; ``skip_partial`` lets them pass over samples that are labelled in
part, which they otherwise refuse. Heads with mmdet's sigmoid ``FocalLoss`` (FCOS, RetinaNet) train on the CPU only: on a GPU
it calls an operator of mmcv's that is not compiled here.
"""

from mmdet.models.dense_heads import RTMDetHead, YOLOXHead
from mmengine.config import read_base
from mmseg.models.decode_heads import FCNHead

with read_base():
    from .utils import *

det_tasks = ["det_person", "det_vehicle_sign", "det_rear"]
seg_tasks = ["seg_default"]

# ``_scope_`` lets a head find its own losses, assigners and coders.
yolox = dict(
    type=YOLOXHead,
    _scope_="mmdet",
    num_classes=1,
    in_channels=32,
    feat_channels=32,
    stacked_convs=1,
    strides=(8, 16, 32),
    train_cfg=dict(assigner=dict(type="SimOTAAssigner", center_radius=2.5)),
    test_cfg=dict(score_thr=0.01, nms=dict(type="nms", iou_threshold=0.65)),
)
rtmdet = dict(
    type=RTMDetHead,
    _scope_="mmdet",
    num_classes=2,
    in_channels=32,
    feat_channels=32,
    stacked_convs=1,
    anchor_generator=dict(type="MlvlPointGenerator", offset=0, strides=[8, 16, 32]),
    bbox_coder=dict(type="DistancePointBBoxCoder"),
    loss_cls=dict(type="QualityFocalLoss", use_sigmoid=True, beta=2.0, loss_weight=1.0),
    loss_bbox=dict(type="GIoULoss", loss_weight=2.0),
    norm_cfg=dict(type="BN"),
    train_cfg=dict(assigner=dict(type="DynamicSoftLabelAssigner", topk=13), allowed_border=-1, pos_weight=-1),
    test_cfg=dict(nms_pre=1000, min_bbox_size=0, score_thr=0.01, nms=dict(type="nms", iou_threshold=0.65), max_per_img=100),
)
fcn = dict(type=FCNHead, _scope_="mmseg", num_classes=12, in_channels=32, in_index=0, channels=32, num_convs=1)
model = network(
    dict(
        det_person=dict(head=yolox, in_levels=(1, 2, 3), skip_partial=True),
        det_vehicle_sign=dict(head=rtmdet, in_levels=(1, 2, 3), skip_partial=True),
        **det_branch("det_rear"),
        seg_default=dict(head=fcn, in_levels=(0,), loss_weight=6.0, skip_partial=True),
    )
)
train_dataloader = train_loader(det_tasks + seg_tasks)
val_dataloader = test_dataloader = eval_loader(det_tasks + seg_tasks)
val_evaluator = test_evaluator = evaluator(det_tasks, seg_tasks)
visualizer.update(tasks=det_tasks + seg_tasks)

schedule = one_cycle(max_iters=20000, val_interval=2000)
train_cfg = schedule["train_cfg"]
optim_wrapper = schedule["optim_wrapper"]
param_scheduler = schedule["param_scheduler"]

# What only builds others ends here: to change it on the command line, name the value that it built.
del data_release, val_data_release, batch_size, load_threads, prefetch, shuffle_window, resize_hw, resize_type, crop_hw
del det_branch, seg_branch, lane_branch, network, train_loader, eval_loader, evaluator, one_cycle
del camera_network, training_samples, evaluation_samples
del det_tasks, seg_tasks, yolox, rtmdet, fcn, schedule
