import os
import pickle

import numpy as np
import pytest
import torch
from mmengine.logging.history_buffer import HistoryBuffer
from mmengine.model import PretrainedInit
from torch import nn

from admlops.engine.checkpoint import check_start, fitting, plain, read_checkpoint, safe_globals
from admlops.errors import CheckpointError


class Attack:
    def __reduce__(self):
        return os.system, ("touch attacked",)


def test_a_malicious_checkpoint_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {}, "meta": Attack()}, "bad.pth")
    with pytest.raises(CheckpointError, match="could run code") as caught:
        read_checkpoint("bad.pth")
    assert "system" in str(caught.value)
    assert not (tmp_path / "attacked").exists()


def test_getattr_reaches_nothing_but_statistics(tmp_path):
    class Reach:
        def __reduce__(self):
            return getattr, (HistoryBuffer, "__init__")

    torch.save({"meta": Reach()}, tmp_path / "bad.pth")
    with pytest.raises(CheckpointError, match="may be an attack"):
        read_checkpoint(tmp_path / "bad.pth")


def test_a_checkpoint_of_mmengine_loads(tmp_path):
    history = HistoryBuffer([1.0, 3.0], [1, 1])
    torch.save({"message_hub": {"log_scalars": {"loss": history}}, "state_dict": {"w": torch.ones(2)}}, tmp_path / "mm.pth")
    loaded = read_checkpoint(tmp_path / "mm.pth")
    assert loaded["message_hub"]["log_scalars"]["loss"].mean() == 2.0


def test_unsafe_loading_that_a_library_asks_for_is_refused_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    torch.save({"meta": Attack()}, "bad.pth")
    with safe_globals(), pytest.raises(pickle.UnpicklingError):
        torch.load("bad.pth", weights_only=False)
    assert not (tmp_path / "attacked").exists()
    assert os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] == "1"
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


def test_a_truncated_checkpoint_is_named(tmp_path):
    file = tmp_path / "torn.pth"
    torch.save({"state_dict": {"w": torch.ones(1000)}}, file)
    file.write_bytes(file.read_bytes()[:1500])
    with pytest.raises(CheckpointError, match="truncated") as caught:
        read_checkpoint(file)
    assert "torn.pth" in str(caught.value)


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        read_checkpoint(tmp_path / "none.pth")


def test_plain_keeps_tensors_and_values_and_drops_the_rest(tmp_path):
    state = {
        "weight": torch.arange(3),
        "best": np.float64(0.5),
        "shape": (np.int64(4), 5),
        "history": HistoryBuffer(),
        "anneal": pickle.dumps,
        "nested": [{"lr": 0.1, "function": len}],
    }
    reduced = plain(state)
    assert set(reduced) == {"weight", "best", "shape", "nested"}
    assert reduced["best"] == 0.5
    assert type(reduced["best"]) is float
    assert reduced["shape"] == (4, 5)
    assert reduced["nested"] == [{"lr": 0.1}]
    torch.save(reduced, tmp_path / "plain.pth")
    assert torch.equal(torch.load(tmp_path / "plain.pth", weights_only=True)["weight"], torch.arange(3))


class Trunk(nn.Sequential):
    """Six tensors and a counter; ``init_cfg`` as mmengine keeps it."""

    def __init__(self, init_cfg=None):
        super().__init__(nn.Conv2d(1, 2, 1, bias=False), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1, bias=False))
        self.init_cfg = init_cfg


def network(*frozen, init_cfg=None):
    net = nn.ModuleDict({"backbone": Trunk(init_cfg), "neck": nn.Conv2d(2, 2, 1), "branch": nn.Conv2d(2, 3, 1)})
    net.frozen = frozen
    return net


def check(net, weights, path="some.pth"):
    check_start(net, fitting(net, weights), path)


def test_whatever_is_frozen_needs_all_of_its_weights():
    weights = network().state_dict()
    frozen = network("backbone", "neck")
    check(frozen, weights)
    check(frozen, {f"module.{name}": value for name, value in weights.items() if "branch" not in name and "num_" not in name})
    check(network(), {}, None)
    with pytest.raises(CheckpointError) as caught:
        check(frozen, {}, None)
    assert (caught.value.what, caught.value.where) == ("frozen parts would stay random", "no --load-from")
    assert caught.value.got == "0 of 6 tensors of backbone, 0 of 2 tensors of neck; 0 of 10 of the whole network"
    assert "--load-from a checkpoint" in caught.value.remedy
    with pytest.raises(CheckpointError) as caught:
        check(frozen, weights | {"neck.weight": torch.ones(2, 9, 1, 1)})
    assert (caught.value.where, caught.value.expected) == ("some.pth", "weights for neck")
    assert caught.value.got == "1 of 2 tensors of neck; 9 of 10 of the whole network"


def test_a_checkpoint_without_anything_for_the_trunk_is_of_another_network():
    weights = network().state_dict()
    check(network(), {"backbone.0.weight": weights["backbone.0.weight"]})
    foreign = {"stem.0.weight": torch.ones(2, 1, 1, 1), "backbone.0.weight": torch.ones(4, 1, 1, 1), "epoch": 3}
    with pytest.raises(CheckpointError, match="nothing of the checkpoint fits the trunk") as caught:
        check(network(), foreign | {"neck.bias": weights["neck.bias"]})
    assert caught.value.got == "0 of 6 tensors of backbone; 1 of 10 of the whole network"


@pytest.mark.parametrize("settings", [{"type": "Pretrained"}, [{"type": "Kaiming"}, {"type": PretrainedInit}]])
def test_a_trunk_may_bring_weights_of_its_own(settings):
    check(network("backbone", init_cfg=settings), {}, None)
    with pytest.raises(CheckpointError, match="6 of 10 of the whole network"):
        check(network("backbone", "neck", init_cfg=settings), {}, None)
    with pytest.raises(CheckpointError, match="0 of 6 tensors of backbone"):
        check(network("backbone", init_cfg={"type": "Kaiming"}), {}, None)
