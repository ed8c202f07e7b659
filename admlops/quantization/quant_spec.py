"""What integers a target computes with."""

from __future__ import annotations

from dataclasses import dataclass

from admlops.errors import QuantizationError, nearest
from admlops.quantization.rounding import ROUNDINGS

RELU_HIGHS = {"u8": 255, "s8": 127}
"""Largest integer behind a ReLU, by relu range."""


@dataclass(frozen=True)
class QuantSpec:
    """The integers of a target.

    Attributes:
        weight_bits: 8, or 7 for x86 processors without VNNI, whose 16-bit sums of two products saturate with 8.
        relu_range: Integers behind a ReLU: ``u8`` 0 to 255, or ``s8`` 0 to 127 for targets without unsigned bytes (TensorRT).
        power_of_two: Whether scales are powers of two. Then the simulation, the integers and the runtimes are equal bit for
            bit. Otherwise the promise is weaker: simulation and integer reference are equal; runtimes differ from them where a
            sum falls on the other side of a tie, in some percent of the integers, the more the deeper the network.
        rounding: A name in ``ROUNDINGS``.
        momentum: Part by which a training batch moves the observed range of an activation.

    Raises:
        QuantizationError: A value that no target has.
    """

    weight_bits: int = 8
    relu_range: str = "u8"
    power_of_two: bool = True
    rounding: str = "half_even"
    momentum: float = 0.05

    def __post_init__(self) -> None:
        if self.weight_bits not in (7, 8):
            raise QuantizationError("weights of so many bits are not supported", expected="8, or 7", got=self.weight_bits)
        for name, valid in (("relu_range", RELU_HIGHS), ("rounding", ROUNDINGS)):
            value = getattr(self, name)
            if value not in valid:
                raise QuantizationError(f"unknown {name}", expected=sorted(valid), got=value, remedy=nearest(str(value), valid))
        if not 0 < self.momentum <= 1:
            raise QuantizationError(
                "the momentum of the observed ranges is unusable", expected="0 < momentum <= 1", got=self.momentum
            )

    @property
    def weight_high(self) -> int:
        """Largest integer of a weight; the smallest is its negative."""
        return int(2 ** (self.weight_bits - 1) - 1)
