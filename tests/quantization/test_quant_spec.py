import pytest

from admlops.errors import QuantizationError
from admlops.quantization import QuantSpec


@pytest.mark.parametrize(("bits", "high"), [(8, 127), (7, 63)])
def test_weights_are_symmetric(bits, high):
    assert QuantSpec(weight_bits=bits).weight_high == high


@pytest.mark.parametrize(
    ("fields", "expected", "got"),
    [
        ({"weight_bits": 4}, "8, or 7", "4"),
        ({"relu_range": "u7"}, "'u8'", "u7"),
        ({"rounding": "half_evn"}, "'half_even'", "half_evn"),
        ({"momentum": 0.0}, "0 < momentum <= 1", "0.0"),
        ({"momentum": 1.5}, "0 < momentum <= 1", "1.5"),
    ],
)
def test_what_no_target_has_is_refused(fields, expected, got):
    with pytest.raises(QuantizationError) as caught:
        QuantSpec(**fields)
    assert expected in str(caught.value)
    assert got in str(caught.value)
