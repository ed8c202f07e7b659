"""Networks that begin with a map of features instead of a picture: its range is learned, everything behind it is exact."""

import pytest
import torch
from feature_network import CHANNELS, FeatureNetwork, canvases
from small_networks import Chain, calibrate, degenerate, differing, quantized, randomise
from torch import nn

from admlops.errors import QuantizationError
from admlops.layers import ConvBnAct, FeatureInput
from admlops.quantization import IntegerNetwork, NetworkGraph, QuantSpec, float_graph, integer_graph, prepare
from admlops.quantization.network_graph import FeatureInputNode


def feature_network(**fields):
    return quantized(randomise(FeatureNetwork()), QuantSpec(**fields), canvases(seed=100))


@pytest.mark.parametrize(
    "fields", [{}, {"relu_range": "s8", "weight_bits": 7}, {"power_of_two": False}, {"rounding": "half_up"}], ids=str
)
def test_integers_equal_the_simulation(fields):
    model = feature_network(**fields)
    canvas = canvases(2, scale=4.0)  # some values are beyond what calibration saw
    assert degenerate(model, canvas) == []
    assert differing(model, canvas) == []


def test_the_map_lies_on_a_grid_from_zero_that_its_largest_value_chose():
    model = quantized(randomise(FeatureNetwork()), QuantSpec(), torch.full((1, CHANNELS, 4, 6), 5.0))
    node = integer_graph(model)["entrance"]
    assert isinstance(node, FeatureInputNode)
    # 5 / 255 lies between 2**-6 and 2**-5.
    assert (node.channels, node.grid.exponent, node.grid.low, node.grid.high) == (CHANNELS, -5, 0, 255)
    canvas = torch.tensor([-1.0, 0.0, 1.5 / 32, 2.5 / 32, 255 / 32, 9.0]).view(1, 1, 1, 6).expand(1, CHANNELS, 1, 6)
    q = IntegerNetwork(integer_graph(model)).run(canvas)["entrance"].q
    # Ties go to the even neighbour; what is negative or too large is cut.
    assert q[0, 0, 0].tolist() == [0, 0, 2, 2, 255, 255]


def test_training_moves_the_range():
    model = feature_network()
    before = float(model.entrance.out_quantizer.amax)
    model.train()
    model(canvases(scale=30.0))
    assert float(model.entrance.out_quantizer.amax) > before
    canvas = canvases().requires_grad_()
    model(canvas)["first"].sum().backward()
    assert canvas.grad.abs().sum() > 0


def test_it_is_reported_and_its_state_comes_back():
    model = randomise(FeatureNetwork())
    lines = {line.name: (line.kind, line.output) for line in prepare(model, QuantSpec())}
    assert lines["entrance"] == ("feature_input", "u8")
    graph = integer_graph(calibrate(model, canvases()))
    again = NetworkGraph.from_state(*graph.to_state())
    assert again["entrance"] == graph["entrance"]
    canvas = canvases(seed=3)
    results = IntegerNetwork(again)(canvas)
    assert all(torch.equal(value, results[name]) for name, value in IntegerNetwork(graph)(canvas).items())


def test_a_float_graph_knows_what_it_reads():
    node = float_graph(randomise(FeatureNetwork()))["entrance"]
    assert node == FeatureInputNode("entrance", (), None, CHANNELS)


def test_a_second_entrance_is_refused():
    model = Chain(conv=ConvBnAct(3, 8, 1), again=FeatureInput(8), head=nn.Conv2d(8, 1, 1))
    with pytest.raises(QuantizationError, match="cannot be computed in integers") as caught:
        prepare(model, QuantSpec(), torch.zeros(1, 3, 8, 8))
    assert "layers.again (FeatureInput): is not where the picture enters" in caught.value.got


def test_a_network_that_never_saw_a_point_is_refused():
    model = quantized(randomise(FeatureNetwork()), QuantSpec(), torch.zeros(1, CHANNELS, 4, 6))
    with pytest.raises(QuantizationError, match="no usable range") as caught:
        integer_graph(model)
    assert "entrance.out_quantizer" in str(caught.value)
