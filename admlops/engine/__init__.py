"""Runner glue: config checks, the training loop, hooks, and what the tools call. Imports everything below."""

from admlops.engine.branch_log_processor import BranchLogProcessor
from admlops.engine.hooks import (
    AdaptBatchNormHook,
    BranchLossHook,
    OverlayHook,
    PlainCheckpointHook,
    PredictionDumpHook,
    ReportHook,
    StepCheckpointHook,
)
from admlops.engine.release_runner import ReleaseRunner
from admlops.engine.release_train_loop import ReleaseTrainLoop

__all__ = [
    "AdaptBatchNormHook",
    "BranchLogProcessor",
    "BranchLossHook",
    "OverlayHook",
    "PlainCheckpointHook",
    "PredictionDumpHook",
    "ReleaseRunner",
    "ReleaseTrainLoop",
    "ReportHook",
    "StepCheckpointHook",
]
