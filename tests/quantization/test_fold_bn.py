import pytest
import torch
from torch import nn

from admlops.errors import QuantizationError
from admlops.quantization.fold_bn import bn_factor, fold_bn


def unit(bias):
    conv, bn = nn.Conv2d(1, 1, 1, bias=bias is not None), nn.BatchNorm2d(1, eps=0)
    values = [(conv.weight, 3), (bn.weight, 4), (bn.bias, 7), (bn.running_mean, 1), (bn.running_var, 4)]
    for tensor, value in values + ([] if bias is None else [(conv.bias, bias)]):
        tensor.data.fill_(value)
    return conv, bn


# gamma / sigma is 4 / 2: the weight doubles, and so does what the mean is taken from.
@pytest.mark.parametrize(("bias", "folded"), [(None, 7 + 2 * (0 - 1)), (5, 7 + 2 * (5 - 1))])
def test_running_statistics_become_weight_and_bias(bias, folded):
    conv, bn = unit(bias)
    weight_OIHW, bias_O = fold_bn(conv, bn)
    assert (bn_factor(bn).item(), weight_OIHW.item(), bias_O.item()) == (2, 6, folded)
    assert bn.eval()(conv(torch.full((1, 1, 1, 1), 10.0))).item() == 60 + folded


def test_without_bn_a_bias_is_there_anyway():
    weight_OIHW, bias_O = fold_bn(unit(None)[0], None)
    assert (weight_OIHW.item(), bias_O.item()) == (3, 0)


def test_running_statistics_are_needed():
    with pytest.raises(QuantizationError, match="without running statistics"):
        fold_bn(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, track_running_stats=False))
