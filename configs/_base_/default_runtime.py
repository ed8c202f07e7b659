"""What every training shares: hooks, logs, pictures, processes."""

from mmengine.hooks import CheckpointHook, EMAHook, IterTimerHook, LoggerHook, ParamSchedulerHook, RuntimeInfoHook
from mmengine.visualization import LocalVisBackend, TensorboardVisBackend

from admlops.engine import (
    BranchLogProcessor,
    BranchLossHook,
    OverlayHook,
    PlainCheckpointHook,
    ReportHook,
    StepCheckpointHook,
)
from admlops.visualization import MultiTaskVisualizer

default_scope = "admlops"

default_hooks = dict(
    runtime_info=dict(type=RuntimeInfoHook),
    timer=dict(type=IterTimerHook),
    logger=dict(type=LoggerHook, interval=20, log_metric_by_epoch=False),
    param_scheduler=dict(type=ParamSchedulerHook),
    checkpoint=dict(
        type=CheckpointHook,
        by_epoch=False,
        interval=1000,
        max_keep_ckpts=3,
        filename_tmpl="with-bn-{:04d}.pth",
    ),
    # ReleaseSampler is no DistributedSampler: it knows its epoch from the samples consumed.
    sampler_seed=None,
)
custom_hooks = [
    dict(type=EMAHook, momentum=0.01),
    dict(type=BranchLossHook),
    dict(type=PlainCheckpointHook),
    dict(type=StepCheckpointHook, step_name="with-bn"),
    dict(type=ReportHook),
    dict(type=OverlayHook, num_pictures=8),
]

log_processor = dict(type=BranchLogProcessor, window_size=20)
log_level = "INFO"
# Weights & Biases: add dict(type=mmengine.visualization.WandbVisBackend, init_kwargs=dict(project="...")).
visualizer = dict(
    type=MultiTaskVisualizer,
    vis_backends=[dict(type=LocalVisBackend), dict(type=TensorboardVisBackend)],
)

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
randomness = dict(seed=0)
load_from = None
resume = False
