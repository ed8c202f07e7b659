"""Networks that read a map of features, as files: equal to the reference in every runtime, in the opset of chips."""

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from random_networks import RandomNetwork
from runtimes import LEVELS, run_onnxruntime, run_openvino

from admlops.deploy.backends.backend import open_backend
from admlops.deploy.contract import Contract
from admlops.deploy.graph_builder import CHIP_OPSET, OPSET
from admlops.deploy.input_geometry import GraphInput, MapGeometry
from admlops.deploy.onnx_file import make_metadata, write_model
from admlops.deploy.onnx_writer import to_onnx
from admlops.errors import ExportError
from admlops.quantization.integer_network import IntegerNetwork
from admlops.quantization.network_graph import ConvNode, FeatureInputNode, NetworkGraph

CHANNELS, SIZE = 12, (22, 35)
RUNTIMES = {
    "onnxruntime, no optimization": (
        "onnxruntime",
        lambda model, canvas: run_onnxruntime(model, canvas, LEVELS.ORT_DISABLE_ALL),
    ),
    "onnxruntime, all optimizations": ("onnxruntime", run_onnxruntime),
    "openvino": ("openvino", run_openvino),
}


def make_canvas(seed=0):
    """Mostly empty, with ties between two integers, and values that no integer reaches on either side."""
    rng = np.random.default_rng(seed)
    canvas = np.round(rng.uniform(-0.5, 5, (CHANNELS, *SIZE)) * 128) / 128
    return (canvas * (rng.random(SIZE) < 0.4)).astype(np.float32)


def make_graph(**options):
    net = RandomNetwork(torch.from_numpy(make_canvas(seed=1))[None], features=True, **options)
    stem = net.conv("stem", "input", 16, 3)
    down = net.separable("down", stem, 16, 2)
    lateral = net.conv("lateral", "input", 16, relu=False, raw=True)
    net.conv("logits", net.add("add", lateral, net.upsample("up", down, stem)), 8, relu=False, raw=True)
    return net.graph(logits="logits")


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("relu_high", [255, 127])
@pytest.mark.parametrize("tapped", [True, False])
def test_runtimes_equal_the_integer_reference(runtime, relu_high, tapped):
    flavour, run = RUNTIMES[runtime]
    graph, canvas = make_graph(relu_high=relu_high), make_canvas()
    values = IntegerNetwork(graph).run(torch.from_numpy(canvas)[None])
    assert {0, relu_high} <= set(values["input"].q.unique().tolist())
    taps = [node.name for node in graph.nodes if node.grid is not None] if tapped else []
    results = run(to_onnx(graph, SIZE, flavour, taps=taps), canvas)
    assert list(results) == ["logits", *taps]
    assert all(np.array_equal(value, values[name].to_float().numpy()) for name, value in results.items())


@pytest.mark.parametrize("flavour", ["onnxruntime", "openvino"])
def test_the_file_reads_the_map_in_the_opset_of_chips(flavour):
    model = to_onnx(make_graph(), SIZE, flavour)
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version == CHIP_OPSET == 13
    (given,) = model.graph.input
    assert given.name == "canvas"
    assert [dim.dim_value for dim in given.type.tensor_type.shape.dim] == [1, CHANNELS, *SIZE]
    assert not any(node.op_type.startswith("Scatter") for node in model.graph.node)


def test_an_encoder_stands_in_the_graph_before_the_network():
    rng = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(4, 2, 3, 3, generator=rng), torch.randn(4, generator=rng)
    conv = ConvNode("conv", ("entrance",), None, weight, bias, None, *((1, 1), (1, 1), (1, 1)), 1, True)
    graph = NetworkGraph((FeatureInputNode("entrance", (), None, 2), conv), {"out": "conv"})

    def encode(builder):
        planes = builder.input("planes", np.float32, (1, "N", 5, 6))
        highest = builder.node("ReduceMax", [planes, builder.constant(np.array([1]))])
        return builder.node("Concat", [highest, builder.node("Neg", [highest])], axis=1)

    model = to_onnx(graph, (5, 6), "onnxruntime", encode=encode)
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version == OPSET
    for number in (1, 3):
        planes = np.random.default_rng(number).normal(size=(number, 5, 6)).astype(np.float32)
        highest = torch.from_numpy(planes).amax(dim=0)
        expected = F.conv2d(torch.stack([highest, -highest])[None], weight, bias, padding=1).relu()
        for run in (run_onnxruntime, run_openvino):
            np.testing.assert_allclose(run(model, planes)["out"], expected.numpy(), atol=1e-6 * float(expected.max()))


NUMBERS = MapGeometry((2, 2), (2, 2), (GraphInput("values", "float32", ("N", 4)), GraphInput("index", "int64", ("N",))))


@pytest.fixture(scope="module", params=["onnxruntime", "openvino"])
def numbered(request, tmp_path_factory):
    """A file whose graph is given two arrays of one length that each call may choose."""

    def encode(builder):
        values, index = (builder.input(each.name, np.dtype(each.dtype), each.shape) for each in NUMBERS.inputs)
        zeros = builder.constant(np.zeros((4, 4), np.float32))
        at = builder.node(
            "Expand", [builder.node("Unsqueeze", [index, builder.constant(np.array([1]))]), builder.constant([1, 4])]
        )
        met = builder.node("ScatterElements", [zeros, at, values], axis=0, reduction="max")
        return builder.node("Reshape", [met, builder.constant(np.array([1, 4, 2, 2]))])

    weight = torch.eye(4).view(4, 4, 1, 1)
    conv = ConvNode("conv", ("entrance",), None, weight, torch.zeros(4), None, *((1, 1), (0, 0), (1, 1)), 1, False)
    graph = NetworkGraph((FeatureInputNode("entrance", (), None, 4), conv), {"out": "conv"})
    contract = Contract((), {"out": "raw"}, NUMBERS)
    model = to_onnx(graph, (2, 2), request.param, encode=encode, metadata=make_metadata(contract, request.param))
    return open_backend(write_model(model, tmp_path_factory.mktemp("file") / "model.onnx"))


@pytest.mark.parametrize("number", [0, 1, 2, 9])
def test_a_backend_is_given_arrays_of_any_length(numbered, number):
    values = np.arange(4 * number, dtype=np.float32).reshape(number, 4)
    index = np.arange(number) % 3
    expected = np.zeros((4, 4), np.float32)
    np.maximum.at(expected, index, values)
    assert np.array_equal(numbered.run({"values": values, "index": index})["out"].reshape(4, 4), expected)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"values": np.zeros((2, 4), np.float32)}, "not the network's inputs"),
        ({"values": np.zeros((2, 4)), "index": np.zeros(2, np.int64)}, "values is not the network's input"),
        ({"values": np.zeros((2, 4), np.float32), "index": np.zeros(3, np.int64)}, "index is not the network's input"),
        ({"values": np.zeros(4, np.float32), "index": np.zeros(3, np.int64)}, "values is not the network's input"),
    ],
)
def test_other_arrays_are_refused(numbered, given, told):
    with pytest.raises(ExportError, match=told):
        numbered.run(given)


def test_a_file_without_pictures_refuses_them(numbered):
    with pytest.raises(ExportError, match="reads no pictures"):
        numbered(np.zeros((2, 2, 3), np.uint8))
