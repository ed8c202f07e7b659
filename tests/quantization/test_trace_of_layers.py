import pytest
import torch
from small_networks import Chain, Zoo
from torch import nn

from admlops.quantization.trace import evaluating, trace


def test_the_calls_of_layers_and_what_they_read():
    found = trace(Zoo())
    assert found.foreign == []
    assert {call.name: call.inputs for call in found.calls if call.name.count(".") == 0} == {
        "network_input": ("image",),
        "stem": ("network_input",),
        "pool": ("stem",),
        "module": ("down.add",),
        "rectified": ("module", "pool"),  # dropout passes
        "signed": ("down.add",),
        "mixed": ("signed", "pool"),
        "wide": ("mixed",),
        "relu": ("wide",),
        "sum": ("relu", "rectified"),
        "lateral": ("stem",),
        "up": ("sum", "stem"),
        "again": ("lateral", "up"),
    }
    assert found.outputs == {"logits": "head.0", "levels.0": "head.1", "levels.1": "sum"}
    # What only takes its size, "up", does not read it.
    readers = {call.name for call in found.readers("stem")}
    assert readers == {"pool", "lateral", "down.first.group", "down.parallel.group", "down.shortcut.group"}


def test_layers_inside_of_a_layer_are_its_own():
    names = {call.name for call in trace(Zoo()).calls}
    assert not {name for name in names if name.startswith(("stem.", "module.", "again."))}


def test_the_network_is_left_as_it_was():
    model = Zoo().train()
    model.down.eval()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    trace(model)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_network_that_fails_keeps_no_hooks():
    model = Chain(conv=nn.Conv2d(5, 1, 1)).train()
    with pytest.raises(RuntimeError):
        trace(model)
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    with evaluating(model):
        assert not model.training
        assert not torch.is_grad_enabled()


def test_a_call_under_inference_mode_is_traced_too():
    with torch.inference_mode():
        # Tensors made here count no versions, by which operations in place are seen elsewhere.
        found = trace(Chain(conv=nn.Conv2d(3, 1, 1), act=nn.Sigmoid()))
    assert found.foreign == ["layers.act: torch.sigmoid is an operation that integers lack"]
