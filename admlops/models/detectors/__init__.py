"""Whole networks: trunk, neck and branches. May import ``heads``, ``structures`` and below."""

from admlops.models.detectors.branch import Branch
from admlops.models.detectors.multi_task_detector import MultiTaskDetector

__all__ = ["Branch", "MultiTaskDetector"]
