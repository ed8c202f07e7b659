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


class _RoundToGrid(torch.autograd.Function):
    """A few vectorised passes; torch's fused ``fake_quantize`` takes fifteen times as long on a CPU."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, scale: Tensor, low: int, high: int, rounding: str) -> Tensor:
        whole = ROUNDINGS[rounding].values(values / scale)
        ctx.save_for_backward(whole)
        ctx.bounds = (low - 0.5, high + 0.5)
        return whole.clamp(low, high).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        (whole,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(grads[0], whole, *ctx.bounds), None, None, None, None


def round_to_grid(values: Tensor, scale: Tensor, low: int, high: int, rounding: str) -> Tensor:
    """Round to the nearest value on a grid; the gradient passes where the grid reaches.

    Args:
        values: Floats.
        scale: Distance of the grid's values, broadcast.
        low: Smallest integer.
        high: Largest integer.
        rounding: A name in ``ROUNDINGS``.

    Returns:
        ``q * scale`` with whole ``q`` from ``low`` to ``high``.
    """
    rounded: Tensor = _RoundToGrid.apply(values, scale, low, high, rounding)  # type: ignore[no-untyped-call]
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
                remedy="calibrate the network on a few pictures; if it was, the layer puts out nothing but zeros"
                if amax == 0
                else "look at what the layer puts out: it is dead, or training diverged",
            )
        return Grid(float(self.scale()), self.low, self.high)

    def observe(self, feat: Tensor, momentum: float | None) -> None:
        """Let a tensor move the range.

        Args:
            feat: Activations; behind a ReLU that is left to the quantizer, also negative ones.
            momentum: How far; None takes the larger of both.
        """
        if self.fixed:
            return
        seen = feat.detach().amax().clamp(min=0).float()
        if self.low < 0:
            seen = torch.maximum(seen, -feat.detach().amin().float())
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
            self.grid()  # is there one?
        rounded = round_to_grid(feat, self.scale(), self.low, self.high, self.spec.rounding)
        if self.training and self.observing:
            self.observe(feat, self.spec.momentum)
        return rounded
