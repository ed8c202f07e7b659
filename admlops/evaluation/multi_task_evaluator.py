"""All metrics of a network, plus the numbers that sum up several tasks.

``det/AP50`` and ``det/AP`` are means over all detection classes of all tasks whose value is defined (not means of task means: a
task with one class weighs half of one with two).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.evaluator import Evaluator

from admlops.evaluation.task_metric import TaskMetric, mean_of_defined
from admlops.registry import EVALUATOR

SUMMARY = "det"
"""Stands for a task name in the keys of numbers over all detection classes."""


@EVALUATOR.register_module()
class MultiTaskEvaluator(Evaluator):
    """mmengine's evaluator that adds ``summarise`` to the metrics, so that ``save_best='det/AP50'`` works."""

    def evaluate(self, size: int) -> dict[str, float]:
        """Compute all metrics on all ranks' samples.

        Args:
            size: Length of the data set.

        Returns:
            Metrics of all tasks and their summary.
        """
        metrics: dict[str, float] = super().evaluate(size)
        return metrics | summarise(metrics)

    @property
    def details(self) -> dict[str, Any]:
        """Arrays behind the last numbers by task, on the main process; for ``report.write_report``."""
        return {
            metric.task.name: metric.details
            for metric in self.metrics
            if isinstance(metric, TaskMetric) and metric.details is not None
        }


def summarise(metrics: Mapping[str, float]) -> dict[str, float]:
    """Average over the detection classes of all tasks.

    Args:
        metrics: ``<task>/<class>/<metric>`` and others.

    Returns:
        ``det/AP50`` and ``det/AP``; empty where no detection task was measured.
    """
    summary = {}
    for name in ("AP50", "AP"):
        values = [value for key, value in metrics.items() if key.count("/") == 2 and key.endswith(f"/{name}")]
        if values:
            summary[f"{SUMMARY}/{name}"] = mean_of_defined(values)
    return summary
