"""What all lidar networks share: grids, branches, loading, metrics, pictures, run-time.

Task files hold what is special to a task; helpers, and variables that only build others, are deleted at the end of each.
"""

from mmengine.config import read_base
from mmengine.dataset import DefaultSampler
from mmengine.runner import TestLoop, ValLoop

from admlops.datasets import ReleaseDataset, ReleaseSampler, init_worker
from admlops.evaluation import MultiTaskEvaluator, SemanticMetric
from admlops.models.loss_balance import FixedBalance
from god.bev_unet import BevUNet
from god.data_preprocessor import BevDataPreprocessor
from god.detector import GodNet
from god.heads import BevHead
from god.metrics import BevGridMetric
from god.pillars import MinMaxPillarEncoder
from god.point_count_hook import PointCountHook
from god.trained_cells import TrainedCellsHook
from god.transforms import (
    LoadBevEvidence,
    LoadPoints,
    PackBevInputs,
    RandomBevAffine,
    RandomIntensity,
    RandomPointDrop,
    RasterizeBevLabels,
    SanitizePoints,
)
from god.visualizer import BevVisualizer

with read_base():
    from .....configs._base_.default_runtime import *
    from .....configs._base_.quantization import fusion_bn_patterns, parity, quantization, quantized_steps, solver
    from .....configs._base_.schedules import one_cycle

custom_hooks.extend([dict(type=PointCountHook), dict(type=TrainedCellsHook)])

# ---- what you change first -------------------------------------------------------------------------------------------
# A folder, dict(root=...), or a git repository at a tag, dict(repo='git/repository', ref='multi_task/v1.0.0').
data_release = dict(root="data/lidar_sample/train")
val_data_release = dict(root="data/lidar_sample/val")
# GPUs to use where there are any; `tools/train.py --ctx 0,1` overrides it. Without a GPU the CPU trains.
default_ctx = (0,)
batch_size = 16  # windows of sweeps a GPU

# ---- loading: larger values are faster and need more memory ------------------------------------------------------------
load_threads = 2  # worker processes a GPU
prefetch = 2  # batches that each of them holds ready

# ---- grids: both have as many cells, so that the weights of one start the other ------------------------------------------
base_grid = dict(x_min_m=-51.2, y_min_m=-51.2, cell_m=0.2, rows=512, cols=512)
hd_grid = dict(x_min_m=-12.8, y_min_m=-12.8, cell_m=0.05, rows=512, cols=512)

# Cells a side of the window that training sees of a grid: as much is learned from a quarter of the cells. None: the whole grid.
window_side = 256

# Cells a side that the network computes as one: 1 is the full resolution, at three times the cost.
fold = 2


def god_branch(task="god_base", loss_weight=12.0):
    """Branch of the obstacle grid; of one name whatever the grid, so that weights move both ways.

    Its loss is soon small, and drivable branches pulled ten times as hard on the trunk as it did: hence the weight. Small
    obstacles weigh more, which raises all probabilities: ``tools/thresholds.py`` shows what a ``threshold`` of the head above
    0.5 finds and makes up.
    """
    return dict(god=dict(task=task, loss_weight=loss_weight, head=dict(type=BevHead, fold=fold)))


def drivable_branch(task, loss_weight=1.0, dice_weight=1.0):
    """Branch of a drivable area."""
    head = dict(type=BevHead, fold=fold, dice_weight=dice_weight)
    return {task: dict(task=task, loss_weight=loss_weight, head=head)}


def god_network(branches, grid=base_grid, channels=16):
    """Pillars of ``channels``, a U-net of 32 to 128 channels, and these branches."""
    return dict(
        type=GodNet,
        data_preprocessor=dict(type=BevDataPreprocessor, grid=grid),
        encoder=dict(type=MinMaxPillarEncoder, grid=grid, channels=channels, fold=fold),
        backbone=dict(type=BevUNet, in_channels=channels * fold * fold, channels=(32, 64, 96, 128)),
        branches=branches,
        loss_balance=dict(type=FixedBalance),
    )


def window_of(grid, side):
    """The middle of a grid, ``side`` cells a side, and how far a sweep is shifted below it, so that it shows any part."""
    window = dict(
        grid,
        x_min_m=grid["x_min_m"] + (grid["cols"] - side) / 2 * grid["cell_m"],
        y_min_m=grid["y_min_m"] + (grid["rows"] - side) / 2 * grid["cell_m"],
        rows=side,
        cols=side,
    )
    return window, (window["x_min_m"] - grid["x_min_m"], window["y_min_m"] - grid["y_min_m"])


def train_loader(
    tasks,
    release=data_release,
    grid=base_grid,
    window_side=window_side,
    batch_size=batch_size,
    load_threads=load_threads,
    mix="natural",
):
    """Load windows of training sweeps: turned, mirrored, scaled, shifted, thinned, in other light, and labelled after that."""
    window, shift_xy_m = window_of(grid, window_side) if window_side else (grid, (0.0, 0.0))
    return dict(
        batch_size=batch_size,
        num_workers=load_threads,
        prefetch_factor=prefetch,
        persistent_workers=True,
        worker_init_fn=dict(type=init_worker),
        sampler=dict(type=ReleaseSampler, mix=mix),
        dataset=dict(
            type=ReleaseDataset,
            data_release=dict(**release, tasks=tasks),
            pipeline=[
                dict(type=LoadPoints),
                dict(type=LoadBevEvidence),
                dict(type=SanitizePoints),
                dict(type=RandomBevAffine, translation=(*shift_xy_m, 0.2)),
                dict(type=RandomIntensity),
                dict(type=RandomPointDrop),
                dict(type=RasterizeBevLabels, grid=window),
                dict(type=PackBevInputs, grid=window),
            ],
        ),
    )


def eval_loader(tasks, release=val_data_release, grid=base_grid, load_threads=load_threads):
    """Load sweeps for validation, as recorded."""
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
                dict(type=LoadPoints),
                dict(type=LoadBevEvidence),
                dict(type=SanitizePoints),
                dict(type=RasterizeBevLabels, grid=grid, frame="original"),
                dict(type=PackBevInputs, grid=grid),
            ],
        ),
    )


def evaluator(god_tasks=(), drivable_tasks=(), grid=base_grid):
    """Measure these tasks; obstacles beside the height rule."""
    return dict(
        type=MultiTaskEvaluator,
        metrics=[dict(type=BevGridMetric, task=task, grid=grid) for task in god_tasks]
        + [dict(type=SemanticMetric, task=task) for task in drivable_tasks],
    )


def pictures(tasks):
    """Draw these tasks, seen from above."""
    return dict(type=BevVisualizer, tasks=tasks, vis_backends=visualizer["vis_backends"])


val_cfg = dict(type=ValLoop)
test_cfg = dict(type=TestLoop)
