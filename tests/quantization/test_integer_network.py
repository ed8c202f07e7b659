"""The integers against torch's own convolutions, by hand, and against the simulation."""

import pytest
import torch
import torch.nn.functional as F
from small_networks import Zoo, degenerate, differing, pictures, zoo

from admlops.errors import QuantizationError
from admlops.quantization import Grid, IntegerNetwork, NetworkGraph, float_graph, integer_graph
from admlops.quantization.network_graph import AddNode, ConvNode, InputNode, MaxPoolNode

INPUT = InputNode("input", (), Grid(1 / 128, -128, 127), 3)


def conv_node(name, feat, weight, bias, scale, grid=None, relu=False, stride=1, padding=0, dilation=1, groups=1):
    pairs = ((stride, stride), (padding, padding), (dilation, dilation))
    weight, bias = weight.to(torch.int8), bias.to(torch.int32)
    return ConvNode(name, (feat,), grid, weight, bias, torch.full((len(bias),), scale), *pairs, groups, relu)


def test_integers_by_hand():
    # Pixels 0, 128 and 255 are -128, 0 and 127; their sum is -1.
    conv = conv_node("conv", "input", torch.ones(1, 3, 1, 1), torch.tensor([4]), 1 / 4, Grid(1 / 256, 0, 255))
    twice = conv_node("twice", "conv", torch.full((1, 1, 1, 1), 2), torch.tensor([5]), 1 / 2)
    add = AddNode("add", ("twice", "conv"), Grid(1 / 128, -128, 127), relu=False)
    network = IntegerNetwork(NetworkGraph((INPUT, conv, twice, add), {"out": "add", "raw": "twice"}, "half_even"))
    values = network.run(torch.tensor([0, 128, 255], dtype=torch.uint8).view(1, 3, 1, 1))
    assert values["input"].q.flatten().tolist() == [-128, 0, 127]
    # (-1 + 4) / 512 is 1.5 / 256: the even neighbour of the tie is 2.
    assert (values["conv"].q.item(), values["conv"].scale.item()) == (2, -8)
    assert (values["twice"].q.item(), values["twice"].scale.item()) == (2 * 2 + 5, -9)
    # 9/512 + 2/256 = 13/512 = 3.25/128
    assert (values["add"].q.item(), values["add"].scale.item()) == (3, -7)
    outputs = network(torch.tensor([-1, 0, 127 / 128]).view(1, 3, 1, 1))
    assert {name: output.item() for name, output in outputs.items()} == {"out": 3 / 128, "raw": 9 / 512}


def test_what_leaves_the_grid_is_cut():
    for relu, grid in ((False, Grid(1 / 128, -128, 127)), (True, Grid(1 / 128, 0, 255))):
        conv = conv_node(
            "conv", "input", torch.tensor([1, -1]).view(2, 1, 1, 1).expand(2, 3, 1, 1) * 3, torch.zeros(2), 1.0, grid, relu
        )
        q = IntegerNetwork(NetworkGraph((INPUT, conv), {"out": "conv"}, "half_even")).run(torch.ones(1, 3, 1, 1))["conv"].q
        assert q.flatten().tolist() == [grid.high, grid.low]


def test_a_sum_is_rectified_where_it_says_so():
    for relu, expected in ((False, -2), (True, 0)):
        add = AddNode("add", ("input", "input"), INPUT.grid, relu)
        network = IntegerNetwork(NetworkGraph((INPUT, add), {"out": "add"}, "half_even"))
        assert network.run(torch.full((1, 3, 1, 1), -1 / 128))["add"].q.unique().tolist() == [expected]


@pytest.mark.parametrize("shift", [-40, -20, -1, 0, 1, 20, 40])
def test_grids_far_apart_neither_overflow_nor_wrap(shift):
    # From steps of 1/128 to steps of 2**shift / 128.
    conv = conv_node("conv", "input", torch.tensor([[127, 127, 127]]).view(1, 3, 1, 1), torch.tensor([0]), 1.0)
    conv = conv_node("conv", "input", conv.weight_OIHW, torch.tensor([7]), 1.0, Grid(2.0 ** (shift - 7), -128, 127))
    network = IntegerNetwork(NetworkGraph((INPUT, conv), {"out": "conv"}, "half_even"))
    image = torch.linspace(-1, 127 / 128, 256).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    acc = network.run(image)["input"].q.double().sum(dim=1, keepdim=True) * 127 + 7
    assert torch.equal(network.run(image)["conv"].q.double(), torch.round(acc / 2.0**shift).clamp(-128, 127))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"padding": 1},
        {"stride": 2, "padding": 1},
        {"stride": 3, "padding": 2, "dilation": 2},
        {"groups": 2, "padding": 1},
        {"groups": 4, "stride": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 3)])
def test_convolutions_are_those_of_torch(options, kernel):
    rng = torch.Generator().manual_seed(0)
    groups = options.get("groups", 1)
    expand = conv_node(
        "expand",
        "input",
        torch.randint(-127, 128, (4, 3, 1, 1), generator=rng),
        torch.zeros(4),
        2**-9,
        Grid(1 / 512, -128, 127),
    )
    weight = torch.randint(-127, 128, (8, 4 // groups, *kernel), generator=rng)
    bias = torch.randint(-(2**20), 2**20, (8,), generator=rng)
    conv = conv_node("conv", "expand", weight, bias, 1.0, **options)
    values = IntegerNetwork(NetworkGraph((INPUT, expand, conv), {"out": "conv"}, "half_even")).run(pictures(2, 13, 11))
    expected = F.conv2d(values["expand"].q.double(), weight.double(), bias.double(), **options)
    assert values["expand"].q.unique().numel() > 100
    assert torch.equal(values["conv"].q.double(), expected)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [((3, 3), (2, 2), (1, 1)), ((2, 2), (2, 2), (0, 0)), ((3, 2), (1, 2), (1, 0))], ids=str
)
def test_the_largest_of_a_window_may_be_negative(kernel, stride, padding):
    pool = MaxPoolNode("pool", ("input",), INPUT.grid, kernel, stride, padding)
    values = IntegerNetwork(NetworkGraph((INPUT, pool), {"out": "pool"}, "half_even")).run(pictures(2, 13, 11) / 2 - 0.5)
    expected = F.max_pool2d(values["input"].q.double(), kernel, stride, padding)
    assert values["input"].q.max() < 1
    assert torch.equal(values["pool"].q.double(), expected)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"weight_bits": 7},
        {"relu_range": "s8"},
        {"rounding": "half_up"},
        {"power_of_two": False},
        {"power_of_two": False, "weight_bits": 7, "relu_range": "s8", "rounding": "half_up"},
    ],
    ids=str,
)
@pytest.mark.parametrize(("height", "width"), [(64, 96), (45, 71)])
def test_the_simulation_is_the_integers(fields, height, width):
    model = zoo(**fields)
    image = pictures(2, height, width)
    kinds = {node.kind for node in integer_graph(model).nodes}
    assert kinds == {"input", "conv", "add", "concat", "upsample", "max_pool", "relu"}
    assert degenerate(model, image) == []
    assert differing(model, image) == []


def test_off_its_grid_a_picture_is_rounded_alike():
    assert differing(zoo(), torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 3 - 1.5) == []


def test_bytes_are_pictures():
    network = IntegerNetwork(integer_graph(zoo()))
    image = pictures()
    outputs = network((image * 128 + 128).to(torch.uint8))
    assert all(torch.equal(output, outputs[name]) for name, output in network(image).items())


@pytest.mark.parametrize("power_of_two", [True, False])
def test_a_checkpoint_holds_the_network(tmp_path, power_of_two):
    network = IntegerNetwork(integer_graph(zoo(power_of_two=power_of_two)))
    path = tmp_path / "integers.pth"
    torch.save({"structure": network.structure, "state_dict": network.state_dict()}, path)
    saved = torch.load(path, weights_only=True)
    loaded = IntegerNetwork.from_state(saved["structure"], saved["state_dict"])
    image = pictures()
    outputs = loaded(image)
    assert all(torch.equal(output, outputs[name]) for name, output in network(image).items())
    assert list(outputs) == ["logits", "levels.0", "levels.1"]
    kinds = {tensor.dtype for tensor in network.state_dict().values()}
    assert kinds == {torch.int8, torch.int32} | (set() if power_of_two else {torch.float32})
    assert not list(network.parameters())


def test_floats_are_refused():
    with pytest.raises(QuantizationError, match="float weights"):
        IntegerNetwork(float_graph(Zoo()))
    graph = NetworkGraph((InputNode("input", (), None, 3),), {"out": "input"}, "half_even")
    with pytest.raises(QuantizationError, match="no grid"):
        IntegerNetwork(graph)(pictures())
