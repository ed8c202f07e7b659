"""What all configs of the resize network share: data release, sizes, network, devices, loading.

Single-task files hold what is special to a task; ``multitask.py`` holds what is special to a training (solver, run-time,
``fusion_bn_patterns``). Variables that only build others, and helpers, are deleted at the end of each of them.
"""

from mmengine.config import read_base
from mmengine.dataset import DefaultSampler
from mmengine.runner import TestLoop, ValLoop

from admlops.datasets import ReleaseDataset, ReleaseSampler, init_worker
from admlops.datasets.transforms import (
    LoadImage,
    LoadLabels,
    PackMultiTask,
    Photometric,
    RandomCrop,
    RandomFlip,
    ResizeMinMax,
)
from admlops.evaluation import DetectionMetric, LaneMetric, MultiTaskEvaluator, SemanticMetric
from admlops.models.backbones import VarGNetV2
from admlops.models.data_preprocessors import MultiTaskDataPreprocessor
from admlops.models.detectors import MultiTaskDetector
from admlops.models.heads import CenterLtrbHead, SegHead
from admlops.models.necks import VarGUNet

with read_base():
    from .._base_.default_runtime import *
    from .._base_.schedules import one_cycle

# ---- what you change first -------------------------------------------------------------------------------------------
# A folder, dict(root=...), or a git repository at a tag, dict(repo='git/repository', ref='multi_task/v1.0.0').
data_release = dict(root="data/sample/train")
val_data_release = dict(root="data/sample/val")
# GPUs to use where there are any; `tools/train.py --ctx 0,1` overrides it. Without a GPU the CPU trains.
default_ctx = (0,)
batch_size = 16  # images a GPU

# ---- loading: larger values are faster and need more memory ------------------------------------------------------------
load_threads = 2  # worker processes a GPU
prefetch = 4  # batches that each of them holds ready
shuffle_window = None  # shuffle neighbouring lines of that many only, for slow disks; None shuffles the whole release

# ---- sizes, (height, width) in px --------------------------------------------------------------------------------------
resize_hw = (540, 1140)
resize_type = "min_max_pairs"
crop_hw = (512, 960)


def det_branch(task, loss_weight=1.0):
    """Branch of a detection task at stride 4."""
    return {task: dict(task=task, in_levels=(0,), loss_weight=loss_weight, head=dict(type=CenterLtrbHead))}


def seg_branch(task, loss_weight=6.0):
    """Branch of a semantic task at stride 4; Dice, because small classes drown in a mean over pixels."""
    return {task: dict(task=task, in_levels=(0,), loss_weight=loss_weight, head=dict(type=SegHead, dice_weight=2.0))}


def lane_branch(task, loss_weight=2.0):
    """Branch of a lane task at stride 4."""
    return {task: dict(task=task, in_levels=(0,), loss_weight=loss_weight, head=dict(type=SegHead))}


def network(branches):
    """VarGNetV2 0.5x with group bases 8 and 8 (``vargnet_v2_g8g8_0_5x``), and these branches."""
    return dict(
        type=MultiTaskDetector,
        data_preprocessor=dict(type=MultiTaskDataPreprocessor, channels_last=True),
        backbone=dict(type=VarGNetV2, arch="0.5x", group_base=8),
        neck=dict(type=VarGUNet, in_channels=(16, 32, 64, 128), out_channels=32, upscale_group_base=8),
        branches=branches,
    )


def train_loader(
    tasks,
    release=data_release,
    resize_hw=resize_hw,
    crop_hw=crop_hw,
    batch_size=batch_size,
    load_threads=load_threads,
    mix="natural",
    photometric=None,
):
    """Load training samples of these tasks: resized, cropped, flipped, in other light."""
    return dict(
        batch_size=batch_size,
        num_workers=load_threads,
        prefetch_factor=prefetch,
        persistent_workers=True,
        worker_init_fn=dict(type=init_worker),
        sampler=dict(type=ReleaseSampler, shuffle_window=shuffle_window, mix=mix),
        dataset=dict(
            type=ReleaseDataset,
            data_release=dict(**release, tasks=tasks),
            pipeline=[
                dict(type=LoadImage),
                dict(type=LoadLabels, frame="input"),
                dict(type=ResizeMinMax, resize_hw=resize_hw, resize_type=resize_type),
                dict(type=RandomCrop, crop_hw=crop_hw),
                dict(type=RandomFlip, prob=0.5),
                dict(type=Photometric, **(photometric or {})),
                dict(type=PackMultiTask),
            ],
        ),
    )


def eval_loader(tasks, release=val_data_release, resize_hw=resize_hw, load_threads=load_threads):
    """Load samples for validation: resized without a crop; labels stay in original pixels."""
    return dict(
        batch_size=1,
        num_workers=load_threads,
        prefetch_factor=prefetch,
        persistent_workers=False,
        worker_init_fn=dict(type=init_worker),
        sampler=dict(type=DefaultSampler, shuffle=False),
        dataset=dict(
            type=ReleaseDataset,
            data_release=dict(**release, tasks=tasks),
            test_mode=True,
            pipeline=[
                dict(type=LoadImage),
                dict(type=ResizeMinMax, resize_hw=resize_hw, resize_type=resize_type),
                dict(type=LoadLabels, frame="original"),
                dict(type=PackMultiTask),
            ],
        ),
    )


def evaluator(det_tasks=(), seg_tasks=(), lane_tasks=()):
    """Measure these tasks."""
    return dict(
        type=MultiTaskEvaluator,
        metrics=[dict(type=DetectionMetric, task=task) for task in det_tasks]
        + [dict(type=SemanticMetric, task=task) for task in seg_tasks]
        + [dict(type=LaneMetric, task=task) for task in lane_tasks],
    )


val_cfg = dict(type=ValLoop)
test_cfg = dict(type=TestLoop)
