"""What a network's raw outputs are: written by heads, read by the quantizer, the exporter, back ends and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from admlops.task_spec import TaskSpec


@dataclass(frozen=True)
class TensorSpec:
    """One raw output tensor of shape (B, channels, ceil(H / stride), ceil(W / stride)).

    Attributes:
        name: Unique in the network, ``<task>.<tensor>``.
        channels: Number of channels.
        stride: Input pixels a cell.
        scale: Multiplied to the raw value before it is decoded; integers carry their quantization step here.
    """

    name: str
    channels: int
    stride: int
    scale: float = 1.0


@dataclass(frozen=True)
class OutputSpec:
    """Raw outputs of one branch and how they become predictions.

    Attributes:
        task: The branch's task.
        tensors: The raw outputs, in the order in which the head returns them.
        decoding: Identifier of the decoding, such as ``center_ltrb`` or ``argmax``.
        parameters: Its parameters (thresholds, number of detections).
    """

    task: TaskSpec
    tensors: tuple[TensorSpec, ...]
    decoding: str
    parameters: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
