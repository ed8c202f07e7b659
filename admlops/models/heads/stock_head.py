"""What heads of mmdet and mmseg have in common as branches.

They see the labelled samples only, because they know no "unknown". Two things follow. A rank without any would skip the
collectives inside their losses and wait for ever, so it runs one sample with empty labels and a weight of 0. And samples
that are labelled in part are refused, unless the branch skips them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.model import BaseModule
from mmengine.structures import BaseDataElement
from torch import Tensor

from admlops.errors import ModelError
from admlops.models.heads.base_task_head import BaseTaskHead, HeadTargets, Losses, label_of
from admlops.structures import MultiTaskDataSample, OutputSpec, TaskLabel
from admlops.task_spec import TaskSpec


@dataclass(frozen=True)
class StockTargets(HeadTargets):
    """Samples in the form of the other package.

    Attributes:
        indices: The labelled samples of the batch; the first sample where there is none.
        samples: Their ``DetDataSample`` or ``SegDataSample``.
        weight: 1.0, or 0.0 where no sample is labelled.
    """

    indices: list[int]
    samples: list[Any]
    weight: float


class StockHead(BaseTaskHead):
    """A branch around an unedited head of another package.

    Attributes:
        stock: The head.

    Args:
        task: The task.
        stock: The built head; its ``num_classes`` must be the task's K.
        skip_partial: Whether samples that label only some classes, or some instances, are skipped instead of refused.
        init_cfg: mmengine initialisation.

    Raises:
        ModelError: The number of classes is not the task's.
    """

    def __init__(self, task: TaskSpec, stock: BaseModule, skip_partial: bool = False, init_cfg: Any = None) -> None:
        super().__init__(task, init_cfg)
        if getattr(stock, "num_classes", None) != task.num_channels:
            raise ModelError(
                f"{type(stock).__name__} has the wrong number of classes for {task.name!r}",
                expected=f"num_classes={task.num_channels}, for {', '.join(task.channels)}",
                got=getattr(stock, "num_classes", None),
            )
        self.stock = stock
        self.skip_partial = skip_partial

    def output_spec(self) -> OutputSpec:
        """Refuse: raw outputs of other packages' heads have no common description.

        Returns:
            Nothing.

        Raises:
            ModelError: Always.
        """
        raise ModelError(
            f"Branch {self.task.name!r} has no output spec: {type(self.stock).__name__} is not one of ours",
            remedy="use CenterLtrbHead or SegHead for a network that is quantized or exported",
        )

    def labelled_indices(self, samples: Sequence[MultiTaskDataSample]) -> list[int]:
        """Find the samples that the head can learn from.

        Args:
            samples: The batch.

        Returns:
            Indices of the samples in which every class is labelled exhaustively.

        Raises:
            ModelError: A sample is labelled in part and the branch does not skip such samples.
        """
        indices = []
        for index, sample in enumerate(samples):
            label = label_of(sample, self.task)
            if label is None:
                continue
            if reason := _partial(label):
                if self.skip_partial:
                    continue
                raise ModelError(
                    f"Branch {self.task.name!r} cannot learn from a sample that is labelled in part",
                    where=f"sample {sample.get('sample_id')!r} of source {sample.get('source')!r}",
                    expected=f"every class labelled exhaustively: {type(self.stock).__name__} cannot mask classes",
                    got=reason,
                    remedy="use CenterLtrbHead or SegHead, or skip_partial=True in the branch to leave such samples out",
                )
            indices.append(index)
        return indices

    def make_targets(self, samples: Sequence[MultiTaskDataSample], input_hw: tuple[int, int]) -> StockTargets:
        """Build the sample of the other package for each labelled one.

        Args:
            samples: The batch.
            input_hw: Height and width of the padded batch, px.

        Returns:
            The targets; the normalizer counts the labelled samples.
        """
        indices = self.labelled_indices(samples)
        device = next(self.stock.parameters()).device
        chosen = indices or [0]
        stock_samples = [self._stock_sample(samples[i], input_hw, bool(indices), device) for i in chosen]
        return StockTargets(torch.tensor([float(len(indices))], device=device), chosen, stock_samples, float(bool(indices)))

    @abstractmethod
    def _stock_sample(
        self, sample: MultiTaskDataSample, input_hw: tuple[int, int], is_labelled: bool, device: torch.device
    ) -> BaseDataElement:
        """Build a ``DetDataSample`` or ``SegDataSample``; an empty one where nothing is labelled."""

    def weighted(self, losses: dict[str, Any], factor: float | Tensor) -> Losses:
        """Sum losses that are lists, drop what is no loss, and scale.

        Args:
            losses: What the stock head returned.
            factor: Scale.

        Returns:
            Losses by name.
        """
        total: Losses = {}
        for name, value in losses.items():
            if "loss" in name:
                parts = value if isinstance(value, list | tuple) else [value]
                total[name] = torch.stack([part.mean() for part in parts]).sum() * factor
        return total


def _partial(label: TaskLabel) -> str | None:
    if len(label.category_sets):
        return "category sets"
    if not bool(label.class_labelled.all()):
        return f"{int(label.class_labelled.sum())} of {len(label.class_labelled)} classes labelled"
    if not bool(label.class_exhaustive.all()):
        return "non-exhaustive classes"
    return None
