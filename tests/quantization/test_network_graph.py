import json

import pytest
import torch
from small_networks import Zoo, flat, pictures, randomise, zoo

from admlops.errors import QuantizationError
from admlops.quantization import Grid, IntegerNetwork, NetworkGraph, float_graph, integer_graph
from admlops.quantization.network_graph import to_exponents


@pytest.fixture(scope="module")
def graph():
    return integer_graph(zoo())


def test_a_scale_is_a_power_of_two_or_refused():
    assert [Grid(scale, 0, 255).exponent for scale in (2.0**-40, 0.5, 1.0, 8.0)] == [-40, -1, 0, 3]
    with pytest.raises(QuantizationError, match="no power of two"):
        _ = Grid(0.3, 0, 255).exponent
    assert to_exponents(torch.tensor([0.25, 2.0])).tolist() == [-2, 1]
    with pytest.raises(QuantizationError, match=r"no power of two[\s\S]*0.75"):
        to_exponents(torch.tensor([0.25, 0.75]))


@pytest.mark.parametrize(("height", "width"), [(64, 96), (45, 71), (17, 33)])
def test_shapes_are_those_of_the_tensors(graph, height, width):
    shapes = graph.shapes((height, width))
    values = IntegerNetwork(graph).run(pictures(1, height, width))
    assert shapes == {name: tuple(value.q.shape[1:]) for name, value in values.items()}


def test_the_structure_is_json(graph):
    structure, tensors = graph.to_state()
    loaded = NetworkGraph.from_state(json.loads(json.dumps(structure)), tensors)
    assert [type(node) for node in loaded.nodes] == [type(node) for node in graph.nodes]
    assert [(node.name, node.inputs, node.grid) for node in loaded.nodes] == [
        (node.name, node.inputs, node.grid) for node in graph.nodes
    ]
    assert (loaded.outputs, loaded.rounding, loaded.power_of_two) == (graph.outputs, graph.rounding, graph.power_of_two)
    for mine, other in zip(graph.convs(), loaded.convs(), strict=True):
        assert (mine.stride, mine.padding, mine.dilation, mine.groups, mine.relu) == (
            other.stride,
            other.padding,
            other.dilation,
            other.groups,
            other.relu,
        )
        assert torch.equal(mine.weight_scale_O, other.weight_scale_O)


def broken(graph, change):
    structure, tensors = graph.to_state()
    structure = json.loads(json.dumps(structure))
    change(structure, tensors)
    return structure, tensors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda structure, tensors: tensors.pop("stem.weight_OIHW"), r"stem[\s\S]*weight_OIHW"),
        (lambda structure, tensors: tensors.pop("down.add.bias_O", None) or tensors.pop("wide.bias_O"), r"wide[\s\S]*bias_O"),
        (lambda structure, tensors: structure["nodes"][1].pop("stride"), r"stem[\s\S]*stride"),
        (lambda structure, tensors: structure["nodes"][1].update(kind="deconv"), r"stem[\s\S]*deconv"),
        (lambda structure, tensors: structure["nodes"][1]["grid"].pop("low"), r"stem[\s\S]*low"),
        (lambda structure, tensors: structure["nodes"][1].pop("name"), "node 1"),
        (lambda structure, tensors: structure.pop("outputs"), "outputs"),
        (lambda structure, tensors: structure.pop("nodes"), "nodes"),
        (lambda structure, tensors: structure["nodes"].insert(0, "stem"), "incomplete"),
    ],
)
def test_what_is_missing_from_a_state_is_named(graph, change, message):
    with pytest.raises(QuantizationError, match="incomplete") as caught:
        NetworkGraph.from_state(*broken(graph, change))
    assert caught.match(message)


def test_other_outputs_can_be_asked_for(graph):
    tapped = IntegerNetwork(graph.with_outputs({"tap": "stem"}))
    image = pictures()
    assert torch.equal(tapped(image)["tap"], IntegerNetwork(graph).run(image)["stem"].to_float())


def test_a_float_graph_has_bn_folded():
    model = randomise(Zoo())
    graph = float_graph(model)
    assert not graph.quantized
    assert {node.grid for node in graph.nodes} == {None}
    stem = graph["stem"]
    image = pictures()
    with torch.no_grad():
        expected = model.stem(image)
        folded = torch.relu(torch.nn.functional.conv2d(image, stem.weight_OIHW, stem.bias_O, stem.stride, stem.padding))
    torch.testing.assert_close(folded, expected, rtol=1e-5, atol=1e-5)
    assert list(graph.outputs) == list(flat(model(image)))
