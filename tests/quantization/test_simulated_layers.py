import pytest
import torch
from small_networks import Chain, calibrate, flat, pictures, quantized, randomise, zoo
from torch import nn

from admlops.errors import QuantizationError
from admlops.layers import ConvBnAct
from admlops.quantization import QuantSpec
from admlops.quantization.activation_quantizer import ActivationQuantizer
from admlops.quantization.simulated_layers import SimulatedConv


def simulated(weights, bias, in_scale=0.5, amax=1.0, bn=None, act=None, **fields):
    """1x1 convolution, (O, I) weights, over unsigned integers of a known scale."""
    spec = QuantSpec(**fields)
    weight_OI = torch.tensor(weights)
    conv = nn.Conv2d(weight_OI.shape[1], len(weight_OI), 1)
    conv.weight.data = weight_OI[..., None, None]
    conv.bias.data = torch.tensor(bias)
    layer = SimulatedConv(conv, bn, act, spec, quantize_output=True).eval()
    layer.wire(ActivationQuantizer(spec, unsigned=True, fixed_scale=in_scale), None)
    layer.out_quantizer.amax.fill_(amax)
    return layer


def test_a_convolution_by_hand():
    # 1.5 / 127 needs steps of 1/64; products and bias have steps of 0.5 / 64 = 1/128.
    layer = simulated([[0.75, -1.5]], [0.305])
    q, bias, scale = layer.integers()
    assert (q.flatten().tolist(), bias.tolist(), scale.tolist()) == ([48, -96], [39], [1 / 64])
    feat = torch.tensor([1.5, 0.5]).view(1, 2, 1, 1)  # 3 and 1
    with torch.no_grad():
        # 3 * 48 - 96 + 39 = 87, and 87/128 = 43.5/64 is a tie between 43 and 44.
        assert layer(feat).item() == 44 / 64
    layer.out_quantizer = None
    with torch.no_grad():
        assert layer(feat).item() == 87 / 128
    assert layer(feat).item() == 87 / 128


def test_the_accumulator_is_whole_with_arbitrary_scales():
    # For one scale in ten (255 * s) / s isn't 255; 400 products with 127 would bring the sum to another whole number.
    scales = torch.linspace(0.1, 0.2, 100)
    scale = scales[(255 * scales) / scales != 255][0]
    layer = simulated([[1.0] * 400], [0.0], scale.item(), power_of_two=False)
    layer.in_quantizer.amax.copy_(255 * scale)
    layer.out_quantizer = None
    q, _, weight_scale = layer.integers()
    assert q.unique().tolist() == [127]
    assert layer.in_quantizer.grid().scale == scale
    with torch.no_grad():
        assert layer((255 * scale).expand(1, 400, 1, 1)).item() == (scale * weight_scale * (400 * 127 * 255)).item()


def test_a_relu_and_its_grid():
    layer = simulated([[-1.0], [1.0]], [0.0, 0.0], amax=1.0, act=nn.ReLU(inplace=True))
    with torch.no_grad():
        # 1 / 255 needs steps of 1/128, up to 255/128.
        assert layer(torch.full((1, 1, 1, 1), 1.0)).flatten().tolist() == [0, 1]
        assert layer(torch.full((1, 1, 1, 1), 3.0)).flatten().tolist() == [0, 255 / 128]


def test_a_dead_channel_keeps_its_bias_within_the_accumulator():
    # Weights alone would ask for a scale so small that 3.1 has no 24 bits; 3.1 * 2 / 2**24 = 2**-21.4.
    layer = simulated([[1e-9], [0.5]], [3.1, 3.1])
    q, bias, scale = layer.integers()
    assert scale[0] == 2**-21
    assert int(bias[0]) < 2**24
    assert abs(bias[0] * 0.5 * scale[0] - 3.1) <= 0.5 * 0.5 * scale[0] + 2**-23
    assert q.flatten().tolist() == [0, 64]


def test_a_channel_of_zeros_has_a_scale():
    layer = simulated([[0.0]], [0.0])
    assert torch.equal(layer.integers()[0], torch.zeros(1, 1, 1, 1))
    assert layer.integers()[2].item() > 0


@pytest.mark.parametrize(("bits", "high"), [(8, 127), (7, 63)])
@pytest.mark.parametrize("power_of_two", [True, False])
def test_weights_fill_their_bits(bits, high, power_of_two):
    weights = torch.randn(16, 32, generator=torch.Generator().manual_seed(0))
    layer = simulated(weights.tolist(), [0.0] * 16, weight_bits=bits, power_of_two=power_of_two)
    largest = layer.integers()[0].abs().amax(dim=(1, 2, 3))
    assert largest.max() <= high
    assert largest.min() > high / 2 - 1
    assert (largest == high).all() or power_of_two


def test_an_unwired_convolution_is_refused_by_name():
    layer = SimulatedConv(nn.Conv2d(1, 1, 1), None, None, QuantSpec(), quantize_output=False)
    layer.name = "neck.lateral"
    with pytest.raises(QuantizationError, match="scale of its input") as caught:
        layer(torch.zeros(1, 1, 1, 1))
    assert "neck.lateral" in str(caught.value)


@pytest.mark.parametrize(
    "fields", [{}, {"weight_bits": 7}, {"relu_range": "s8"}, {"rounding": "half_up"}], ids=lambda fields: str(fields)
)
def test_evaluation_is_the_same_with_gradients_and_without(fields):
    model = zoo(**fields)
    image = pictures()
    with torch.no_grad():
        exact = flat(model(image))
    differentiable = flat(model(image))
    assert all(value.requires_grad for value in differentiable.values())
    assert all(torch.equal(exact[name], value) for name, value in differentiable.items())


def test_half_precision_around_it_changes_nothing():
    model = zoo()
    with torch.no_grad():
        exact = flat(model(pictures()))
        with torch.autocast("cpu", torch.bfloat16):
            cast = flat(model(pictures()))
    assert all(torch.equal(exact[name], value) for name, value in cast.items())


def test_training_normalises_by_the_batch():
    bn = nn.BatchNorm2d(1, eps=1e-12)
    bn.running_var.fill_(4)
    layer = simulated([[0.3]], [0.0], amax=2.0, bn=bn).train()
    seen = []
    bn.register_forward_pre_hook(lambda module, args: seen.append(args[0].flatten().tolist()))
    normalised = layer(torch.tensor([0.0, 0.5]).view(2, 1, 1, 1))
    # Rounded as what will be absorbed, 0.3 * 1 / sqrt(4) = 77/512, and back.
    assert seen == [[0, 0.5 * 77 / 256]]
    # The mean of the two is between them, not the running one of 0.
    assert normalised.flatten().tolist() == [-1, 1]
    assert bn.running_var != 4


def test_gradients_reach_weight_gamma_and_beta():
    model = quantized(randomise(Chain(unit=ConvBnAct(3, 4, 3), head=nn.Conv2d(4, 1, 1)))).train()
    (model(pictures()) ** 2).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    assert len(list(model.parameters())) == 5


def test_a_channel_whose_gamma_is_0_learns():
    model = Chain(unit=ConvBnAct(3, 2, 3), head=nn.Conv2d(2, 1, 1))
    randomise(model)
    model.layers["unit"].bn.weight.data[0] = 0
    model.layers["unit"].bn.bias.data.fill_(0.5)
    quantized(model).train()
    outputs = model(pictures())
    (outputs**2).sum().backward()
    assert torch.isfinite(outputs).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    assert model.layers["unit"].bn.weight.grad[0] != 0
    assert torch.isfinite(calibrate(model)(pictures())).all()
