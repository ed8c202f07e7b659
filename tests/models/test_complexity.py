import pytest
import torch
from torch import nn

from admlops.models.complexity import Complexity, count_complexity


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2)
        self.norm = nn.BatchNorm2d(8)
        self.shared = nn.Conv2d(8, 8, 1, bias=False)
        self.idle = nn.Linear(5, 7)

    def forward(self, feat, repeat=True):
        feat = self.shared(self.norm(self.conv(feat)))
        return self.shared(feat) if repeat else feat


def test_counts_by_hand():
    counts = count_complexity(Twice(), torch.zeros(1, 4, 5, 7))
    # The output is 3 x 4; each value of the group convolution sums 2 channels of 9 taps.
    assert counts["conv"] == Complexity(num_parameters=8 * 2 * 9 + 8, macs=3 * 4 * 8 * 2 * 9)
    assert counts["shared"] == Complexity(num_parameters=64, macs=2 * 3 * 4 * 8 * 8)
    assert counts["norm"] == Complexity(num_parameters=16, macs=0)
    assert counts["idle"] == Complexity(num_parameters=42, macs=0)
    assert counts[""] == Complexity(152 + 64 + 16 + 42, 1728 + 1536)


def test_other_weighted_layers_by_hand():
    assert count_complexity(nn.Linear(5, 7), torch.zeros(3, 5))[""].macs == 3 * 5 * 7
    assert count_complexity(nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2), torch.zeros(1, 4, 3, 3))[""].macs == 36 * 3 * 4


def test_inputs_may_be_several_and_keywords_pass():
    assert count_complexity(Twice(), (torch.zeros(1, 4, 5, 7), False))["shared"].macs == 768
    assert count_complexity(Twice(), torch.zeros(2, 4, 5, 7), {"repeat": False})["shared"].macs == 2 * 768


def test_shared_parameters_count_once():
    tied = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    tied[1].weight = tied[0].weight
    assert count_complexity(tied, torch.zeros(1, 4))[""] == Complexity(num_parameters=16, macs=32)


@pytest.mark.parametrize("broken", [False, True])
def test_the_module_stays_as_it_was(broken):
    module = Twice().train()
    module.idle.eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    if broken:
        with pytest.raises(RuntimeError, match="channels"):
            count_complexity(module, torch.zeros(1, 3, 5, 7))
    else:
        count_complexity(module, torch.randn(1, 4, 5, 7))
    assert module.norm.training
    assert not module.idle.training
    assert not module.conv._forward_hooks
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
