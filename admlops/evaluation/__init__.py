"""Predictions become numbers: one metric a kind of task, honouring what is labelled. Imports ``structures`` and below.

``report`` (files and tables) is imported by its own name, as it brings matplotlib.
"""

from admlops.evaluation.detection_metric import DetectionDetails, DetectionMetric
from admlops.evaluation.lane_metric import LaneMetric
from admlops.evaluation.multi_task_evaluator import MultiTaskEvaluator, summarise
from admlops.evaluation.semantic_metric import ConfusionDetails, SemanticMetric
from admlops.evaluation.task_metric import TaskMetric

__all__ = [
    "ConfusionDetails",
    "DetectionDetails",
    "DetectionMetric",
    "LaneMetric",
    "MultiTaskEvaluator",
    "SemanticMetric",
    "TaskMetric",
    "summarise",
]
