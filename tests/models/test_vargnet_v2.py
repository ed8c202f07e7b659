from math import ceil

import pytest
import torch
from torch import nn

from admlops.errors import ModelError
from admlops.layers import ConvBnAct, VarGBlock, VarGDownBlock
from admlops.models.backbones import VarGNetV2
from admlops.models.complexity import count_complexity
from admlops.registry import MODELS


def group_convs(module):
    return [m for m in module.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]


@pytest.mark.parametrize(
    ("options", "num_parameters", "macs"),
    [
        ({"arch": "0.5x"}, 757_008, 1_424_916_480),
        ({"arch": "0.5x", "paper_head": True}, 749_776, 1_208_647_680),
        ({"arch": "1x"}, 2_339_360, 3_903_651_840),
        ({"arch": "1x", "paper_head": True}, 2_322_336, 3_392_471_040),
    ],
)
def test_counts_are_those_of_the_docstring(options, num_parameters, macs):
    total = count_complexity(VarGNetV2(**options), torch.zeros(1, 3, 512, 960))[""]
    assert (total.num_parameters, total.macs) == (num_parameters, macs)
    assert f"{num_parameters:,}" in VarGNetV2.__doc__
    assert f"{macs:,}" in VarGNetV2.__doc__


def test_stage_at_stride_8_by_hand():
    def separable(channels, out):
        # 3x3 of groups of 8, twice as wide, with norm; pointwise with norm.
        return 9 * 8 * 2 * channels + 2 * 2 * channels + 2 * channels * out + 2 * out

    by_hand = 3 * separable(16, 32) + separable(32, 32) + 2 * 2 * separable(32, 32)
    stage = count_complexity(VarGNetV2(), torch.zeros(1, 3, 64, 64))["stages.1"]
    assert stage.num_parameters == by_hand == 44_608
    weights_stride_2, weights_stride_1 = 3 * (9 * 8 * 32 + 32 * 32), 5 * (9 * 8 * 64 + 64 * 32)
    assert stage.macs == (weights_stride_2 + weights_stride_1) * 8 * 8


def test_repeats_are_3_7_4_with_one_merged_downsampling_each():
    trunk = VarGNetV2()
    assert [len(stage) for stage in trunk.stages[1:]] == [3, 7, 4]
    assert all(stage[0].parallel is not None for stage in trunk.stages[1:])
    assert all(isinstance(block, VarGBlock) for stage in trunk.stages[1:] for block in stage[1:])


@pytest.mark.parametrize("arch", ["0.5x", "1x"])
@pytest.mark.parametrize("group_base", [4, 8])
def test_channels_per_group_are_constant_everywhere(arch, group_base):
    convs = group_convs(VarGNetV2(arch, group_base))
    assert len(convs) == 4 * 4 + 2 * (2 + 6 + 3)
    assert {conv.in_channels // conv.groups for conv in convs} == {group_base}
    assert {conv.out_channels // conv.groups for conv in convs} == {2 * group_base}


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (64, 96), (54, 114), (47, 92)])
def test_every_stride_rounds_up(size):
    trunk = VarGNetV2(out_indices=(0, 1, 2, 3, 4)).eval()
    with torch.no_grad():
        feats = trunk(torch.zeros(2, 3, *size))
    assert trunk.out_strides == (2, 4, 8, 16, 32)
    assert trunk.out_channels == (16, 16, 32, 64, 128)
    for feat, stride, channels in zip(feats, trunk.out_strides, trunk.out_channels, strict=True):
        assert feat.shape == (2, channels, ceil(size[0] / stride), ceil(size[1] / stride))


def test_a_shorter_trunk_has_no_idle_stage():
    trunk = VarGNetV2(out_indices=(1, 2))
    assert len(trunk.stages) == 2
    sum(feat.sum() for feat in trunk(torch.randn(1, 3, 32, 32))).backward()
    assert all(parameter.grad is not None for parameter in trunk.parameters())


def test_gradients_reach_every_parameter():
    trunk = VarGNetV2(zero_init_residual=False)
    trunk.init_weights()
    sum(feat.square().mean() for feat in trunk(torch.randn(2, 3, 64, 64))).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in trunk.parameters())


def test_init_starts_residuals_at_zero_and_shortcuts_at_one():
    trunk = VarGNetV2()
    trunk.init_weights()
    blocks = [m for m in trunk.modules() if isinstance(m, VarGBlock | VarGDownBlock)]
    assert len(blocks) == 1 + 3 + 7 + 4
    for block in blocks:
        assert block.second.pointwise.bn.weight.abs().sum() == 0
        assert block.first.pointwise.bn.weight.min() == 1
    feat = torch.rand(1, 32, 4, 4)
    assert torch.equal(trunk.stages[1][1].eval()(feat), feat)


def test_init_keeps_the_signal_of_group_convolutions():
    trunk = VarGNetV2()
    torch.manual_seed(0)
    trunk.init_weights()
    conv = group_convs(trunk.stages[3])[-1]
    # He: variance 2 / fan-in, with 8 channels and 9 taps per output.
    assert conv.weight.std().item() == pytest.approx((2 / 72) ** 0.5, rel=0.03)


def test_autocast_and_channels_last_agree_with_plain():
    trunk = VarGNetV2().eval()
    image = torch.rand(1, 3, 40, 56)
    with torch.no_grad():
        plain = trunk(image)
        last = trunk.to(memory_format=torch.channels_last)(image.to(memory_format=torch.channels_last))
        with torch.autocast("cpu", torch.bfloat16):
            half = trunk(image)
    for a, b, c in zip(plain, last, half, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        assert b.is_contiguous(memory_format=torch.channels_last)
        assert c.dtype == torch.bfloat16


def test_registry_builds_it_by_name():
    trunk = MODELS.build({"type": "VarGNetV2", "arch": "0.25x"})
    assert trunk.out_channels == (8, 16, 32, 64)
    assert isinstance(trunk.stem, ConvBnAct)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arch": "0.5"}, "did you mean '0.5x'"),
        ({"arch": "0.5x", "group_base": 12}, "multiple of the group base"),
        ({"out_indices": (4, 1)}, "ascending indices 0 to 4"),
        ({"out_indices": (1, 5)}, "ascending indices 0 to 4"),
        ({"out_indices": ()}, "ascending indices 0 to 4"),
    ],
)
def test_impossible_trunks_are_refused(options, message):
    with pytest.raises(ModelError, match=message):
        VarGNetV2(**options)
