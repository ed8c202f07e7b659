"""What the metrics of all kinds share: one small entry a sample, gathered from all ranks, each sample counted once.

Result layout: a flat dict of floats, ``<task>/<metric>`` over the task and ``<task>/<class>/<metric>`` for one class. Every key
is always there, so that ``save_best`` can name any of them; the value is nan where the data do not define it. A metric is a
share between 0 and 1, or its name begins with ``COUNT_PREFIX``.

How a data set is counted exactly once at any world size: samplers pad the last batch, so ranks may hold a sample twice;
``mmengine.dist.collect_results`` then cuts the interleaved list to the length of the data set, which loses samples where ranks
hold different numbers of them. Here every sample gives exactly one entry (also where the task is not labelled), all ranks take
part in one gather, and the main process keeps one entry per (source, sample_id), in that order.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from mmengine.dist import broadcast_object_list, gather_object, is_main_process
from mmengine.evaluator import BaseMetric

from admlops.errors import ConfigError, nearest
from admlops.structures import inputs_of_sample
from admlops.task_spec import TaskKind, TaskSpec, resolve_task

SampleKey = tuple[str, str]
"""(source, sample_id): a ``sample_id`` is unique in its file only."""

UNDEFINED = float("nan")
"""Value of a metric that the data do not define: no labelled sample, no box, no pixel of the class."""


COUNT_PREFIX = "num_"
"""Begins the names of metrics that are no shares."""


@dataclass(frozen=True)
class MeasuredSample:
    """One sample beside its label and its prediction.

    Attributes:
        where: The sample, to be named in errors.
        meta: ``MultiTaskDataSample.to_dict()``, with the metainfo.
        inputs: What the network is given of it, see ``inputs_of_sample``; ``None`` where nobody hands it over.
    """

    where: str
    meta: Mapping[str, Any]
    inputs: Any = None


class TaskMetric(BaseMetric):
    """Base of the metrics of one task; a subclass measures one sample and sums the samples up.

    The task's classes come from ``task``, never from ``dataset_meta``: mmengine gives one ``dataset_meta`` to all metrics.

    Args:
        task: Name, ``TaskSpec`` or fields of the task; its name is the prefix of all keys.

    Attributes:
        details: After ``evaluate``, on the main process: arrays behind the numbers (curves, confusion); ``None`` before.
    """

    kinds: tuple[TaskKind, ...] = ()
    """Kinds of tasks that the metric can measure."""

    def __init__(self, task: str | TaskSpec | Mapping[str, Any]) -> None:
        self.task = resolve_task(task)
        if self.task.kind not in self.kinds:
            raise ConfigError(
                f"{type(self).__name__} cannot measure task {self.task.name!r}",
                expected=f"a task of kind {' or '.join(kind.value for kind in self.kinds)}",
                got=self.task.kind.value,
                remedy="DetectionMetric, SemanticMetric and LaneMetric measure one kind each",
            )
        super().__init__(collect_device="cpu", prefix=self.task.name)
        self.details: Any = None

    @abstractmethod
    def measure(self, label: Mapping[str, Any], prediction: Mapping[str, Any], sample: MeasuredSample) -> object:
        """Reduce one labelled sample to what the sum over samples needs.

        Args:
            label: ``TaskLabel`` as a dict, in original pixels.
            prediction: The branch's prediction as a dict, in original pixels.
            sample: What else is known of the sample.

        Returns:
            A small picklable object without tensors.
        """

    @abstractmethod
    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """Sum up the labelled samples and set ``details``.

        Args:
            results: What ``measure`` returned, one a sample, in the order of the sample keys.

        Returns:
            Metrics without the task's prefix.
        """

    def process(self, data_batch: object, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Add one entry a sample.

        Args:
            data_batch: What the data loader gave, with ``inputs``; ``None`` where the metric needs none.
            data_samples: ``MultiTaskDataSample.to_dict()`` of each sample of the batch.

        Raises:
            ConfigError: A sample is labelled for the task but the network predicted nothing for it.
        """
        for index, sample in enumerate(data_samples):
            key = (str(sample.get("source", "")), str(sample["sample_id"]))
            label = sample.get("gt_original", {}).get(self.task.name)
            entry = None
            if label is not None:
                predictions = sample.get("pred", {})
                if self.task.name not in predictions:
                    raise ConfigError(
                        f"{type(self).__name__} measures {self.task.name!r}, which the network does not predict",
                        where=f"sample {key[1]!r} of source {key[0]!r}",
                        expected=f"a branch {self.task.name!r}",
                        got=f"predictions of {', '.join(predictions) or 'nothing'}",
                        remedy=f"add the branch or remove the metric; {nearest(self.task.name, predictions)}",
                    )
                where = f"sample {key[1]!r} of source {key[0]!r}"
                inputs = inputs_of_sample(data_batch, index)
                entry = self.measure(label, predictions[self.task.name], MeasuredSample(where, sample, inputs))
            self.results.append((key, entry))

    def evaluate(self, size: int) -> dict[str, float]:
        """Gather the entries of all ranks, drop repeated samples, compute.

        Args:
            size: Length of the data set; not needed, as samples are told apart by their keys.

        Returns:
            The same metrics on every rank, with the task's name as prefix.
        """
        gathered = gather_object(self.results, dst=0)
        answer: list[Any] = [None]
        if is_main_process():
            unique: dict[SampleKey, Any] = {}
            for rank_results in gathered or []:
                for key, entry in rank_results:
                    unique.setdefault(key, entry)
            # Sorted, so that ties between scores break alike at any world size.
            entries = [unique[key] for key in sorted(unique) if unique[key] is not None]
            answer = [{f"{self.prefix}/{name}": float(value) for name, value in self.compute_metrics(entries).items()}]
        broadcast_object_list(answer)
        self.results.clear()
        metrics: dict[str, float] = answer[0]
        return metrics


def to_numpy(value: torch.Tensor | npt.ArrayLike) -> npt.NDArray[Any]:
    """Bring a tensor of any device, or an array, to numpy.

    Args:
        value: Tensor or array.

    Returns:
        The array.
    """
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


def mean_of_defined(values: Sequence[float] | npt.NDArray[np.float64]) -> float:
    """Average what is defined.

    Args:
        values: Numbers, nan where undefined.

    Returns:
        Their mean without the nans; nan where nothing is left.
    """
    array = np.asarray(values, dtype=np.float64)
    defined = array[~np.isnan(array)]
    return float(defined.mean()) if defined.size else UNDEFINED
