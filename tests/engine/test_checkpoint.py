import os
import pickle

import numpy as np
import pytest
import torch
from mmengine.logging.history_buffer import HistoryBuffer

from admlops.engine.checkpoint import plain, read_checkpoint, safe_globals
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
