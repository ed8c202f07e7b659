"""How integers are rounded, in floats for the simulation and in shifts for the reference: the one place that a chip may change.

A pair must agree on every input, see ``tests/quantization/test_rounding.py``. Exports to ONNX are half to even by definition.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rounding:
    """One way to round.

    Attributes:
        values: Rounds a float tensor to whole numbers; may overwrite it.
        shift: Divides an integer tensor by ``2 ** bits`` (a tensor of at least 1, broadcast) and rounds.
    """

    values: Callable[[Tensor], Tensor]
    shift: Callable[[Tensor, Tensor], Tensor]


def _half_even_shift(integers: Tensor, bits: Tensor) -> Tensor:
    floor = integers >> bits
    rest = integers - (floor << bits)
    half = 1 << (bits - 1)
    return floor + ((rest > half) | ((rest == half) & (floor & 1 == 1))).to(integers.dtype)


def _half_up_values(values: Tensor) -> Tensor:
    # Not floor(values + 0.5): just below a half, that sum is itself rounded up.
    floor = torch.floor(values)
    return floor.add_(values.sub_(floor) >= 0.5)


def _half_up_shift(integers: Tensor, bits: Tensor) -> Tensor:
    return (integers + (1 << (bits - 1))) >> bits


ROUNDINGS: Mapping[str, Rounding] = {
    "half_even": Rounding(torch.round_, _half_even_shift),
    "half_up": Rounding(_half_up_values, _half_up_shift),
}
"""By the name that a config gives: ``half_even`` is that of IEEE, ONNX and all runtimes; ``half_up`` adds a half and cuts."""
