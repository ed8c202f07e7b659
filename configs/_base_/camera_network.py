"""What the resize and the crop network share: branches, trunk and neck, loading, metrics.

They differ in ``geometry``, the steps that bring an image and its labels to the network's input, and in the group base of the
neck's climb; both stand in the ``utils.py`` of each.
"""

from mmengine.dataset import DefaultSampler
from mmengine.runner import TestLoop, ValLoop

from admlops.datasets import ReleaseDataset, ReleaseSampler, init_worker
from admlops.datasets.transforms import LoadImage, LoadLabels, PackMultiTask, Photometric, RandomFlip
from admlops.evaluation import DetectionMetric, LaneMetric, MultiTaskEvaluator, SemanticMetric
from admlops.models.backbones import VarGNetV2
from admlops.models.data_preprocessors import MultiTaskDataPreprocessor
from admlops.models.detectors import MultiTaskDetector
from admlops.models.heads import CenterLtrbHead, SegHead
from admlops.models.loss_balance import FixedBalance
from admlops.models.necks import VarGUNet


def det_branch(task, loss_weight=1.0):
    """Branch of a detection task at stride 4."""
    return {task: dict(task=task, in_levels=(0,), loss_weight=loss_weight, head=dict(type=CenterLtrbHead))}


def seg_branch(task, loss_weight=6.0):
    """Branch of a semantic task at stride 4; Dice, because small classes drown in a mean over pixels."""
    return {task: dict(task=task, in_levels=(0,), loss_weight=loss_weight, head=dict(type=SegHead, dice_weight=2.0))}


def lane_branch(task, loss_weight=6.0):
    """Branch of a lane task at stride 4."""
    return {task: dict(task=task, in_levels=(0,), loss_weight=loss_weight, head=dict(type=SegHead))}


def camera_network(branches, upscale_group_base):
    """VarGNetV2 0.5x with group bases 8 and ``upscale_group_base``, and these branches."""
    return dict(
        type=MultiTaskDetector,
        data_preprocessor=dict(type=MultiTaskDataPreprocessor, channels_last=True),
        backbone=dict(type=VarGNetV2, arch="0.5x", group_base=8),
        neck=dict(type=VarGUNet, in_channels=(16, 32, 64, 128), out_channels=32, upscale_group_base=upscale_group_base),
        branches=branches,
        # Or UncertaintyBalance, GradientNormBalance: docs/balancing.md.
        loss_balance=dict(type=FixedBalance),
    )


def training_samples(
    tasks,
    release,
    image_steps,
    batch_size,
    load_threads,
    prefetch,
    shuffle_window,
    mix="natural",
    photometric=None,
    flip_prob=0.5,
):
    """Load training samples: images through ``image_steps``, labels along with them, flipped, in other light."""
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
                dict(type=LoadLabels, frame="input"),
                *image_steps,
                dict(type=RandomFlip, prob=flip_prob),
                dict(type=Photometric, **(photometric or {})),
                dict(type=PackMultiTask),
            ],
        ),
    )


def evaluation_samples(tasks, release, geometry, load_threads, prefetch):
    """Load samples for validation: through ``geometry``; labels stay in original pixels."""
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
                *geometry,
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
