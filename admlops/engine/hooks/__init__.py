"""Hooks: what happens around an iteration, one file a hook."""

from admlops.engine.hooks.adapt_batch_norm_hook import AdaptBatchNormHook
from admlops.engine.hooks.branch_loss_hook import BranchLossHook
from admlops.engine.hooks.finite_hook import FiniteHook
from admlops.engine.hooks.lineage_hook import LineageHook
from admlops.engine.hooks.overlay_hook import OverlayHook
from admlops.engine.hooks.plain_checkpoint_hook import PlainCheckpointHook
from admlops.engine.hooks.prediction_dump_hook import PredictionDumpHook
from admlops.engine.hooks.quantization_hook import QuantizationHook
from admlops.engine.hooks.report_hook import ReportHook
from admlops.engine.hooks.silent_branch_hook import SilentBranchHook
from admlops.engine.hooks.step_checkpoint_hook import StepCheckpointHook

__all__ = [
    "AdaptBatchNormHook",
    "BranchLossHook",
    "FiniteHook",
    "LineageHook",
    "OverlayHook",
    "PlainCheckpointHook",
    "PredictionDumpHook",
    "QuantizationHook",
    "ReportHook",
    "SilentBranchHook",
    "StepCheckpointHook",
]
