"""Each way to round is written twice, for floats and for shifts; both give the same integers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from admlops.quantization import QuantSpec
from admlops.quantization.activation_quantizer import ActivationQuantizer
from admlops.quantization.rounding import ROUNDINGS, Rounding

TIES = {
    "half_even": ([-5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5], [-2, -2, -2, -1, 0, 0, 0, 1, 2, 2, 2]),
    "half_up": ([-5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5], [-2, -2, -1, -1, 0, 0, 1, 1, 2, 2, 3]),
}


@pytest.mark.parametrize("name", ROUNDINGS)
def test_halves(name):
    integers, halved = (torch.tensor(values, dtype=torch.int32) for values in TIES[name])
    assert torch.equal(ROUNDINGS[name].shift(integers, torch.tensor(1, dtype=torch.int32)), halved)
    assert torch.equal(ROUNDINGS[name].values(integers / 2), halved.float())


@pytest.mark.parametrize("name", ROUNDINGS)
@pytest.mark.parametrize("bits", range(1, 10))
def test_floats_and_shifts_agree_on_all_small_integers(name, bits):
    integers = torch.arange(-1024, 1025, dtype=torch.int32)
    shifted = ROUNDINGS[name].shift(integers, torch.tensor(bits, dtype=torch.int32))
    assert torch.equal(shifted.float(), ROUNDINGS[name].values(integers / 2**bits))


@given(
    name=st.sampled_from(sorted(ROUNDINGS)),
    # All that an accumulator can hold, and the neighbours of halves among it.
    integer=st.integers(-(2**24) + 1, 2**24 - 1)
    | st.builds(
        lambda sign, power, off: sign * (2**power + off), st.sampled_from([-1, 1]), st.integers(2, 23), st.integers(-2, 2)
    ),
    bits=st.integers(1, 30),
)
def test_floats_and_shifts_agree_on_every_accumulator(name, integer, bits):
    shifted = ROUNDINGS[name].shift(torch.tensor([integer], dtype=torch.int32), torch.tensor(bits, dtype=torch.int32))
    rounded = ROUNDINGS[name].values(torch.tensor([integer], dtype=torch.float32) / 2**bits)
    assert shifted.item() == rounded.item()


@pytest.mark.parametrize("name", ROUNDINGS)
def test_just_below_a_half_is_no_half(name):
    # 0.49999997: adding a half to it gives 1 in float32.
    largest = torch.tensor([2**24 - 1], dtype=torch.int32)
    assert ROUNDINGS[name].shift(largest, torch.tensor(25, dtype=torch.int32)).item() == 0
    assert ROUNDINGS[name].values(largest / 2**25).item() == 0


def test_a_chip_with_another_rounding_is_one_entry(monkeypatch):
    towards_zero = Rounding(
        torch.trunc, lambda integers, bits: torch.where(integers < 0, -(-integers >> bits), integers >> bits)
    )
    monkeypatch.setitem(ROUNDINGS, "towards_zero", towards_zero)
    quantizer = ActivationQuantizer(QuantSpec(rounding="towards_zero"), unsigned=False, fixed_scale=0.5)
    assert quantizer(torch.tensor([-0.9, -0.4, 0.4, 0.9])).tolist() == [-0.5, 0, 0, 0.5]
