import pytest
from torch import nn

from admlops.engine.fusion_bn import match_fusion_bn
from admlops.errors import ConfigError


@pytest.fixture
def model():
    return nn.ModuleDict({"backbone": nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 1, 1)), "head": nn.BatchNorm2d(1)})


def test_patterns_name_bn_layers_by_step(model):
    patterns = {"c1": ["backbone.*"], "c2": ["head*"]}
    assert match_fusion_bn(model, patterns) == {"c1": ["backbone.0"], "c2": ["head"]}


def test_a_pattern_without_a_bn_layer_is_refused(model):
    with pytest.raises(ConfigError, match="matches no BN layer") as caught:
        match_fusion_bn(model, {"c1": ["backbon.*"]})
    assert "backbone.*" in str(caught.value)


def test_a_layer_is_absorbed_once(model):
    with pytest.raises(ConfigError, match="absorbed twice"):
        match_fusion_bn(model, {"c1": ["*"], "c2": ["head*"]})


def test_a_part_that_a_network_does_without_has_nothing_to_absorb(model):
    model.neck = None
    assert match_fusion_bn(model, {"c1": ["backbone.*", "neck.*"]}) == {"c1": ["backbone.0"]}
    with pytest.raises(ConfigError, match="matches no BN layer"):
        match_fusion_bn(model, {"c1": ["nek.*"]})
