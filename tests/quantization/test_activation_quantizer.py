import pytest
import torch

from admlops.errors import QuantizationError
from admlops.quantization import Grid, QuantSpec
from admlops.quantization.activation_quantizer import ActivationQuantizer, power_of_two_above


def quantizer(amax=0.0, unsigned=False, **fields):
    made = ActivationQuantizer(QuantSpec(**fields), unsigned)
    made.amax.fill_(amax)
    made.name = "stem.out_quantizer"
    return made


def test_powers_of_two_are_found_to_the_last_bit():
    powers = torch.ldexp(torch.ones(60), torch.arange(-40, 20))
    assert torch.equal(power_of_two_above(powers), powers)
    assert torch.equal(power_of_two_above(torch.nextafter(powers, torch.tensor(0.0))), powers)
    assert torch.equal(power_of_two_above(torch.nextafter(powers, torch.tensor(torch.inf))), 2 * powers)


@pytest.mark.parametrize(
    ("unsigned", "relu_range", "power_of_two", "grid"),
    [
        # 3 / 127 = 0.0236, 3 / 255 = 0.0118
        (False, "u8", True, Grid(1 / 32, -128, 127)),
        (True, "u8", True, Grid(1 / 64, 0, 255)),
        (True, "s8", True, Grid(1 / 32, 0, 127)),
        (False, "u8", False, Grid((torch.tensor(3.0) / 127).item(), -128, 127)),
    ],
)
def test_the_grid_covers_the_largest_magnitude(unsigned, relu_range, power_of_two, grid):
    assert quantizer(3.0, unsigned, relu_range=relu_range, power_of_two=power_of_two).grid() == grid


def test_a_batch_is_rounded_before_it_moves_the_range():
    moving = quantizer(1.0, momentum=0.5)  # scale 1/64, since 1/127 > 1/128
    assert moving(torch.tensor([-4.0, 0.1, 1.0])).tolist() == [-2.0, 6 / 64, 1.0]
    assert moving.amax == 2.5
    assert moving.grid() == Grid(1 / 32, -128, 127)


def test_the_first_batch_is_the_range_whatever_the_momentum():
    first = quantizer(momentum=0.05)
    first(torch.tensor([-2.0, 1.0]))
    assert first.amax == 2


def test_calibration_keeps_values_and_takes_the_largest():
    calibrated = quantizer()
    calibrated.simulate = False
    for values in ([-0.3, 0.1], [0.7], [0.2]):
        feat = torch.tensor(values)
        assert calibrated.eval()(feat) is feat
    assert calibrated.amax == torch.tensor(0.7)


def test_what_a_relu_cuts_does_not_widen_the_range():
    rectified = quantizer(unsigned=True)
    rectified(torch.tensor([-9.0, 1.0]))
    assert rectified.amax == 1


def test_ranges_stand_still_in_evaluation_and_where_observers_are_off():
    still = quantizer(1.0)
    still.eval()(torch.tensor([5.0]))
    still.train().observing = False
    still(torch.tensor([5.0]))
    assert still.amax == 1


@pytest.mark.parametrize("power_of_two", [True, False])
def test_every_pixel_value_is_on_the_grid_of_the_input(power_of_two):
    picture = ActivationQuantizer(QuantSpec(power_of_two=power_of_two), unsigned=False, fixed_scale=1 / 128)
    values = (torch.arange(256).float() - 128) / 128
    assert picture.grid() == Grid(1 / 128, -128, 127)
    assert torch.equal(picture(values), values)
    assert torch.equal(picture.train()(values / 2 + 9).max(), torch.tensor(127 / 128))
    assert picture.grid() == Grid(1 / 128, -128, 127)
    with torch.no_grad():
        assert torch.equal(picture.eval()(values), values)


@pytest.mark.parametrize("rounding", ["half_even", "half_up"])
def test_the_gradient_passes_within_the_range_only(rounding):
    rounded = quantizer(1.0, rounding=rounding).eval()  # from -2 to 127/64
    feat = torch.tensor([-2.1, -2.0, 0.013, 1.98, 2.1], requires_grad=True)
    (3 * rounded(feat)).sum().backward()
    assert feat.grad.tolist() == [0, 3, 3, 3, 0]


@pytest.mark.parametrize("amax", [0.0, float("nan"), float("inf")])
def test_a_range_that_is_none_is_refused_by_name(amax):
    with torch.no_grad(), pytest.raises(QuantizationError, match="no usable range") as caught:
        quantizer(amax).eval()(torch.ones(1))
    assert "stem.out_quantizer" in str(caught.value)
    assert ("calibrate" in str(caught.value)) == (amax == 0)


@pytest.mark.parametrize("fault", [float("nan"), float("inf")])
def test_a_fault_in_a_batch_is_not_forgotten(fault):
    broken = quantizer(1.0)
    broken(torch.tensor([fault, 1.0]))
    broken(torch.tensor([1.0]))
    with pytest.raises(QuantizationError, match="no usable range"):
        broken.grid()
