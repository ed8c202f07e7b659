"""What every head can do, ours and those of mmdet and mmseg alike."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.model import BaseModule
from mmengine.structures import BaseDataElement
from torch import Tensor

from admlops.errors import ModelError
from admlops.structures import MultiTaskDataSample, OutputSpec, TaskLabel
from admlops.task_spec import TaskKind, TaskSpec

Feats = tuple[Tensor, ...]
Losses = dict[str, Tensor]


@dataclass(frozen=True)
class HeadTargets:
    """Targets of a batch; subclasses add what their loss needs.

    Attributes:
        normalizers: (n,) float32, this batch's counts that the losses are divided by. The detector sums them over all ranks
            before it calls ``loss``, so that the mean gradient of the ranks is the gradient of the global batch.
    """

    normalizers: Tensor


class BaseTaskHead(BaseModule):
    """A head: ``forward`` gives raw outputs (this alone is quantized and exported), the rest trains and predicts.

    Attributes:
        task: The task.
        kinds: Kinds of task that the head can learn.

    Args:
        task: The task.
        init_cfg: mmengine initialisation.

    Raises:
        ModelError: The head cannot learn a task of this kind.
    """

    kinds: tuple[TaskKind, ...] = ()

    def __init__(self, task: TaskSpec, init_cfg: Any = None) -> None:
        super().__init__(init_cfg)
        if task.kind not in self.kinds:
            raise ModelError(
                f"{type(self).__name__} cannot learn {task.name!r}",
                expected=f"a task of kind {' or '.join(kind.value for kind in self.kinds)}",
                got=task.kind.value,
            )
        self.task = task

    @abstractmethod
    def forward(self, feats: Feats) -> tuple[Tensor, ...]:
        """Compute the raw outputs.

        Args:
            feats: The branch's levels, (B, C, H, W) each.

        Returns:
            Raw outputs in the order of ``output_spec().tensors``.
        """

    @abstractmethod
    def output_spec(self) -> OutputSpec:
        """Describe the raw outputs and their decoding.

        Returns:
            The description that exporters, back ends and metrics read.
        """

    @abstractmethod
    def make_targets(self, samples: Sequence[MultiTaskDataSample], input_hw: tuple[int, int]) -> HeadTargets:
        """Encode the labels of a batch, which needs no features.

        Args:
            samples: The batch; samples without a label of the task take no part in the loss.
            input_hw: Height and width of the padded batch, px.

        Returns:
            Targets with this batch's counts.
        """

    @abstractmethod
    def loss(self, feats: Feats, targets: HeadTargets, normalizers: Tensor) -> Losses:
        """Compute the losses; runs the head on the whole batch, whatever is labelled.

        Args:
            feats: The branch's levels.
            targets: What ``make_targets`` returned.
            normalizers: (n,) counts over all ranks divided by the number of ranks, at least 1 / ranks.

        Returns:
            Losses by name; each name starts with ``loss``.
        """

    def predict(
        self, feats: Feats, metas: Sequence[Mapping[str, Any]], input_hw: tuple[int, int], allowed_K: Tensor
    ) -> list[BaseDataElement]:
        """Predict in pixels of the padded input.

        Args:
            feats: The branch's levels.
            metas: As ``interpret`` takes them.
            input_hw: Height and width of the padded batch, px.
            allowed_K: As ``interpret`` takes them.

        Returns:
            A sample each, as ``interpret`` gives it.
        """
        return self.interpret(self(feats), metas, input_hw, allowed_K)

    @abstractmethod
    def interpret(
        self, raw: Sequence[Tensor], metas: Sequence[Mapping[str, Any]], input_hw: tuple[int, int], allowed_K: Tensor
    ) -> list[BaseDataElement]:
        """Make predictions of raw outputs, whoever computed them: the network, or its integers.

        Args:
            raw: What ``forward`` returns.
            metas: Metainfo a sample; ``img_shape`` is the valid part.
            input_hw: Height and width of the padded batch, px.
            allowed_K: (K,) bool, False for classes that no source ever labelled: they never win.

        Returns:
            A sample each: ``InstanceData`` (``bboxes``, ``scores``, ``labels``) or ``PixelData`` (``data`` (1, H, W) uint8).
        """


def label_of(sample: MultiTaskDataSample, task: TaskSpec) -> TaskLabel | None:
    """Look up a task's training label.

    Args:
        sample: One sample of a batch.
        task: The task.

    Returns:
        The label in input pixels; None where the task is not labelled at all, neither by class nor by category set.
    """
    if "gt" not in sample or task.name not in sample.gt:
        return None
    label: TaskLabel = sample.gt.get(task.name)
    # A coarse source may label nothing but sets; whether it has any is known without asking the device.
    return label if len(label.category_sets) or bool(label.class_labelled.any()) else None


def valid_hw(meta: Mapping[str, Any], input_hw: tuple[int, int]) -> tuple[int, int]:
    """Read which part of the input shows the image.

    Args:
        meta: Metainfo of a sample.
        input_hw: Height and width of the padded batch, px; what is assumed where ``img_shape`` is absent.

    Returns:
        Height and width of the valid part, px.
    """
    height, width = tuple(meta.get("img_shape", input_hw))[:2]
    return int(height), int(width)
