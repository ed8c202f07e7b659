"""Quantized networks with random integers and every kind of node; scales fit what flows, as a calibration would choose them."""

from __future__ import annotations

import math

import numpy as np
import torch

from admlops.quantization.integer_network import IntegerNetwork, Integers
from admlops.quantization.network_graph import (
    AddNode,
    ConcatNode,
    ConvNode,
    FeatureInputNode,
    Grid,
    InputNode,
    MaxPoolNode,
    NetworkGraph,
    Node,
    ReluNode,
    UpsampleNode,
)


class RandomNetwork:
    """Adds node after node, each with the scale that its values on one picture ask for."""

    def __init__(self, image_BCHW, *, seed=0, weight_bits=8, relu_high=255, power_of_two=True, features=False):
        self.rng = torch.Generator().manual_seed(seed)
        self.weight_high = 2 ** (weight_bits - 1) - 1
        self.relu_high = relu_high
        self.power_of_two = power_of_two
        self.nodes: list[Node] = []
        self.values: dict[str, Integers] = {}
        grid = Grid(2.0**-6, 0, relu_high) if features else Grid(1 / 128, -128, 127)
        node = FeatureInputNode if features else InputNode
        self._append(node("input", (), grid, image_BCHW.shape[1]), image_BCHW)

    def channels(self, name):
        return self.values[name].q.shape[1]

    def conv(self, name, feat, out, kernel=1, stride=1, groups=1, relu=True, raw=False):
        shape = (out, self.channels(feat) // groups, kernel, kernel)
        weight = torch.randn(shape, generator=self.rng) * self.weight_high / 3
        weight = weight.round().clamp(-self.weight_high, self.weight_high).to(torch.int8)
        fan_in = math.prod(shape[1:])
        if self.power_of_two:
            exponents = torch.randint(-7, -4, (out,), generator=self.rng) - round(math.log2(fan_in) / 2)
            scale = torch.ldexp(torch.ones(out), exponents)
        else:
            scale = (torch.rand(out, generator=self.rng) + 0.5) / 50 / math.sqrt(fan_in)
        bias = torch.randint(-2000, 2000, (out,), generator=self.rng, dtype=torch.int32)
        pad = kernel // 2
        fields = ((stride, stride), (pad, pad), (1, 1), groups, relu)
        return self._fit(lambda grid: ConvNode(name, (feat,), grid, weight, bias, scale, *fields), relu, raw)

    def add(self, name, a, b, relu=True):
        return self._fit(lambda grid: AddNode(name, (a, b), grid, relu), relu)

    def concat(self, name, *feats):
        unsigned = all(self.grid(feat).low == 0 for feat in feats)
        return self._fit(lambda grid: ConcatNode(name, feats, grid), unsigned)

    def upsample(self, name, feat, like):
        return self._append(UpsampleNode(name, (feat, like), self.grid(feat)))

    def max_pool(self, name, feat):
        return self._append(MaxPoolNode(name, (feat,), self.grid(feat), (3, 3), (2, 2), (1, 1)))

    def relu(self, name, feat):
        return self._append(ReluNode(name, (feat,), self.grid(feat)))

    def grid(self, name):
        return next(node.grid for node in self.nodes if node.name == name)

    def separable(self, name, feat, out, stride=1, relu=True, raw=False):
        group = self.conv(f"{name}.group", feat, 2 * self.channels(feat), 3, stride, self.channels(feat) // 8)
        return self.conv(f"{name}.pointwise", group, out, relu=relu, raw=raw)

    def block(self, name, feat):
        residual = self.separable(
            f"{name}.second",
            self.separable(f"{name}.first", feat, self.channels(feat)),
            self.channels(feat),
            relu=False,
            raw=True,
        )
        return self.add(f"{name}.add", residual, feat)

    def down_block(self, name, feat, out, merged=True, bare=("first", "second"), swap=False):
        first = self.separable(f"{name}.first", feat, out, 2, relu=not merged, raw=merged and bare[0] == "first")
        if merged:
            parallel = self.separable(f"{name}.parallel", feat, out, 2, relu=False, raw=bare[0] == "parallel")
            first = self.add(f"{name}.merge", *((parallel, first) if swap else (first, parallel)))
        second = self.separable(f"{name}.second", first, out, relu=False, raw=bare[1] == "second")
        shortcut = self.separable(f"{name}.shortcut", feat, out, 2, relu=False, raw=bare[1] == "shortcut")
        return self.add(f"{name}.add", *((shortcut, second) if swap else (second, shortcut)))

    def graph(self, **outputs):
        return NetworkGraph(tuple(self.nodes), outputs, "half_even", self.power_of_two)

    def _fit(self, make, unsigned, raw=False):
        name = self._append(make(None))
        if raw:
            return name
        reach = float(self.values[name].to_float().abs().amax()) * 0.83  # a few values are cut
        high = self.relu_high if unsigned else 127
        scale = max(reach, 2**-20) / high
        self.nodes.pop()
        scale = 2.0 ** math.ceil(math.log2(scale)) if self.power_of_two else float(np.float32(scale))
        return self._append(make(Grid(scale, 0 if unsigned else -128, high)))

    def _append(self, node, image=None):
        self.nodes.append(node)
        network = IntegerNetwork(NetworkGraph((node,), {}, "half_even", self.power_of_two))
        operands = [self.values[name] for name in node.inputs]
        self.values[node.name] = network._input(node, image) if image is not None else network._compute(node, operands)
        return node.name


def random_pixels(height, width, seed=0):
    """A smooth picture with noise: uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3))
    smooth = np.kron(coarse, np.ones((8, 8, 1)))[:height, :width]
    return np.clip(smooth + rng.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8)


def to_planes(pixels):
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]


def varg_like(pixels, joins=True, **options):
    """Every kind of node, two raw outputs; odd sizes where the picture's are. Sums replace concatenations unless `joins`."""
    down = {key: options.pop(key) for key in ("bare", "swap", "merged") if key in options}
    net = RandomNetwork(to_planes(pixels), **options)
    stem = net.conv("stem", "input", 16, 3, 2)
    pooled = net.max_pool("pool", stem)
    c2 = net.block("s2.block", net.down_block("s2.down", stem, 16, **down))
    joined = net.concat("joined", c2, pooled) if joins else net.add("joined", c2, pooled)
    c3 = net.block("s3.block", net.down_block("s3.down", joined, 32, **down))
    c4 = net.down_block("s4.down", c3, 32, **{**down, "merged": False})
    lateral = net.conv("lateral", c3, 32, raw=True, relu=False)
    p3 = net.add("p3", lateral, net.upsample("up4", net.conv("top", c4, 32, relu=False), c3))
    signed = net.conv("signed", p3, 16, relu=False)
    up3 = net.upsample("up3", signed, c2)
    p2 = net.add("p2", net.conv("lateral2", c2, 16, relu=False, raw=True), up3)
    rectified = net.relu("rectified", up3)
    both = net.concat("both", rectified, p2, up3) if joins else net.add("both", net.add("two", rectified, p2), up3, relu=False)
    mixed = net.separable("mixed", both, 16)
    net.conv("heat", net.separable("head", mixed, 16), 3, relu=False, raw=True)
    net.conv("logits", mixed, 5, 3, relu=False, raw=True)
    return net.graph(**{"veh.heatmap": "heat", "seg.logits": "logits"})
