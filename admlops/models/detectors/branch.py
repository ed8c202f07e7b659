"""A branch: a task, a head, where its features come from, and the weight of its loss."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModule
from torch import Tensor

from admlops.errors import ModelError
from admlops.models.heads import BaseTaskHead, StockDetectionHead, StockSegHead
from admlops.models.heads.base_task_head import label_of
from admlops.models.heads.stock_head import StockHead
from admlops.registry import MODELS
from admlops.structures import MultiTaskDataSample
from admlops.task_spec import TaskSpec, resolve_task

# By name, so that neither package is imported where no branch needs it.
STOCK_ADAPTERS: dict[tuple[str, str], type[StockHead]] = {
    ("mmdet", "BaseDenseHead"): StockDetectionHead,
    ("mmseg", "BaseDecodeHead"): StockSegHead,
}


class Branch(BaseModule):
    """One task of a network.

    Attributes:
        task: The task.
        head: The head, ours or an adapter around one of mmdet or mmseg.
        in_levels: Levels of the neck that the head reads.
        loss_weight: Factor of all its losses.
        seen: (K,) bool buffer, the classes that some source labelled so far; kept in checkpoints.

    Args:
        name: Name in the network.
        head: Config of the head. Heads of ours get ``task``; those of mmdet and mmseg are built in their own scope.
        task: Task, its name, or its fields; by default the branch's name.
        in_levels: Levels of the neck, 0 is the finest.
        loss_weight: Factor of all its losses.
        skip_partial: For heads of mmdet and mmseg, whether samples that are labelled in part are skipped instead of refused.

    Raises:
        ModelError: The head is unknown, unfit for the task, or ``skip_partial`` is given for a head that masks classes.
    """

    def __init__(
        self,
        name: str,
        head: Mapping[str, Any],
        task: str | TaskSpec | Mapping[str, Any] | None = None,
        in_levels: Sequence[int] = (0,),
        loss_weight: float = 1.0,
        skip_partial: bool = False,
    ) -> None:
        super().__init__()
        self.task = resolve_task(name if task is None else task)
        self.in_levels = tuple(in_levels)
        self.loss_weight = loss_weight
        self.head = _build_head(name, head, self.task, skip_partial)
        self.seen: Tensor
        self.register_buffer("seen", torch.zeros(self.task.num_channels, dtype=torch.bool))

    @property
    def allowed_classes(self) -> Tensor:
        """(K,) bool: the classes that may be predicted; all of them before any training."""
        return self.seen | ~self.seen.any()

    def select(self, feats: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Pick the levels that the head reads.

        Args:
            feats: All levels of the neck.

        Returns:
            The branch's levels.
        """
        return tuple(feats[level] for level in self.in_levels)

    def labelled(self, samples: Sequence[MultiTaskDataSample]) -> Tensor:
        """Look up what a batch labels.

        Args:
            samples: The batch.

        Returns:
            (B, 1 + K) float32 zeros and ones: whether the branch learns from the sample, then by class whether the sample
            labels it alone, not in a set.
        """
        indices = self.head.labelled_indices(samples) if isinstance(self.head, StockHead) else range(len(samples))
        labelled = torch.zeros(len(samples), 1 + len(self.seen), device=self.seen.device)
        for index in indices:
            if (label := label_of(samples[index], self.task)) is not None:
                labelled[index, 0] = 1
                labelled[index, 1:] = label.class_labelled
        return labelled


def _build_head(name: str, head: Mapping[str, Any], task: TaskSpec, skip_partial: bool) -> BaseTaskHead:
    # ConfigDict throughout: stock heads read test_cfg.nms by attribute.
    cfg = ConfigDict(copy.deepcopy(dict(head)))
    cls = _head_class(name, cfg)
    if issubclass(cls, BaseTaskHead):
        if skip_partial:
            raise ModelError(
                f"Branch {name!r}: skip_partial is for heads of mmdet and mmseg",
                got=cls.__name__,
                remedy="remove it: ours mask",
            )
        own: BaseTaskHead = MODELS.build({**cfg, "task": task})
        return own
    base = next((key for ancestor in cls.__mro__ if (key := _key(ancestor)) in STOCK_ADAPTERS), None)
    if base is None or task.kind not in STOCK_ADAPTERS[base].kinds:
        raise ModelError(
            f"Branch {name!r}: {cls.__name__} cannot be the head of a {task.kind.value} task",
            expected="a dense head of mmdet for detection, a decode head of mmseg for segmentation, or a head of ours",
            got=f"{cls.__module__}.{cls.__name__}",
        )
    # A stock head's own parts (losses, assigners, coders) resolve in the scope that it comes from.
    cfg.setdefault("_scope_", base[0])
    cfg["type"] = cls
    return STOCK_ADAPTERS[base](task, MODELS.build(cfg), skip_partial)


def _key(cls: type) -> tuple[str, str]:
    return cls.__module__.split(".")[0], cls.__name__


def _head_class(name: str, cfg: ConfigDict) -> type:
    kind = cfg.get("type")
    if isinstance(kind, str):
        with MODELS.switch_scope_and_registry(cfg.get("_scope_", "admlops")) as registry:
            found = registry.get(kind)
        if found is None:
            raise ModelError(
                f"Branch {name!r} names an unknown head",
                got=repr(kind),
                remedy="import the class in the config, or say '_scope_': 'mmdet' or 'mmseg'",
            )
        kind = found
    if not isinstance(kind, type):
        raise ModelError(f"Branch {name!r}: the head has no type", expected="dict(type=...)", got=repr(kind))
    return kind
