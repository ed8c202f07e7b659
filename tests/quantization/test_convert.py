"""Networks become integers: every config, heads of other packages, and the proof that no sum overflows."""

import os
from pathlib import Path

import cv2
import pytest
import torch
from mmengine.config import Config
from multi_task_networks import build, six_branches
from small_networks import Chain, Zoo, calibrate, degenerate, differing, pictures, quantized, randomise, simulate, zoo
from torch import nn

from admlops.errors import QuantizationError
from admlops.layers import ConvBnAct
from admlops.quantization import (
    Grid,
    IntegerNetwork,
    NetworkGraph,
    QuantSpec,
    absorb_bn,
    float_graph,
    integer_graph,
    prepare,
)
from admlops.quantization.convert import check_accumulators
from admlops.quantization.network_graph import AddNode, ConvNode, InputNode

CONFIGS = Path(__file__).parents[2] / "configs"
STOCK = "4pe_resize/multitask_stock_heads.py"
NAMES = sorted(str(path.relative_to(CONFIGS)) for path in CONFIGS.glob("4pe_*/*.py") if path.name != "utils.py")


def network(name, seed=0):
    return randomise(build(Config.fromfile(CONFIGS / name).model), seed)


@pytest.mark.parametrize("name", [name for name in NAMES if name != STOCK])
def test_every_config_becomes_integers(name):
    model = quantized(network(name), QuantSpec(), pictures(2, 64, 96, seed=1))
    image = pictures(1, 45, 71)
    assert degenerate(model, image) == []
    assert differing(model, image) == []


def bn_of(model, *prefixes):
    return [name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d) and name.startswith(prefixes)]


@pytest.mark.parametrize("fields", [{}, {"weight_bits": 7, "relu_range": "s8"}, {"power_of_two": False}], ids=str)
def test_six_branches_are_equal_in_every_step(fields):
    model = quantized(randomise(six_branches()), QuantSpec(**fields), pictures(2, 64, 96, seed=1))
    image = pictures(2, 67, 93)
    before, tapped = simulate(model, image)
    assert len(before) == 10  # four times two, and two
    for names in (bn_of(model, "backbone", "neck"), bn_of(model, "branches")):
        assert names
        absorb_bn(model, names)
        outputs, again = simulate(model, image)
        assert all(torch.equal(outputs[name], value) for name, value in before.items())
        assert all(torch.equal(again[name], value) for name, value in tapped.items())
    assert bn_of(model, "") == []
    assert differing(model, image) == []


def size(tensors):
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def test_integers_take_a_quarter_of_the_memory():
    model = six_branches()
    floats = size(model.state_dict().values())
    network = IntegerNetwork(integer_graph(quantized(randomise(model), QuantSpec(), pictures(1, 64, 96))))
    assert size(network.state_dict().values()) <= 0.27 * floats


@pytest.mark.skipif(not os.environ.get("ADMLOPS_REAL_DATA"), reason="ADMLOPS_REAL_DATA is not set")
def test_real_frames_are_equal_at_full_size():
    photos = sorted((Path(os.environ["ADMLOPS_REAL_DATA"]) / "bdd100k").rglob("*.jpg"))[:2]
    pixels = [cv2.resize(cv2.imread(str(photo)), (960, 512), interpolation=cv2.INTER_AREA) for photo in photos]
    frames = [(torch.from_numpy(each).permute(2, 0, 1)[None].float() - 128) / 128 for each in pixels]
    assert len(frames) == 2
    model = quantized(randomise(six_branches()), QuantSpec(), *frames)
    network = IntegerNetwork(integer_graph(model))
    for frame in frames:
        assert degenerate(model, frame) == []
        assert differing(model, frame, network) == []


FCN = {
    "type": "FCNHead",
    "_scope_": "mmseg",
    "num_classes": 12,
    "in_channels": 32,
    "in_index": 0,
    "channels": 8,
    "num_convs": 1,
}
YOLOX = {
    "type": "YOLOXHead",
    "_scope_": "mmdet",
    "num_classes": 1,
    "in_channels": 32,
    "feat_channels": 16,
    "strides": (8, 16, 32),
    "stacked_convs": 1,
    "train_cfg": {"assigner": {"type": "SimOTAAssigner", "center_radius": 2.5}},
    "test_cfg": {"score_thr": 0.01, "nms": {"type": "nms", "iou_threshold": 0.65}},
}


def with_stock_heads(fcn=None, yolox=None):
    branches = {
        "seg_default": {"head": {**FCN, "norm_cfg": {"type": "BN"}, "concat_input": False, **(fcn or {})}},
        "det_person": {"head": {**YOLOX, "act_cfg": {"type": "ReLU"}, **(yolox or {})}, "in_levels": (1, 2, 3)},
    }
    return six_branches(branches=branches)


def test_heads_of_mmdet_and_mmseg_become_integers():
    model = quantized(randomise(with_stock_heads()), QuantSpec(), pictures(2, 64, 96, seed=1))
    image = pictures(2, 67, 93)
    assert len(simulate(model, image)[0]) == 1 + 3 * 3
    assert differing(model, image) == []
    absorb_bn(model, bn_of(model, ""))
    assert differing(model, image) == []


def test_operations_of_a_stock_head_are_refused_by_layer():
    model = with_stock_heads(fcn={"concat_input": True}, yolox={"act_cfg": {"type": "Swish"}})
    with pytest.raises(QuantizationError) as caught:
        prepare(model, QuantSpec())
    assert "branches.seg_default.head.stock: torch.cat is an operation" in str(caught.value)
    assert "branches.det_person.head.stock.multi_level_cls_convs.0.0: Swish is an activation" in str(caught.value)


def test_the_config_with_stock_heads_says_what_they_lack():
    with pytest.raises(QuantizationError) as caught:
        prepare(network(STOCK), QuantSpec())
    lines = [line.strip() for line in caught.value.got.strip().splitlines()]
    branches = {line.split(".head")[0] for line in lines}
    assert branches == {"branches.det_person", "branches.det_vehicle_sign", "branches.seg_default"}


def test_layers_without_a_quantizer_have_the_grid_of_what_they_read():
    graph = integer_graph(zoo())
    assert graph["pool"].grid == graph["stem"].grid
    assert graph["up"].grid == graph["sum"].grid
    wide = graph["wide"].grid
    assert (graph["relu"].grid, wide.low) == (Grid(wide.scale, 0, 127), -128)


def test_what_is_not_prepared_has_no_integers():
    with pytest.raises(QuantizationError, match="computes in floats"):
        integer_graph(Zoo())


def test_the_graph_of_a_prepared_network_in_floats_is_that_of_the_float_network():
    graph = float_graph(randomise(Zoo()))
    prepared = float_graph(zoo())
    assert [node.name for node in prepared.nodes] == [node.name for node in graph.nodes]
    assert all(torch.equal(a.weight_OIHW, b.weight_OIHW) for a, b in zip(graph.convs(), prepared.convs(), strict=True))


def test_a_float_graph_refuses_what_it_cannot_hold():
    with pytest.raises(QuantizationError, match="more than its layers") as caught:
        float_graph(Chain(conv=nn.Conv2d(3, 3, 1), act=nn.Sigmoid()))
    assert "layers.act: torch.sigmoid" in str(caught.value)
    with pytest.raises(QuantizationError, match="Conv2d is no plain convolution") as caught:
        float_graph(Chain(conv=nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect")))
    assert "layers.conv" in str(caught.value)


INPUT = InputNode("input", (), Grid(1 / 128, -128, 127), 3)
LARGEST_BIAS = 2**24 - 1 - 3 * 127 * 128


def conv(name, bias, scale=1 / 128, grid=None):
    weight = torch.full((2, 3, 1, 1), 127, dtype=torch.int8)
    bias_O = torch.tensor([0, bias], dtype=torch.int32)
    return ConvNode(name, ("input",), grid, weight, bias_O, torch.full((2,), scale), (1, 1), (0, 0), (1, 1), 1, relu=False)


def test_a_sum_that_could_overflow_is_refused_by_layer_and_channel():
    check_accumulators(NetworkGraph((INPUT, conv("lateral", -LARGEST_BIAS)), {"out": "lateral"}, "half_even"))
    with pytest.raises(QuantizationError, match="overflow") as caught:
        check_accumulators(NetworkGraph((INPUT, conv("lateral", -LARGEST_BIAS - 1)), {"out": "lateral"}, "half_even"))
    assert f"lateral: channel 1 can reach {2**24}" in str(caught.value)


def test_operands_of_a_sum_whose_scales_are_far_apart_are_refused():
    # The convolution has steps of 2**-14 and reaches 48768 of them, the other operand 128 of its own.
    def graph(exponent):
        other = conv("other", 0, grid=Grid(2.0**exponent, -128, 127))
        add = AddNode("add", ("lateral", "other"), Grid(1.0, -128, 127), relu=False)
        return NetworkGraph((INPUT, conv("lateral", 0), other, add), {"out": "add"}, "half_even")

    check_accumulators(graph(16 - 14))
    with pytest.raises(QuantizationError, match="overflow") as caught:
        check_accumulators(graph(17 - 14))
    assert "add: its operands' scales are too far apart" in str(caught.value)


def test_a_training_that_diverged_is_refused():
    model = quantized(randomise(Chain(unit=ConvBnAct(3, 4, 1), head=nn.Conv2d(4, 1, 1))))
    calibrate(model, pictures() * float("nan"))
    with pytest.raises(QuantizationError, match="no usable range") as caught:
        integer_graph(model)
    assert "layers.unit.out_quantizer" in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(value):
    model = zoo()
    model.stem.conv.weight.data[0, 0, 0, 0] = value
    with pytest.raises(QuantizationError, match="not finite") as caught:
        integer_graph(model)
    assert "stem" in str(caught.value)
    assert "conv.weight" in str(caught.value)
