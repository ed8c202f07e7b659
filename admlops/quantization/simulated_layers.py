"""Layers that compute in floats what integers will; they replace those of ``admlops.layers`` when a network is prepared.

Where gradients are off, a layer computes on whole numbers, rounds the accumulator (which is a whole number, unless a fast
algorithm such as Winograd's was chosen) and scales once: these are the values of the integer network, bit for bit. Where they
are on, it computes the same from dequantized values, in fewer passes over memory.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from admlops.errors import QuantizationError
from admlops.layers import Add, Concat
from admlops.quantization.activation_quantizer import ActivationQuantizer, power_of_two_above, round_to_grid
from admlops.quantization.fold_bn import bn_factor, fold_bn
from admlops.quantization.quant_spec import QuantSpec
from admlops.quantization.rounding import ROUNDINGS

ACCUMULATOR_LIMIT = 2**24
"""Whole numbers up to here are exact in float32, so no order of summation and no runtime changes a sum."""
SMALLEST_SCALE = 2.0**-40


class SimulatedConv(nn.Module):
    """Convolution with quantized weights, BN and ReLU, and a quantizer on its output.

    With BN that trains, weights are quantized as they will be once BN is absorbed (times ``gamma / sigma`` of the running
    statistics, and back), and BN normalises by the batch. In eval mode BN is folded on the fly by the code that absorbs it, so
    that absorbing changes nothing.

    Attributes:
        conv: The convolution.
        bn: The normalisation, or None once absorbed.
        act: The ReLU, or None.
        out_quantizer: Quantizer of the output; None for raw outputs and for the operand of a sum that stays in the accumulator.
        simulate: Whether weights are quantized.

    Args:
        conv: The convolution.
        bn: Its normalisation, or None.
        act: Its ReLU, or None.
        spec: The target's integers.
        quantize_output: Whether the output is rounded.
    """

    def __init__(
        self, conv: nn.Conv2d, bn: nn.BatchNorm2d | None, act: nn.Module | None, spec: QuantSpec, quantize_output: bool
    ) -> None:
        super().__init__()
        self.conv, self.bn, self.act = conv, bn, act
        self.spec = spec
        self.out_quantizer = ActivationQuantizer(spec, unsigned=act is not None) if quantize_output else None
        self.simulate = True
        self.name = ""
        self._wires: dict[str, ActivationQuantizer | None] = {}

    def wire(self, in_quantizer: ActivationQuantizer, addend_quantizer: ActivationQuantizer | None) -> None:
        """Say whose scale the input has, and what is added to an output without quantizer.

        Args:
            in_quantizer: Quantizer of the input.
            addend_quantizer: Quantizer of the other operand of the sum that reads the output.
        """
        # In a plain dict: as submodules they would be in the state twice.
        self._wires = {"input": in_quantizer, "addend": addend_quantizer}

    @property
    def in_quantizer(self) -> ActivationQuantizer:
        """The quantizer of the input.

        Raises:
            QuantizationError: The layer was not wired.
        """
        found = self._wires.get("input")
        if found is None:
            raise QuantizationError("a convolution does not know the scale of its input", where=self.name)
        return found

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # In floats the layer may have been the convolution itself.
        for name in ("weight", "bias"):
            if f"{prefix}{name}" in state_dict:
                state_dict[f"{prefix}conv.{name}"] = state_dict.pop(f"{prefix}{name}")
        super()._load_from_state_dict(state_dict, prefix, *args)

    @torch.no_grad()
    def absorb_bn(self) -> None:
        """Fold BN into weight and bias, for good."""
        if self.bn is None:
            return
        weight_OIHW, bias_O = fold_bn(self.conv, self.bn)
        learns = self.conv.weight.requires_grad
        self.conv.weight = nn.Parameter(weight_OIHW.detach().clone(), requires_grad=learns)
        self.conv.bias = nn.Parameter(bias_O.detach().clone(), requires_grad=learns)
        self.bn = None

    @torch.no_grad()
    def weight_scale(self, weight_OIHW: Tensor, bias_O: Tensor | None, in_scale: Tensor) -> Tensor:
        """Choose the scale of each output channel's weights.

        It covers the largest weight, and keeps everything that the accumulator can hold below 2**24: a dead channel, whose
        weights are nearly 0 beside its bias, gets a scale at which the bias fits.

        Args:
            weight_OIHW: Folded weights.
            bias_O: Folded bias; None while BN is apart.
            in_scale: Scale of the input.

        Returns:
            (O,) float32.
        """
        high = self.spec.weight_high
        magnitudes_ON = weight_OIHW.abs().flatten(1)
        reach = max(-self.in_quantizer.low, self.in_quantizer.high)
        load = magnitudes_ON.sum(dim=1) * reach
        if bias_O is not None:
            load = load + bias_O.abs() / in_scale
        if (addend := self._wires.get("addend")) is not None:
            load = load + 256 * addend.scale() / in_scale
        # Rounding may add half a unit to each product and one to the rest.
        room = ACCUMULATOR_LIMIT - magnitudes_ON.shape[1] * reach / 2 - 2
        scale = torch.maximum(magnitudes_ON.amax(dim=1) / high, load / room).clamp(min=SMALLEST_SCALE)
        return power_of_two_above(scale) if self.spec.power_of_two else scale

    def integers(self) -> tuple[Tensor, Tensor, Tensor]:
        """Compute what the integer network holds.

        Returns:
            Whole numbers in float32: weight (O, I, H, W), bias (O,); and the weights' scale (O,).
        """
        in_scale = torch.tensor(self.in_quantizer.grid().scale, device=self.conv.weight.device)
        weight_OIHW, bias_O = fold_bn(self.conv, self.bn)
        scale_O = self.weight_scale(weight_OIHW, bias_O, in_scale)
        high, to_whole = self.spec.weight_high, ROUNDINGS[self.spec.rounding].values
        q_OIHW = to_whole(weight_OIHW / scale_O.view(-1, 1, 1, 1)).clamp(-high, high)
        return q_OIHW, to_whole(bias_O / (in_scale * scale_O)), scale_O

    def forward(self, feat_BCHW: Tensor) -> Tensor:
        """Convolve, normalise, rectify, round.

        Args:
            feat_BCHW: (B, C, H, W) on the grid of ``in_quantizer``.

        Returns:
            (B, O, H', W') on the grid of ``out_quantizer``; on that of the accumulator without one.
        """
        if not self.simulate:
            feat_BCHW = self._convolve(feat_BCHW, self.conv.weight, self.conv.bias)
            feat_BCHW = feat_BCHW if self.bn is None else self.bn(feat_BCHW)
        elif self.bn is not None and self.bn.training:
            feat_BCHW = self.bn(self._reverse_fold(feat_BCHW, self.bn))
        elif torch.is_grad_enabled():
            feat_BCHW = self._differentiable(feat_BCHW)
        else:
            feat_BCHW = self._exact(feat_BCHW)
        # The quantizer of a ReLU's output begins at 0: it is the ReLU.
        if self.act is not None and (self.out_quantizer is None or not self.simulate):
            feat_BCHW = self.act(feat_BCHW)
        return feat_BCHW if self.out_quantizer is None else self.out_quantizer(feat_BCHW)

    def _reverse_fold(self, feat_BCHW: Tensor, bn: nn.BatchNorm2d) -> Tensor:
        factor_O = bn_factor(bn).detach()
        # A channel whose gamma is 0 is constant behind BN; its weights need some scale to learn by.
        factor_O = torch.where(factor_O.abs() < SMALLEST_SCALE, torch.ones_like(factor_O), factor_O).view(-1, 1, 1, 1)
        weight_OIHW = self.conv.weight * factor_O
        scale_O = self.weight_scale(weight_OIHW, None, self.in_quantizer.scale())
        return self._convolve(feat_BCHW, self._rounded_weight(weight_OIHW, scale_O) / factor_O, self.conv.bias)

    def _differentiable(self, feat_BCHW: Tensor) -> Tensor:
        weight_OIHW, bias_O = fold_bn(self.conv, self.bn)
        in_scale = self.in_quantizer.scale()
        scale_O = self.weight_scale(weight_OIHW, bias_O, in_scale)
        unit_O = in_scale * scale_O
        bias_O = round_to_grid(bias_O, unit_O, -ACCUMULATOR_LIMIT, ACCUMULATOR_LIMIT, self.spec.rounding)
        return self._convolve(feat_BCHW, self._rounded_weight(weight_OIHW, scale_O), bias_O)

    def _exact(self, feat_BCHW: Tensor) -> Tensor:
        in_scale = torch.tensor(self.in_quantizer.grid().scale, device=feat_BCHW.device)
        q_OIHW, bias_O, scale_O = self.integers()
        # With arbitrary scales (q * s) / s is not always q.
        whole_BCHW = (feat_BCHW.float() / in_scale).round_()
        # Half precision holds no accumulator.
        with torch.autocast(feat_BCHW.device.type, enabled=False):
            acc_BOHW = self._convolve(whole_BCHW, q_OIHW, bias_O).round_()
        return acc_BOHW * (in_scale * scale_O).view(-1, 1, 1)

    def _rounded_weight(self, weight_OIHW: Tensor, scale_O: Tensor) -> Tensor:
        high = self.spec.weight_high
        return round_to_grid(weight_OIHW, scale_O.view(-1, 1, 1, 1), -high, high, self.spec.rounding)

    def _convolve(self, feat_BCHW: Tensor, weight_OIHW: Tensor, bias_O: Tensor | None) -> Tensor:
        conv: Any = self.conv
        return F.conv2d(feat_BCHW, weight_OIHW, bias_O, conv.stride, conv.padding, conv.dilation, conv.groups)


class SimulatedAdd(nn.Module):
    """A sum with a quantizer on its output.

    Attributes:
        add: The sum.
        out_quantizer: Quantizer of the output.

    Args:
        add: The sum that it replaces.
        spec: The target's integers.
    """

    def __init__(self, add: Add, spec: QuantSpec) -> None:
        super().__init__()
        self.add = add
        self.out_quantizer = ActivationQuantizer(spec, unsigned=add.act is not None)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Add and round.

        Args:
            a: Feature map, on a grid or in the accumulator.
            b: Feature map of the same shape.

        Returns:
            The sum on the grid of ``out_quantizer``.
        """
        # The quantizer of a ReLU's output begins at 0: it is the ReLU.
        total = a + b if self.out_quantizer.simulate else self.add(a, b)
        rounded: Tensor = self.out_quantizer(total)
        return rounded


class SimulatedConcat(nn.Module):
    """A concatenation whose operands move to one grid.

    Attributes:
        concat: The concatenation.
        out_quantizer: Quantizer of the output.

    Args:
        concat: The concatenation that it replaces.
        spec: The target's integers.
        unsigned: Whether all operands are behind a ReLU.
    """

    def __init__(self, concat: Concat, spec: QuantSpec, unsigned: bool) -> None:
        super().__init__()
        self.concat = concat
        self.out_quantizer = ActivationQuantizer(spec, unsigned)

    def forward(self, *feats_BCHW: Tensor) -> Tensor:
        """Concatenate and round.

        Args:
            *feats_BCHW: Feature maps (B, C_i, H, W).

        Returns:
            (B, sum(C_i), H, W) on the grid of ``out_quantizer``.
        """
        rounded: Tensor = self.out_quantizer(self.concat(*feats_BCHW))
        return rounded


class SimulatedInput(nn.Module):
    """The picture on its grid: multiples of 1/128 from -1 to 127/128, as every picture of bytes is.

    Attributes:
        out_quantizer: Quantizer of the picture, of fixed scale.

    Args:
        spec: The target's integers.
    """

    def __init__(self, spec: QuantSpec) -> None:
        super().__init__()
        self.out_quantizer = ActivationQuantizer(spec, unsigned=False, fixed_scale=1 / 128)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Round the picture.

        Args:
            image_BCHW: ``(pixel - 128) / 128``.

        Returns:
            The picture on the grid.
        """
        rounded: Tensor = self.out_quantizer(image_BCHW)
        return rounded


class SimulatedFeatureInput(nn.Module):
    """A map that was computed in floats, on a grid from 0 on whose range is learned.

    Attributes:
        channels: Channels of the map.
        out_quantizer: Quantizer of the map.

    Args:
        channels: Channels of the map.
        spec: The target's integers.
    """

    def __init__(self, channels: int, spec: QuantSpec) -> None:
        super().__init__()
        self.channels = channels
        self.out_quantizer = ActivationQuantizer(spec, unsigned=True)

    def forward(self, feat_BCHW: Tensor) -> Tensor:
        """Round the map.

        Args:
            feat_BCHW: Map (B, channels, H, W).

        Returns:
            The map on the grid; what is negative becomes 0.
        """
        rounded: Tensor = self.out_quantizer(feat_BCHW)
        return rounded
