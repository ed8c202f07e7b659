"""Rounds an activation to the grid that integers have, and learns the grid's range from what passes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from admlops.errors import QuantizationError
from admlops.quantization.network_graph import Grid
from admlops.quantization.quant_spec import RELU_HIGHS, QuantSpec
from admlops.quantization.rounding import ROUNDINGS


def power_of_two_above(values: Tensor) -> Tensor:
    """Find the smallest powers of two that are not below some values.

    Args:
        values: Positive floats.

    Returns:
        Powers of two, exact (log2 of a float is not).
    """
    mantissa, exponent = torch.frexp(values)
    return torch.ldexp(torch.ones_like(values), exponent - (mantissa == 0.5).to(exponent.dtype))


class _RoundStraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, rounding: str) -> Tensor:
        return ROUNDINGS[rounding].values(values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


def round_straight_through(values: Tensor, rounding: str) -> Tensor:
    """Round; the gradient passes as if it had not.

    Args:
        values: Floats.
        rounding: A name in ``ROUNDINGS``.

    Returns:
        Whole numbers.
    """
    rounded: Tensor = _RoundStraightThrough.apply(values, rounding)  # type: ignore[no-untyped-call]
    return rounded


class ActivationQuantizer(nn.Module):
    """The one owner of an activation's scale.

    Training rounds to the scale as it was before the batch, then lets the batch move the range: with buffers broadcast before
    each step, all ranks round alike. The range is the largest magnitude; outliers fade with the momentum.

    Attributes:
        amax: 0-d buffer, the observed largest magnitude; 0 before anything was seen.
        low: Smallest integer.
        high: Largest integer.
        observing: Whether training moves the range.
        simulate: Whether values are rounded; otherwise they only are observed (calibration).

    Args:
        spec: The target's integers.
        unsigned: Whether values are behind a ReLU.
        fixed_scale: A scale that is known and never moves.
    """

    amax: Tensor

    def __init__(self, spec: QuantSpec, unsigned: bool, fixed_scale: float | None = None) -> None:
        super().__init__()
        self.spec = spec
        self.low, self.high = (0, RELU_HIGHS[spec.relu_range]) if unsigned else (-128, 127)
        self.fixed = fixed_scale is not None
        self.register_buffer("amax", torch.tensor(0.0 if fixed_scale is None else fixed_scale * self.high))
        self.observing = True
        self.simulate = True
        self.name = ""

    def scale(self) -> Tensor:
        """Derive the scale from the observed range.

        Returns:
            0-d float32.
        """
        scale = self.amax / self.high
        return power_of_two_above(scale) if self.spec.power_of_two else scale

    def grid(self) -> Grid:
        """Describe the grid.

        Returns:
            The grid.

        Raises:
            QuantizationError: Nothing was observed yet, or something that is not finite.
        """
        amax = float(self.amax)
        if not 0 < amax < float("inf"):
            raise QuantizationError(
                "an activation has no usable range",
                where=self.name,
                expected="a positive largest magnitude",
                got="nothing was observed yet" if amax == 0 else amax,
                remedy="calibrate the network on a few pictures before it is evaluated or converted"
                if amax == 0
                else "look at what the layer puts out: it is dead, or training diverged",
            )
        return Grid(float(self.scale()), self.low, self.high)

    def observe(self, feat: Tensor, momentum: float | None) -> None:
        """Let a tensor move the range.

        Args:
            feat: Activations.
            momentum: How far; None takes the larger of both.
        """
        if self.fixed:
            return
        low, high = torch.aminmax(feat.detach())
        seen = torch.maximum(-low, high).float()
        if momentum is None:
            moved = torch.maximum(self.amax, seen)
        else:
            moved = torch.where(self.amax == 0, seen, self.amax + momentum * (seen - self.amax))
        self.amax.copy_(moved)

    def forward(self, feat: Tensor) -> Tensor:
        """Round to the grid.

        Args:
            feat: Activations of any shape.

        Returns:
            The nearest values on the grid; the activations themselves while ``simulate`` is off.
        """
        if not self.simulate:
            self.observe(feat, momentum=None)
            return feat
        if not self.training and not torch.is_grad_enabled():
            scale = torch.tensor(self.grid().scale, device=feat.device)
            return ROUNDINGS[self.spec.rounding].values(feat / scale).clamp(self.low, self.high) * scale
        scale = self.scale()
        rounded = self._round_with_gradient(feat, scale)
        if self.training and self.observing:
            self.observe(feat, self.spec.momentum)
        return rounded

    def _round_with_gradient(self, feat: Tensor, scale: Tensor) -> Tensor:
        if self.spec.rounding == "half_even":
            # One fused pass over memory; its rounding is half to even.
            zero_point = torch.zeros((), dtype=torch.int32, device=feat.device)
            return torch.fake_quantize_per_tensor_affine(feat, scale, zero_point, self.low, self.high)
        inside = torch.clamp(feat, self.low * scale, self.high * scale)
        return round_straight_through(inside / scale, self.spec.rounding) * scale
