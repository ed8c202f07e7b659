"""PointPillars of mmdet3d's zoo on a data release: mmdet3d's classes, with the values of its KITTI config.

``pointpillars_hv_secfpn_8xb6-160e_kitti-3d-3class`` is what they come from. It differs in what reads the data, and in that no
objects are pasted from other sweeps (``ObjectSample``).
"""

from mmdet3d.datasets.transforms import (
    GlobalRotScaleTrans,
    ObjectRangeFilter,
    Pack3DDetInputs,
    PointShuffle,
    PointsRangeFilter,
    RandomFlip3D,
)
from mmdet3d.models.backbones import SECOND
from mmdet3d.models.data_preprocessors import Det3DDataPreprocessor
from mmdet3d.models.dense_heads import Anchor3DHead
from mmdet3d.models.detectors import VoxelNet
from mmdet3d.models.middle_encoders import PointPillarsScatter
from mmdet3d.models.necks import SECONDFPN
from mmdet3d.models.task_modules import (
    AlignedAnchor3DRangeGenerator,
    DeltaXYZWLHRBBoxCoder,
    Max3DIoUAssigner,
)
from mmdet3d.models.voxel_encoders import PillarFeatureNet
from mmdet3d.structures.ops import BboxOverlapsNearest3D
from mmdet.models.losses import CrossEntropyLoss, SmoothL1Loss
from mmengine.dataset import DefaultSampler

from admlops.datasets import ReleaseDataset, ReleaseSampler, init_worker
from god.transforms import LoadPoints, SanitizePoints
from god.zoo import ToMmdet3d

# In the order of the anchors.
det3d = dict(name="det3d", kind="detection", classes=("pedestrian", "cyclist", "car"))
# x y z, from and to, m about the sensor.
kitti_range_m = (0.0, -39.68, -3.0, 69.12, 39.68, 1.0)
meta_keys = ("sample_id", "source", "lidar_path", "point_counts", "box_type_3d", "box_mode_3d")


def pointpillars(range_m=kitti_range_m, pillar_m=0.16):
    """The network on a range whose sides are multiples of eight pillars."""
    cols = round((range_m[3] - range_m[0]) / pillar_m)
    rows = round((range_m[4] - range_m[1]) / pillar_m)
    pillar = [pillar_m, pillar_m, range_m[5] - range_m[2]]
    return dict(
        type=VoxelNet,
        data_preprocessor=dict(
            type=Det3DDataPreprocessor,
            voxel=True,
            voxel_layer=dict(max_num_points=32, point_cloud_range=list(range_m), voxel_size=pillar, max_voxels=(16000, 40000)),
        ),
        voxel_encoder=dict(
            type=PillarFeatureNet,
            in_channels=4,
            feat_channels=[64],
            with_distance=False,
            voxel_size=pillar,
            point_cloud_range=list(range_m),
        ),
        middle_encoder=dict(type=PointPillarsScatter, in_channels=64, output_shape=[rows, cols]),
        backbone=dict(type=SECOND, in_channels=64, layer_nums=[3, 5, 5], layer_strides=[2, 2, 2], out_channels=[64, 128, 256]),
        neck=dict(type=SECONDFPN, in_channels=[64, 128, 256], upsample_strides=[1, 2, 4], out_channels=[128, 128, 128]),
        bbox_head=dict(
            type=Anchor3DHead,
            num_classes=3,
            in_channels=384,
            feat_channels=384,
            use_direction_classifier=True,
            assign_per_class=True,
            anchor_generator=dict(
                type=AlignedAnchor3DRangeGenerator,
                ranges=[[*range_m[:2], z_m, *range_m[3:5], z_m] for z_m in (-0.6, -0.6, -1.78)],
                sizes=[[0.8, 0.6, 1.73], [1.76, 0.6, 1.73], [3.9, 1.6, 1.56]],
                rotations=[0, 1.57],
                reshape_out=False,
            ),
            diff_rad_by_sin=True,
            bbox_coder=dict(type=DeltaXYZWLHRBBoxCoder),
            # By name: the head looks at it to see whether anchors are sampled.
            loss_cls=dict(type="mmdet.FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
            loss_bbox=dict(type=SmoothL1Loss, beta=1.0 / 9.0, loss_weight=2.0),
            loss_dir=dict(type=CrossEntropyLoss, use_sigmoid=False, loss_weight=0.2),
        ),
        train_cfg=dict(
            assigner=[assigner(0.5, 0.35), assigner(0.5, 0.35), assigner(0.6, 0.45)],
            allowed_border=0,
            pos_weight=-1,
            debug=False,
        ),
        test_cfg=dict(
            use_rotate_nms=True,
            nms_across_levels=False,
            nms_thr=0.01,
            score_thr=0.1,
            min_bbox_size=0,
            nms_pre=100,
            max_num=50,
        ),
    )


def assigner(pos_iou, neg_iou):
    """What makes an anchor of one class a positive or background."""
    return dict(
        type=Max3DIoUAssigner,
        iou_calculator=dict(type=BboxOverlapsNearest3D),
        pos_iou_thr=pos_iou,
        neg_iou_thr=neg_iou,
        min_pos_iou=neg_iou,
        ignore_iof_thr=-1,
    )


def training_boxes(release, range_m=kitti_range_m, batch_size=2, load_threads=2):
    """Load training samples: our reading and checking, then mmdet3d's augmentations."""
    return dict(
        batch_size=batch_size,
        num_workers=load_threads,
        persistent_workers=True,
        worker_init_fn=dict(type=init_worker),
        sampler=dict(type=ReleaseSampler),
        dataset=dict(
            type=ReleaseDataset,
            data_release=dict(**release, tasks=[det3d]),
            pipeline=[
                dict(type=LoadPoints),
                dict(type=SanitizePoints),
                dict(type=ToMmdet3d, task="det3d", frame="input"),
                dict(type=RandomFlip3D, sync_2d=False, flip_ratio_bev_horizontal=0.5),
                dict(type=GlobalRotScaleTrans, rot_range=[-0.78539816, 0.78539816], scale_ratio_range=[0.95, 1.05]),
                dict(type=PointsRangeFilter, point_cloud_range=list(range_m)),
                dict(type=ObjectRangeFilter, point_cloud_range=list(range_m)),
                dict(type=PointShuffle),
                dict(type=Pack3DDetInputs, keys=["points", "gt_bboxes_3d", "gt_labels_3d"], meta_keys=meta_keys),
            ],
        ),
    )


def evaluation_boxes(release, range_m=kitti_range_m, load_threads=1):
    """Load samples for validation: as recorded, cut to the range."""
    return dict(
        batch_size=1,
        num_workers=load_threads,
        persistent_workers=False,
        worker_init_fn=dict(type=init_worker),
        sampler=dict(type=DefaultSampler, shuffle=False),
        dataset=dict(
            type=ReleaseDataset,
            data_release=dict(**release, tasks=[det3d]),
            test_mode=True,
            pipeline=[
                dict(type=LoadPoints),
                dict(type=SanitizePoints),
                dict(type=ToMmdet3d, task="det3d", frame="original"),
                dict(type=PointsRangeFilter, point_cloud_range=list(range_m)),
                dict(type=Pack3DDetInputs, keys=["points"], meta_keys=meta_keys),
            ],
        ),
    )
