import pytest
import torch
from mmengine.model import BaseModule
from torch import nn

from admlops.errors import ModelError
from admlops.layers import (
    Add,
    Concat,
    ConvBnAct,
    NetworkInput,
    SeparableVarGConv,
    UpsampleTo,
    VarGBlock,
    VarGDownBlock,
)


def num_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def map_2x2(*values):
    return torch.tensor(values, dtype=torch.float32).reshape(1, 1, 2, 2)


def test_add_by_hand_and_leaves_operands_alone():
    a, b = map_2x2(1, -2, 3, -4), map_2x2(1, 1, -5, 1)
    assert torch.equal(Add()(a, b), map_2x2(2, -1, -2, -3))
    assert torch.equal(Add(act=True)(a, b), map_2x2(2, 0, 0, 0))
    assert torch.equal(a, map_2x2(1, -2, 3, -4))


def test_add_refuses_to_broadcast():
    with pytest.raises(ModelError, match="different shapes"):
        Add()(torch.zeros(1, 8, 4, 4), torch.zeros(1, 1, 4, 4))


def test_concat_joins_channels():
    joined = Concat()(torch.zeros(1, 1, 2, 2), torch.ones(1, 2, 2, 2))
    assert joined[0, :, 0, 0].tolist() == [0, 1, 1]


def test_upsample_doubles_by_hand_and_crops_right_and_bottom():
    coarse = map_2x2(1, 2, 3, 4)
    assert UpsampleTo()(coarse, torch.empty(1, 5, 4, 4))[0, 0].tolist() == [
        [1, 1, 2, 2],
        [1, 1, 2, 2],
        [3, 3, 4, 4],
        [3, 3, 4, 4],
    ]
    assert UpsampleTo()(coarse, torch.empty(1, 5, 3, 4))[0, 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4]]
    assert UpsampleTo()(coarse, torch.empty(1, 5, 4, 3))[0, 0].tolist() == [[1, 1, 2], [1, 1, 2], [3, 3, 4], [3, 3, 4]]


@pytest.mark.parametrize("size", [(5, 4), (4, 5), (2, 4), (4, 2)])
def test_upsample_refuses_maps_that_are_not_neighbours(size):
    with pytest.raises(ModelError, match=r"4 x 4, or one row or column less"):
        UpsampleTo()(torch.empty(1, 1, 2, 2), torch.empty(1, 1, *size))


def test_network_input_is_the_identity():
    image = torch.zeros(1, 3, 2, 2)
    assert NetworkInput()(image) is image


def test_conv_bn_act_has_a_bias_exactly_without_norm():
    plain, normed = ConvBnAct(8, 8, 3, norm=False, act=False), ConvBnAct(8, 16, 3, stride=2, groups=2)
    assert plain.conv.bias is not None
    assert plain.bn is None
    assert plain.act is None
    assert normed.conv.bias is None
    assert isinstance(normed.bn, nn.BatchNorm2d)
    assert isinstance(normed.act, nn.ReLU)
    assert normed(torch.zeros(1, 8, 5, 7)).shape == (1, 16, 3, 4)


def test_conv_bn_act_is_act_of_bn_of_conv():
    layer = ConvBnAct(1, 1, 1).eval()
    nn.init.constant_(layer.conv.weight, 2.0)
    layer.bn.running_mean.fill_(3.0)
    layer.bn.eps = 0.0
    assert torch.equal(layer(map_2x2(1, 2, 3, 4)), map_2x2(0, 1, 3, 5))


def test_conv_bn_act_refuses_what_cannot_be_built():
    with pytest.raises(ModelError, match="odd kernel"):
        ConvBnAct(8, 8, 2)
    with pytest.raises(ModelError, match="must divide its channels"):
        ConvBnAct(8, 12, 3, groups=8)
    with pytest.raises(ModelError, match="multiple of the group base"):
        SeparableVarGConv(12, 16)


@pytest.mark.parametrize("group_base", [4, 8, 16])
def test_channels_per_group_are_constant(group_base):
    for channels in (16, 32, 64):
        conv = SeparableVarGConv(channels, channels, group_base=group_base).group.conv
        assert conv.in_channels // conv.groups == group_base
        assert conv.out_channels // conv.groups == 2 * group_base


def test_block_parameters_by_hand():
    # Group: 9 * 8 * 32 weights + 2 * 32 norm; pointwise: 32 * 16 + 2 * 16.
    separable = 9 * 8 * 32 + 64 + 32 * 16 + 32
    assert separable == 2912
    assert num_parameters(SeparableVarGConv(16, 16)) == separable
    assert num_parameters(VarGBlock(16)) == 2 * separable
    assert num_parameters(VarGDownBlock(16, 16)) == 4 * separable
    assert num_parameters(VarGDownBlock(16, 16, merged=False)) == 3 * separable


@pytest.mark.parametrize("training", [True, False])
def test_zero_init_makes_the_block_relu_of_its_input(training):
    block = VarGBlock(16, zero_init_residual=True)
    block.init_weights()
    block.train(training)
    feat = torch.randn(2, 16, 5, 6)
    assert torch.equal(block(feat), feat.relu())
    default = VarGBlock(16, zero_init_residual=False)
    default.init_weights()
    assert not torch.equal(default(feat), feat.relu())


def test_zero_init_makes_the_downsampling_block_relu_of_its_shortcut():
    block = VarGDownBlock(8, 16)
    block.init_weights()
    block.eval()
    feat = torch.randn(1, 8, 5, 7)
    out = block(feat)
    assert out.shape == (1, 16, 3, 4)
    assert torch.equal(out, block.shortcut(feat).relu())


def test_a_merged_pair_is_rectified_once_after_its_sum():
    merged, single = VarGDownBlock(8, 16), VarGDownBlock(8, 16, merged=False)
    assert merged.first.pointwise.act is None
    assert merged.parallel.pointwise.act is None
    assert merged.merge.act is not None
    assert single.first.pointwise.act is not None
    assert single.parallel is None


def test_a_zero_started_block_still_learns():
    block = VarGBlock(16)
    block.init_weights()
    block(torch.randn(2, 16, 6, 6)).square().sum().backward()
    assert block.second.pointwise.bn.weight.grad.abs().sum() > 0


def test_init_of_a_parent_reaches_the_layers_but_not_the_zero_norm():
    class Trunk(BaseModule):
        def __init__(self):
            super().__init__([{"type": "Constant", "layer": ["Conv2d", "BatchNorm2d"], "val": 0.5}])
            self.block = VarGBlock(8)

    trunk = Trunk()
    trunk.init_weights()
    assert trunk.block.first.group.conv.weight.unique().item() == 0.5
    assert trunk.block.first.pointwise.bn.weight.unique().item() == 0.5
    assert trunk.block.second.pointwise.bn.weight.unique().item() == 0.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_blocks_keep_channels_last_and_bfloat16(dtype):
    feat = torch.randn(2, 16, 9, 7).to(memory_format=torch.channels_last)
    block = VarGDownBlock(16, 16).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
        coarse = block(feat)
        joined = Add()(UpsampleTo()(coarse, feat), UpsampleTo()(coarse, feat))
    assert coarse.is_contiguous(memory_format=torch.channels_last)
    assert joined.shape == feat.shape
    assert joined.dtype is dtype
