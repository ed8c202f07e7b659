from math import ceil

import pytest
import torch
from mmengine.model import BaseModule
from torch import fx, nn

from admlops import layers
from admlops.errors import ModelError
from admlops.models.backbones import VarGNetV2
from admlops.models.complexity import count_complexity
from admlops.models.necks import VarGUNet
from admlops.registry import MODELS


class TrunkAndNeck(BaseModule):
    def __init__(self, **neck_options):
        super().__init__()
        self.backbone = VarGNetV2()
        self.neck = VarGUNet(**neck_options)

    def forward(self, image):
        return self.neck(self.backbone(image))


class LayerTracer(fx.Tracer):
    """Stops at torch's modules and at our single operations, looks into everything else."""

    operations = (layers.Add, layers.Concat, layers.NetworkInput, layers.UpsampleTo)

    def is_leaf_module(self, module, qualified_name):
        return isinstance(module, self.operations) or type(module).__module__.startswith("torch.nn")


@pytest.mark.parametrize(("group_base", "num_parameters", "macs"), [(8, 62_720, 572_620_800), (4, 44_288, 384_614_400)])
def test_counts_are_those_of_the_docstring(group_base, num_parameters, macs):
    counts = count_complexity(TrunkAndNeck(upscale_group_base=group_base), torch.zeros(1, 3, 512, 960))
    assert (counts["neck"].num_parameters, counts["neck"].macs) == (num_parameters, macs)
    assert f"{num_parameters:,}" in VarGUNet.__doc__
    assert f"{macs:,}" in VarGUNet.__doc__


def test_neck_parameters_by_hand():
    lateral = (16 + 32 + 64 + 128) * 32 + 4 * 2 * 32
    separable = 9 * 8 * 64 + 2 * 64 + 64 * 32 + 2 * 32
    assert sum(p.numel() for p in VarGUNet().parameters()) == lateral + 4 * 2 * separable


@pytest.mark.parametrize("size", [(32, 32), (512, 960), (540, 1140), (540, 1048), (344, 1140), (470, 912), (33, 47), (65, 97)])
def test_any_picture_size_goes_through(size):
    network = TrunkAndNeck().eval()
    with torch.no_grad():
        feats = network(torch.zeros(1, 3, *size))
    assert [tuple(feat.shape) for feat in feats] == [(1, 32, ceil(size[0] / s), ceil(size[1] / s)) for s in (4, 8, 16, 32)]


def test_trunk_and_neck_are_modules_only():
    graph = LayerTracer().trace(TrunkAndNeck())
    calls = [node for node in graph.nodes if node.op not in {"placeholder", "output"}]
    assert {node.op for node in calls} == {"call_module"}
    called = [node.target for node in calls]
    assert len(called) == len(set(called)), "a module used twice could hold only one scale"
    assert called[0] == "backbone.network_input"


def test_each_sum_of_the_neck_has_one_bare_convolution_output():
    network = TrunkAndNeck()
    graph = LayerTracer().trace(network)
    sums = [node for node in graph.nodes if isinstance(node.target, str) and node.target.startswith("neck.fusions")]
    assert len(sums) == 3
    for node in sums:
        kinds = [type(network.get_submodule(operand.target)) for operand in node.args]
        assert kinds == [layers.UpsampleTo, nn.BatchNorm2d]


def test_coarse_levels_reach_the_finest_output():
    neck = VarGUNet(zero_init_residual=False)
    neck.init_weights()
    feats = [torch.randn(1, c, s, s, requires_grad=True) for c, s in zip((16, 32, 64, 128), (16, 8, 4, 2), strict=True)]
    neck(feats)[0].square().sum().backward()
    assert all(feat.grad.abs().sum() > 0 for feat in feats)
    assert all(parameter.grad is not None for parameter in neck.parameters()), "idle parameters are an error under DDP"


def test_fusion_by_hand():
    neck = VarGUNet(in_channels=(8, 8), out_channels=8).eval()
    neck.init_weights()  # blocks start as relu(x), hence the sums come out as they are
    for lateral, weight in zip(neck.laterals, (1.0, 10.0), strict=True):
        nn.init.zeros_(lateral.conv.weight)
        lateral.conv.weight.data[0, 0] = weight
        lateral.bn.eps = 0.0
    fine, coarse = torch.zeros(1, 8, 3, 3), torch.zeros(1, 8, 2, 2)
    fine[0, 0] = torch.tensor([[1.0, 2, 3], [4, 5, 6], [7, 8, -90]])
    coarse[0, 0] = torch.tensor([[1.0, 2], [-3, 4]])
    sums = []
    neck.fusions[0].register_forward_hook(lambda module, operands, total: sums.append(total[0, 0].tolist()))
    fused, bottom = neck((fine, coarse))
    assert bottom[0, 0].tolist() == [[10, 20], [0, 40]]
    assert fused[0, 0].tolist() == [[11, 12, 23], [14, 15, 26], [7, 8, 0]]
    assert sums == [fused[0, 0].tolist()]


def test_group_base_belongs_to_the_climb():
    convs = [m for m in VarGUNet(upscale_group_base=4).modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert len(convs) == 8
    assert {conv.in_channels // conv.groups for conv in convs} == {4}


def test_impossible_necks_are_refused():
    with pytest.raises(ModelError, match="another number of feature maps"):
        VarGUNet()((torch.zeros(1, 16, 4, 4),))
    with pytest.raises(ModelError, match="at least one level"):
        VarGUNet(in_channels=())
    with pytest.raises(ModelError, match="multiple of the group base"):
        VarGUNet(out_channels=36)


def test_registry_builds_it_by_name():
    assert MODELS.build({"type": "VarGUNet", "upscale_group_base": 4}).out_channels == 32
