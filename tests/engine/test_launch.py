import os

import pytest
import torch
from mmengine.config import Config

from admlops.engine import launch
from admlops.errors import ConfigError, MachineError


@pytest.fixture
def gpus(monkeypatch):
    """Pretend that there are two GPUs; list the one that was chosen, or the command that was started."""
    calls = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", calls.append)
    monkeypatch.setattr(os, "execv", lambda _path, command: calls.append(command))
    # Set and deleted, so that what choose_devices sets is undone.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    return calls


def test_one_gpu_is_chosen_in_this_process(gpus):
    launch.choose_devices(Config(), "1", "none")
    assert gpus == [1]


def test_several_gpus_start_one_process_each(gpus, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    launch.choose_devices(Config(), "1,0", "none", ["train.py", "some.py", "--ctx", "1,0", "--amp"])
    (command,) = gpus
    assert command[command.index("--nproc_per_node=2") + 1 :] == ["train.py", "some.py", "--amp", "--launcher", "pytorch"]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "7,5"


@pytest.mark.parametrize("ctx", ["2", "0,2"])
def test_a_gpu_that_is_not_there_is_refused(gpus, ctx):
    with pytest.raises(MachineError, match="not there"):
        launch.choose_devices(Config(), ctx, "none")
    assert not gpus


def test_default_ctx_out_of_reach_is_named(gpus):
    with pytest.raises(MachineError, match=r"\(4, 5\)"):
        launch.choose_devices(Config({"default_ctx": (4, 5)}), None, "none")


@pytest.mark.parametrize("default", [1, (1,), (1, 9)])
def test_default_ctx_names_the_gpus_that_are_there(gpus, default):
    launch.choose_devices(Config({"default_ctx": default}), None, "none")
    assert gpus == [1]


def test_a_launcher_and_ctx_are_not_mixed(gpus):
    with pytest.raises(ConfigError, match="starts its own processes"):
        launch.choose_devices(Config(), "0", "pytorch")


def test_the_configs_own_wrapper_settings_go_first(gpus):
    cfg = Config({"model_wrapper_cfg": {"broadcast_buffers": False, "static_graph": True}})
    launch.set_up_processes(cfg, "pytorch")
    assert cfg.model_wrapper_cfg == {
        "type": "MMDistributedDataParallel",
        "broadcast_buffers": False,
        "find_unused_parameters": True,
        "static_graph": True,
    }


def test_amp_trains_in_bfloat16_without_a_scaler(gpus):
    # A scaler fails on a batch without any label, where no parameter has a gradient.
    cfg = Config({"optim_wrapper": {"type": "OptimWrapper"}})
    launch.switch_on_amp(cfg)
    assert cfg.optim_wrapper == {"type": "AmpOptimWrapper", "dtype": "bfloat16", "loss_scale": {"enabled": False}}


def test_more_processes_than_gpus_are_refused(gpus, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    with pytest.raises(MachineError, match="more processes than GPUs") as caught:
        launch.set_up_processes(Config({}), "pytorch")
    assert "at most 2" in str(caught.value)
    assert "4 processes" in str(caught.value)
