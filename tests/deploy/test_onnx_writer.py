"""What is written computes what the integer reference computes, to the bit, in every runtime at hand."""

from collections import Counter

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from random_networks import RandomNetwork, random_pixels, to_planes, varg_like
from runtimes import LEVELS, run_onnxruntime, run_openvino

from admlops.deploy.onnx_writer import to_onnx
from admlops.errors import ExportError
from admlops.quantization.integer_network import IntegerNetwork
from admlops.quantization.network_graph import ConvNode, InputNode, NetworkGraph

RUNTIMES = {
    "onnxruntime, no optimization": (
        "onnxruntime",
        lambda model, pixels: run_onnxruntime(model, pixels, LEVELS.ORT_DISABLE_ALL),
    ),
    "onnxruntime, all optimizations": ("onnxruntime", run_onnxruntime),
    "openvino": ("openvino", run_openvino),
}


def expected(graph, pixels):
    values = IntegerNetwork(graph).run(to_planes(pixels))
    named = {name: values[node] for name, node in graph.outputs.items()} | values
    return {name: value.to_float().numpy() for name, value in named.items()}


def grid_nodes(graph):
    return [node.name for node in graph.nodes if node.grid is not None]


@pytest.fixture(
    scope="module", params=[(64, 96, 8, 255), (67, 93, 7, 255), (67, 93, 8, 127)], ids=lambda case: "-".join(map(str, case))
)
def cases(request):
    """Network, picture and what the reference makes of it, with and without concatenations.

    255 and 127 are the largest integers behind a ReLU.
    """
    height, width, weight_bits, relu_high = request.param
    pixels = random_pixels(height, width, seed=1)

    def make(joins):
        graph = varg_like(random_pixels(height, width), joins, weight_bits=weight_bits, relu_high=relu_high)
        return graph, pixels, expected(graph, pixels)

    return {joins: make(joins) for joins in (True, False)}


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("tapped", [True, False])  # an output keeps a tensor alive: what is fused shows without taps only
def test_runtimes_equal_the_integer_reference(cases, runtime, tapped):
    flavour, run = RUNTIMES[runtime]
    graph, pixels, values = cases[flavour != "openvino"]
    taps = grid_nodes(graph) if tapped else []
    model = to_onnx(graph, pixels.shape[:2], flavour, taps=taps)
    onnx.checker.check_model(model, full_check=True)
    results = run(model, pixels)
    assert list(results) == [*graph.outputs, *taps]
    different = [name for name, result in results.items() if not np.array_equal(result, values[name])]
    assert different == []


@pytest.mark.parametrize("flavour", ["onnxruntime", "openvino"])
def test_integers_wherever_both_operands_of_a_sum_are_convolutions(flavour):
    # Which operand stays unrounded, and which comes first, is the quantizer's choice.
    run = run_openvino if flavour == "openvino" else run_onnxruntime
    pixels = random_pixels(33, 49)
    for bare in (("first", "second"), ("parallel", "shortcut")):
        for swap in (False, True):
            net = RandomNetwork(to_planes(pixels))
            down = net.down_block("down", net.conv("stem", "input", 16, 3, 2), 16, bare=bare, swap=swap)
            net.conv("heat", down, 2, relu=False, raw=True)
            graph = net.graph(heat="heat")
            result = run(to_onnx(graph, (33, 49), flavour), pixels)["heat"]
            assert np.array_equal(result, expected(graph, pixels)["heat"]), (bare, swap)


def test_signed_and_unsigned_integers_are_joined():
    pixels = random_pixels(33, 49)
    net = RandomNetwork(to_planes(pixels))
    stem = net.conv("stem", "input", 16, 3, 2)
    joined = net.concat("joined", net.max_pool("pool", net.conv("signed", "input", 8, 3, relu=False)), stem)
    net.conv("heat", joined, 2, relu=False, raw=True)
    graph = net.graph(heat="heat")
    result = run_onnxruntime(to_onnx(graph, (33, 49), "onnxruntime"), pixels)["heat"]
    assert np.array_equal(result, expected(graph, pixels)["heat"])


def test_a_concatenation_is_refused_for_openvino():
    with pytest.raises(ExportError, match="rounds otherwise around a concatenation") as caught:
        to_onnx(varg_like(random_pixels(33, 49)), (33, 49), "openvino")
    assert "joined" in str(caught.value)
    assert "'onnxruntime'" in str(caught.value)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_arbitrary_scales_keep_their_weaker_promise(runtime):
    # A short network: in one of random weights a single flipped integer flips others from layer to layer.
    flavour, run = RUNTIMES[runtime]
    pixels = random_pixels(64, 96)
    net = RandomNetwork(to_planes(pixels), power_of_two=False)
    stem = net.conv("stem", "input", 16, 3, 2)
    join = net.add if flavour == "openvino" else net.concat
    join("joined", net.block("block", net.down_block("down", stem, 16)), net.max_pool("pool", stem))
    net.conv("heat", "joined", 2, relu=False, raw=True)
    graph = net.graph(heat="heat")
    values = expected(graph, pixels)
    results = run(to_onnx(graph, (64, 96), flavour, taps=grid_nodes(graph)), pixels)
    steps = np.concatenate(
        [np.rint((results[name] - values[name]) / graph[name].grid.scale).ravel() for name in grid_nodes(graph)]
    )
    assert np.mean(steps != 0) <= 0.02
    assert np.abs(steps).max() <= 8


def test_onnxruntime_fuses_integers(tmp_path):
    # A silent fallback to floats would stay exact, and slow.
    pixels = random_pixels(64, 96)
    graph = varg_like(pixels)
    run_onnxruntime(to_onnx(graph, (64, 96), "onnxruntime"), pixels, optimized_path=tmp_path / "optimized.onnx")
    ops = Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)
    rounded = [node for node in graph.convs() if node.grid is not None]
    assert ops["QLinearConv"] == len(rounded)


def zero_points(model):
    constants = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type in {"QuantizeLinear", "DequantizeLinear"}]
    return [constants[node.input[2]] for node in nodes]


def test_the_file_for_tensorrt_is_signed_only():
    pixels = random_pixels(33, 49)
    graph = varg_like(pixels, relu_high=127)
    model = to_onnx(graph, (33, 49), "tensorrt", taps=grid_nodes(graph))
    assert {(str(zero.dtype), zero.max(), zero.min()) for zero in zero_points(model)} == {("int8", 0, 0)}
    # Not the runtime that it is for, yet the same numbers mean the same.
    results = run_onnxruntime(model, pixels, LEVELS.ORT_DISABLE_ALL)
    values = expected(graph, pixels)
    assert all(np.array_equal(result, values[name]) for name, result in results.items())


def test_unsigned_integers_are_refused_for_tensorrt():
    graph = varg_like(random_pixels(33, 49))
    with pytest.raises(ExportError, match="signed integers only") as caught:
        to_onnx(graph, (33, 49), "tensorrt")
    assert "stem" in str(caught.value)
    assert "relu_range = 's8'" in str(caught.value)


@pytest.mark.parametrize("relu", [True, False])
def test_a_sum_for_which_openvino_would_not_round_is_refused(relu):
    pixels = random_pixels(33, 49)
    net = RandomNetwork(to_planes(pixels))
    stem = net.conv("stem", "input", 16, 3, 2)
    net.conv("heat", net.add("sum", net.conv("rounded", stem, 16, relu=relu), stem), 2, relu=False, raw=True)
    graph = net.graph(heat="heat")
    with pytest.raises(ExportError, match="which the target would leave out") as caught:
        to_onnx(graph, (33, 49), "openvino")
    assert "rounded, added by sum" in str(caught.value)
    result = run_onnxruntime(to_onnx(graph, (33, 49), "onnxruntime"), pixels)["heat"]
    assert np.array_equal(result, expected(graph, pixels)["heat"])


def test_another_rounding_is_refused():
    graph = varg_like(random_pixels(33, 49))
    other = NetworkGraph(graph.nodes, graph.outputs, "half_up")
    with pytest.raises(ExportError, match="half to even"):
        to_onnx(other, (33, 49), "openvino")


def test_an_unknown_target_is_refused():
    with pytest.raises(ExportError, match="no such target") as caught:
        to_onnx(varg_like(random_pixels(33, 49)), (33, 49), "openvinno")
    assert "'openvino'" in str(caught.value)


@pytest.mark.parametrize("flavour", ["onnxruntime", "openvino", "tensorrt"])
def test_a_network_in_floats_has_no_quantizers(flavour):
    rng = torch.Generator().manual_seed(0)
    weight, bias = torch.randn((4, 3, 3, 3), generator=rng), torch.randn(4, generator=rng)
    conv = ConvNode("conv", ("input",), None, weight, bias, None, (2, 2), (1, 1), (1, 1), 1, True)
    graph = NetworkGraph((InputNode("input", (), None, 3), conv), {"heat": "conv"})
    pixels = random_pixels(9, 13)
    model = to_onnx(graph, (9, 13), flavour)
    assert Counter(node.op_type for node in model.graph.node)["QuantizeLinear"] == 0
    result = run_openvino(model, pixels)["heat"]
    image_BCHW = (to_planes(pixels).float() - 128) / 128
    assert np.allclose(result, F.relu(F.conv2d(image_BCHW, weight, bias, 2, 1)).numpy(), atol=1e-5)


def test_post_processing_declares_the_outputs():
    graph = varg_like(random_pixels(33, 49), joins=False)

    def postprocess(builder, tensors, shapes):
        assert shapes == {"veh.heatmap": (3, 9, 13), "seg.logits": (5, 9, 13)}
        best = builder.node("ReduceMax", [tensors["seg.logits"], builder.constant([1], np.int64)], keepdims=0)
        builder.output("seg.best", best, np.float32, (1, *shapes["seg.logits"][1:]))

    pixels = random_pixels(33, 49, seed=2)
    model = to_onnx(graph, (33, 49), "openvino", postprocess=postprocess, metadata={"admlops": "{}"})
    assert [(each.key, each.value) for each in model.metadata_props] == [("admlops", "{}")]
    results = run_openvino(model, pixels)
    assert list(results) == ["seg.best"]
    assert np.array_equal(results["seg.best"], expected(graph, pixels)["seg.logits"].max(1))
