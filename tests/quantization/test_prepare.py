import copy
import pickle
import re

import pytest
import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from small_networks import Chain, Zoo, calibrate, differing, flat, pictures, quantized, randomise, simulate
from torch import nn

from admlops.errors import QuantizationError
from admlops.layers import Add, Concat, ConvBnAct, NetworkInput, UpsampleTo
from admlops.quantization import (
    QuantSpec,
    absorb_bn,
    calibrating,
    integer_graph,
    prepare,
    quantizers,
    set_observing,
    uncalibrated,
)
from admlops.quantization.simulated_layers import SimulatedConv


class Does(nn.Module):
    """A module without layers of its own, or with those given, that does something to a feature map."""

    def __init__(self, do, **layers):
        super().__init__()
        self.do = do
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, feat):
        return self.do(self, feat)


def add_in_place(module, feat):
    feat += 1
    return feat


def assign(module, feat):
    feat[:, 0] = 0
    return feat


def without_statistics():
    unit = ConvBnAct(8, 8, 1)
    unit.bn = nn.BatchNorm2d(8, track_running_stats=False)
    return unit


def sharing(first, second):
    second.conv = first.conv
    return nn.Sequential(first, second)


def twice_named():
    module = Does(lambda m, x: m.other(x), conv=nn.Conv2d(8, 8, 1))
    module.other = module.conv
    return module


HAZARDS = {
    "sum": (Does(lambda m, x: x + x), r"layers.body: torch\.Tensor\.add is an operation that integers lack"),
    "sum in place": (Does(add_in_place), r"layers.body: torch\.Tensor\.add_ is"),
    "assignment": (Does(assign), r"layers.body: torch\.Tensor\.__setitem__ is"),
    "slice": (Does(lambda m, x: x[:, :, 1:]), r"layers.body: torch\.Tensor\.__getitem__ is"),
    "cat": (Does(lambda m, x: torch.cat([x, x])), r"layers.body: torch\.cat is"),
    "functional relu": (Does(lambda m, x: F.relu(x)), r"layers.body: torch\.nn\.functional\.relu is"),
    "functional relu in place": (Does(lambda m, x: F.relu(x, inplace=True)), r"layers.body: torch\.nn\.functional\.relu is"),
    "sigmoid": (nn.Sigmoid(), r"layers.body: torch\.sigmoid is"),
    "group norm": (nn.GroupNorm(2, 8), r"layers.body: torch\.nn\.functional\.group_norm is"),
    "bn alone": (nn.BatchNorm2d(8), r"layers.body: torch\.nn\.functional\.batch_norm is"),
    "transposed": (nn.ConvTranspose2d(8, 8, 1), r"layers.body: torch\.nn\.functional\.conv_transpose2d is"),
    "swish": (ConvModule(8, 8, 1, act_cfg={"type": "Swish"}), "layers.body: Swish is an activation that integers lack"),
    "group norm of a unit": (ConvModule(8, 8, 1, norm_cfg={"type": "GN", "num_groups": 2}), "layers.body: GroupNorm cannot be"),
    "order": (ConvModule(8, 8, 1, norm_cfg={"type": "BN"}, order=("norm", "conv", "act")), "layers.body: only ConvModules in"),
    "explicit padding": (ConvModule(8, 8, 3, padding=1, padding_mode="reflect"), "layers.body: only ConvModules in"),
    "padding mode": (nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"), "layers.body: Conv2d is no plain convolution"),
    "padding by name": (nn.Conv2d(8, 8, 3, padding="same"), "layers.body: Conv2d is no plain convolution"),
    "no statistics": (without_statistics(), "layers.body: BatchNorm2d cannot be absorbed"),
    "twice": (
        Does(lambda m, x: m.conv(m.conv(x)), conv=nn.Conv2d(8, 8, 1)),
        r"layers.body.conv \(Conv2d\): is called more than",
    ),
    "options": (
        Does(lambda m, x: m.unit(x, activate=False), unit=ConvModule(8, 8, 1)),
        "layers.body.unit .*more than a feature",
    ),
    "constant": (
        Does(lambda m, x: m.add(x, m.bias), add=Add(), bias=nn.Parameter(torch.zeros(1, 8, 16, 24))),
        r"layers.body.add \(Add\): reads a tensor that no quantized layer made",
    ),
    "second input": (NetworkInput(), r"layers.body \(NetworkInput\): is not where the picture enters"),
    "ceiling": (nn.MaxPool2d(2, ceil_mode=True), r"layers.body \(MaxPool2d\): has ceil_mode"),
    "dilated pool": (nn.MaxPool2d(2, dilation=2), r"layers.body \(MaxPool2d\): has ceil_mode, dilation"),
    "shared weights": (sharing(ConvBnAct(8, 8, 1), ConvBnAct(8, 8, 1)), "layers.body.1: shares its weights with layers.body.0"),
    "two names": (twice_named(), "layers.body.conv: is one module under several names, layers.body.conv, layers.body.other"),
}


def around(body):
    return Chain(stem=ConvBnAct(3, 8, 1), body=body, head=nn.Conv2d(8, 1, 1))


def refusal(model, example=None):
    """The lines of what is refused; the network must be left as it was."""
    model.train()
    before = [(name, module, module.training) for name, module in model.named_modules()]
    with pytest.raises(QuantizationError, match="cannot be computed in integers") as caught:
        prepare(model, QuantSpec(), torch.zeros(1, 3, 16, 24) if example is None else example)
    assert [(name, module, module.training) for name, module in model.named_modules()] == before
    assert not any(module._forward_hooks or module._forward_pre_hooks for _, module, _ in before)
    return [line.strip() for line in caught.value.got.strip().splitlines()]


@pytest.mark.parametrize("hazard", HAZARDS)
def test_a_hazard_is_refused_by_the_name_of_its_layer(hazard):
    body, message = HAZARDS[hazard]
    lines = refusal(around(body))
    assert any(re.match(message, line) for line in lines), lines
    assert all(line.startswith("layers.body") for line in lines)


def test_all_hazards_are_named_at_once():
    model = Chain(a=nn.Sigmoid(), b=ConvModule(3, 8, 1, act_cfg={"type": "Swish"}), c=nn.GroupNorm(2, 8), d=nn.Conv2d(8, 1, 1))
    assert [line.split(" ")[0] for line in refusal(model)] == ["layers.a:", "layers.c:", "layers.b:"]


def test_a_picture_that_meets_no_network_input_is_refused():
    model = nn.Sequential(ConvBnAct(3, 8, 1), nn.Conv2d(8, 1, 1))
    assert refusal(model) == ["0 (ConvBnAct): reads the picture without a NetworkInput before it, so it knows no scale"]
    model = Does(lambda m, x: m.concat(m.a(m.network_input(x)), m.b(x)), network_input=NetworkInput(), concat=Concat())
    model.a, model.b = ConvBnAct(3, 8, 1), ConvBnAct(3, 8, 1)
    assert refusal(model) == ["b (ConvBnAct): reads the picture without a NetworkInput before it, so it knows no scale"]


def test_a_network_without_layers_is_refused():
    assert refusal(Does(lambda m, x: x)) == ["the network calls none of the layers that integers know"]


def test_an_output_that_no_layer_made_is_refused():
    model = Does(lambda m, x: {"logits": m.chain(x), "anchors": m.anchors}, chain=around(nn.Identity()))
    model.register_buffer("anchors", torch.zeros(3))
    assert refusal(model) == ["the network itself: its output 'anchors' does not depend on the picture"]


def test_sizes_may_be_asked_for():
    def measure(module, feat):
        torch.arange(feat.shape[-1]) * torch.tensor(feat.size(0))
        return feat

    prepare(around(Does(measure)), QuantSpec())


def test_a_network_is_prepared_once():
    model = quantized(Zoo())
    with pytest.raises(QuantizationError, match="prepared already"):
        prepare(model, QuantSpec())


def test_every_layer_is_reported():
    lines = {line.name: (line.kind, line.output) for line in prepare(Zoo(), QuantSpec())}
    assert lines["network_input"] == ("input", "s8")
    assert lines["stem"] == ("conv", "u8")
    assert lines["pool"] == ("max_pool", "as its input")
    assert lines["module"] == ("conv", "u8")
    assert lines["signed"] == ("conv", "s8")
    assert (lines["rectified"], lines["mixed"]) == (("concat", "u8"), ("concat", "s8"))
    assert (lines["lateral"], lines["up"], lines["again"]) == (
        ("conv", "accumulator"),
        ("upsample", "as its input"),
        ("add", "u8"),
    )
    assert (lines["head.0"], lines["head.1"]) == (("conv", "accumulator"), ("conv", "accumulator"))
    assert {line.output for line in prepare(Zoo(), QuantSpec(relu_range="s8"))} == {"s8", "accumulator", "as its input"}


class Sum(nn.Module):
    """Two convolutions of a picture; what is added is up to the test."""

    def __init__(self, do, **units):
        super().__init__()
        self.network_input = NetworkInput()
        self.stem = ConvBnAct(3, 4, 1)
        self.a, self.b = (ConvBnAct(4, 4, 1, act=False) for _ in range(2))
        self.relu, self.down = ConvBnAct(4, 4, 1), ConvBnAct(4, 4, 1, stride=2, act=False)
        self.up, self.add, self.again = UpsampleTo(), Add(), Add(act=True)
        self.head = nn.Conv2d(4, 1, 1)
        self.do = do

    def forward(self, image):
        stem = self.stem(self.network_input(image))
        return self.do(self, stem)


SUMS = {
    "first is a convolution": (lambda m, x: m.head(m.add(m.a(x), m.relu(x))), {"a": "accumulator", "relu": "u8"}),
    "second is a convolution": (lambda m, x: m.head(m.add(m.relu(x), m.a(x))), {"a": "accumulator", "relu": "u8"}),
    "with a ReLU": (lambda m, x: m.head(m.add(m.relu(x), x)), {"relu": "accumulator"}),
    "both are": (lambda m, x: m.head(m.add(m.b(x), m.a(x))), {"b": "accumulator", "a": "s8"}),
    "read by two": (lambda m, x: m.head(m.again(m.add(a := m.a(x), x), a)), {"a": "s8", "add": "s8"}),
    "also an output": (lambda m, x: [m.add(a := m.a(x), m.b(x)), a], {"a": "s8", "b": "accumulator"}),
    "upsampled": (lambda m, x: m.head(m.add(m.up(m.down(x), x), m.a(x))), {"down": "s8", "a": "accumulator"}),
    "upsampled alone": (lambda m, x: m.head(m.add(m.up(m.down(x), x), x)), {"down": "s8"}),
    "size only": (lambda m, x: m.head(m.add(m.up(m.down(x), a := m.a(x)), a)), {"a": "accumulator", "down": "s8"}),
    "with itself": (lambda m, x: m.head(m.add(a := m.a(x), a)), {"a": "s8"}),
    "a sum of sums": (lambda m, x: m.again(m.add(m.a(x), x), m.b(x)), {"a": "accumulator", "b": "accumulator", "again": "u8"}),
}


@pytest.mark.parametrize("power_of_two", [True, False])
@pytest.mark.parametrize("case", SUMS)
def test_one_convolution_of_a_sum_stays_in_its_accumulator(case, power_of_two):
    do, expected = SUMS[case]
    model = randomise(Sum(do))
    lines = {line.name: line.output for line in prepare(model, QuantSpec(power_of_two=power_of_two))}
    assert {name: lines[name] for name in expected} == expected
    calibrate(model)
    assert differing(model, pictures(2, 33, 47)) == []


def test_units_keep_the_names_of_their_parameters_and_modes():
    model = Zoo().train()
    model.down.eval()
    before = {name for name in model.state_dict() if not name.startswith(("signed", "head.0"))}
    prepare(model, QuantSpec())
    after = set(model.state_dict())
    assert before <= after
    alone = {f"{layer}.conv.{name}" for layer in ("signed", "head.0") for name in ("weight", "bias")}
    assert {name for name in after - before if not name.endswith(".out_quantizer.amax")} == alone
    assert [module.training for module in (model, model.stem, model.stem.bn, model.down, model.down.add)] == [True] * 3 + [
        False
    ] * 2


def test_a_state_in_floats_goes_into_a_prepared_network():
    floats, model = randomise(Zoo()), randomise(Zoo(), seed=1)
    prepare(model, QuantSpec())
    missing, unexpected = model.load_state_dict(floats.state_dict(), strict=False)
    assert unexpected == []
    assert all(name.endswith(".out_quantizer.amax") for name in missing)
    with torch.no_grad(), calibrating(model):
        outputs = flat(model(pictures()))
    assert all(torch.equal(outputs[name], value) for name, value in flat(floats(pictures())).items())


def test_a_state_goes_into_another_prepared_network():
    model, other = quantized(randomise(Zoo())), Zoo()
    prepare(other, QuantSpec())
    other.load_state_dict(model.state_dict())
    image = pictures()
    assert all(torch.equal(value, simulate(other, image)[0][name]) for name, value in simulate(model, image)[0].items())


def test_ranges_can_be_frozen_and_are_listed_until_calibrated():
    model = randomise(Zoo())
    prepare(model, QuantSpec())
    names = [name for name, _ in quantizers(model)]
    assert "network_input.out_quantizer" in names
    assert uncalibrated(model) == [name for name in names if name != "network_input.out_quantizer"]
    calibrate(model)
    assert uncalibrated(model) == []
    ranges = [float(quantizer.amax) for _, quantizer in quantizers(model)]
    set_observing(model, False)
    model.train()(pictures() * 0.1)
    assert [float(quantizer.amax) for _, quantizer in quantizers(model)] == ranges
    set_observing(model, True)
    model(pictures() * 0.1)
    assert [float(quantizer.amax) for _, quantizer in quantizers(model)] != ranges


def test_calibration_computes_in_floats_and_ends_with_its_block():
    model = randomise(Zoo())
    image = pictures()
    expected = flat(model(image))
    prepare(model, QuantSpec())
    with torch.no_grad(), calibrating(model):
        outputs = flat(model(image))
    assert all(torch.equal(outputs[name], value) for name, value in expected.items())
    with pytest.raises(KeyError), calibrating(model):
        raise KeyError
    assert not any(torch.equal(simulate(model, image)[0][name], value) for name, value in expected.items())


def test_an_uncalibrated_network_is_refused_by_name():
    model = randomise(Zoo())
    prepare(model, QuantSpec())
    for run in (lambda: simulate(model, pictures()), lambda: integer_graph(model)):
        with pytest.raises(QuantizationError, match="nothing was observed") as caught:
            run()
        assert "stem.out_quantizer" in str(caught.value)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["copy", "pickle"])
def test_a_copy_has_its_own_wires(duplicate):
    model = quantized(randomise(Zoo()))
    image = pictures()
    expected = simulate(model, image)[0]
    twin = duplicate(model)
    own = {id(quantizer) for _, quantizer in quantizers(twin)}
    for module in twin.modules():
        if isinstance(module, SimulatedConv):
            assert {id(wire) for wire in module._wires.values() if wire is not None} <= own
    for _, quantizer in quantizers(model):
        quantizer.amax.mul_(4)
    assert all(torch.equal(simulate(twin, image)[0][name], value) for name, value in expected.items())
    assert not torch.equal(simulate(model, image)[0]["logits"], expected["logits"])


def bn_names(model, *prefixes):
    names = [name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)]
    return [name for name in names if name.startswith(prefixes)] if prefixes else names


@pytest.mark.parametrize("fields", [{}, {"power_of_two": False}, {"weight_bits": 7, "rounding": "half_up"}], ids=str)
def test_absorbing_changes_no_bit(fields):
    model = quantized(randomise(Zoo()), QuantSpec(**fields))
    image = pictures()
    before, tapped = simulate(model, image)
    for names in (bn_names(model, "stem", "down"), bn_names(model, "module", "lateral", "wide", "head")):
        absorb_bn(model, names)
        outputs, again = simulate(model, image)
        assert all(torch.equal(outputs[name], value) for name, value in before.items())
        assert all(torch.equal(again[name], value) for name, value in tapped.items())
    assert bn_names(model) == []
    assert differing(model, image) == []


def test_absorbing_in_floats_is_close():
    model = quantized(randomise(Zoo()))
    image = pictures()
    with torch.no_grad(), calibrating(model):
        before = flat(model(image))
        absorb_bn(model, bn_names(model))
        after = flat(model(image))
    assert all((after[name] - value).abs().max() < 1e-5 for name, value in before.items())


def test_what_is_absorbed_learns_unless_it_is_frozen():
    model = quantized(randomise(Zoo()))
    model.stem.requires_grad_(False)
    absorb_bn(model, bn_names(model))
    assert not model.stem.conv.weight.requires_grad
    assert not model.stem.conv.bias.requires_grad
    sum(value.square().sum() for value in flat(model.train()(pictures())).values()).backward()
    learning = [p for p in model.parameters() if p.requires_grad]
    assert len(learning) == 2 * (sum(isinstance(m, nn.Conv2d) for m in model.modules()) - 1)
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in learning)


def test_only_bn_of_a_convolution_is_absorbed_and_once():
    model = quantized(randomise(Zoo()))
    absorb_bn(model, ["stem.bn"])
    for name in ("stem.bn", "stem.conv", "nothing"):
        with pytest.raises(QuantizationError, match="cannot be absorbed") as caught:
            absorb_bn(model, [name, "lateral.bn"])
        assert name in str(caught.value)
    assert model.lateral.bn is not None
