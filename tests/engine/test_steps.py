"""Whole trainings in steps, on the tiny release: what goes from step to step, what integers equal, what is refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from admlops.engine import export_step as module
from admlops.engine.checkpoint import read_checkpoint
from admlops.engine.config import load_config
from admlops.engine.config_check import type_name
from admlops.engine.export_step import export_step
from admlops.engine.steps import NetworkState, build_network, current_step, read_steps, shape_network
from admlops.engine.train import train
from admlops.errors import CheckpointError, ConfigError, ModelError
from admlops.quantization import IntegerNetwork, QuantSpec, uncalibrated
from admlops.registry import MODELS

ROOT = Path(__file__).parents[2]
NAMES = ("with-bn", "fusion-bn-c1", "fusion-bn-c2", "int-inference")
TASKS = ("det_person", "seg_lane")


def write_config(path, release, tasks=TASKS, without_neck=False):
    """The demo's config with some branches, four iterations a step, on pictures of 64 x 96."""
    cfg = load_config("configs/4pe_resize/multitask_demo.py")
    cfg.model.branches = {task: cfg.model.branches[task] for task in tasks}
    if without_neck:
        cfg.model.neck = None
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.num_workers = 0
        loader.dataset.data_release = {"root": str(release), "tasks": list(tasks)}
        for transform in loader.dataset.pipeline:
            if "resize" in transform:
                transform.resize.resize_hw = (72, 128)
            if type_name(transform) in {"ResizeMinMax", "RandomCrop"}:
                transform["resize_hw" if "resize_hw" in transform else "crop_hw"] = (
                    (72, 128) if "resize_hw" in transform else (64, 96)
                )
    cfg.train_dataloader.batch_size = 4
    cfg.val_dataloader.num_batch_per_epoch = 2
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        evaluator.metrics = [metric for metric in evaluator.metrics if metric.task in tasks]
    cfg.visualizer.tasks = list(tasks)
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if type_name(hook) != "OverlayHook"]
    cfg.default_hooks.checkpoint.update(interval=2)
    for step in cfg.solver[:3]:
        step.train_cfg.update(max_iters=4, val_interval=4)
    for step in cfg.solver[1:3]:
        step.observers.update(calibration_batches=2, observe_until=0.5)
    cfg.export_last = None
    for key in ("step", "train_cfg", "optim_wrapper", "param_scheduler"):
        cfg.pop(key)
    cfg.dump(path)
    return path


@pytest.fixture(scope="module")
def config(tiny_release, tmp_path_factory):
    return write_config(tmp_path_factory.mktemp("config") / "two.py", tiny_release)


@pytest.fixture(scope="module")
def done(config, tmp_path_factory):
    """A work dir in which all four steps were run."""
    folder = tmp_path_factory.mktemp("done")
    for step in range(4):
        train(config, step=step, work_dir=folder)
    return folder


def network(config, path):
    return build_network(load_config(config), path)


def raw_outputs(network, hw=(72, 128)):
    pixels = torch.randint(0, 256, (2, 3, *hw), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return network((pixels.float() - 128) / 128)


def all_equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_each_step_leaves_its_artefacts(done):
    for name in NAMES[:3]:
        assert {f"{name}-{part}.pth" for part in ("init", "0002", "0004", "last")} <= {file.name for file in done.glob("*.pth")}
    states = [NetworkState.of_checkpoint(read_checkpoint(done / f"{name}-last.pth")) for name in NAMES]
    assert [state.step for state in states] == list(NAMES)
    assert [state.quantization for state in states] == [None, QuantSpec(), QuantSpec(), QuantSpec()]
    parts = [{name.split(".")[0] for name in state.absorbed_bn} for state in states]
    assert parts == [set(), {"backbone", "neck"}, {"backbone", "neck", "branches"}, {"backbone", "neck", "branches"}]
    assert {file.name for file in done.glob("*.py")} == {"two.py", "two-fusion-bn-c1.py", "two-fusion-bn-c2.py"}
    assert not list(done.glob(".*.part"))


def test_a_step_starts_from_the_end_of_the_one_before(config, done):
    before, after = (read_checkpoint(done / f"{name}.pth") for name in ("with-bn-last", "fusion-bn-c1-init"))
    kept = [name for name in after["state_dict"] if name.startswith("branches.") and name in before["state_dict"]]
    assert len(kept) > 20
    assert all(torch.equal(before["state_dict"][name], after["state_dict"][name]) for name in kept)
    assert after["lineage"]["parents"][0]["file"] == "with-bn-last.pth"
    assert all_equal(
        raw_outputs(network(config, done / "fusion-bn-c1-last.pth")),
        raw_outputs(network(config, done / "fusion-bn-c2-init.pth")),
    ), "absorbing the branches' BN changed something"


def test_absorbing_the_trunk_changes_nothing(config, done):
    start = network(config, done / "fusion-bn-c1-init.pth")
    whole = MODELS.build(load_config(config).model)
    shape_network(whole, NetworkState("fusion-bn-c1", QuantSpec()))
    ranges = {name: value for name, value in start.state_dict().items() if name.endswith("amax")}
    missing, unexpected = whole.load_state_dict(read_checkpoint(done / "with-bn-last.pth")["state_dict"] | ranges, strict=False)
    assert (missing, unexpected) == ([], [])
    assert all_equal(raw_outputs(whole.eval()), raw_outputs(start))


def test_absorbed_layers_go_on_learning(done):
    first, last = (read_checkpoint(done / f"fusion-bn-c2-{part}.pth")["state_dict"] for part in ("init", "last"))
    assert not [name for name in last if ".bn." in name]
    for part in ("backbone", "neck", *(f"branches.{task}" for task in TASKS)):
        biases = [name for name in last if name.startswith(part) and name.endswith("conv.bias")]
        assert [name for name in biases if not torch.equal(first[name], last[name])], f"{part} did not learn"


def test_ranges_are_calibrated_move_and_stand_still(config, done):
    ranges = [
        {
            name: value
            for name, value in read_checkpoint(done / f"fusion-bn-c1-{part}.pth")["state_dict"].items()
            if "amax" in name
        }
        for part in ("init", "0002", "last")
    ]
    assert uncalibrated(network(config, done / "fusion-bn-c1-init.pth")) == []
    assert [name for name in ranges[0] if ranges[0][name] != ranges[1][name]]
    assert ranges[1] == ranges[2]


def test_the_first_validation_shows_what_a_step_starts_with(done):
    report = json.loads((done / "fusion-bn-c1-init.metrics.json").read_text())
    assert (report["lineage"]["step"], report["lineage"]["iteration"]) == ("fusion-bn-c1", 0)
    assert "seg_lane/mIoU" in report["metrics"]
    for name in NAMES[:3]:
        assert json.loads((done / f"{name}-last.metrics.json").read_text())["lineage"]["iteration"] == 4
    assert not (done / "with-bn-init.metrics.json").exists()


def test_integers_are_what_the_last_step_simulated(config, done):
    integers, simulated = (network(config, done / f"{name}-last.pth") for name in ("int-inference", "fusion-bn-c2"))
    assert isinstance(integers, IntegerNetwork)
    for hw in ((72, 128), (50, 71)):
        assert all_equal(raw_outputs(integers, hw), raw_outputs(simulated, hw))
    stored = torch.load(done / "int-inference-last.pth", weights_only=True)
    assert {value.dtype for value in stored["state_dict"].values()} == {torch.int8, torch.int32}
    assert set(stored["meta"]["allowed_classes"]) == set(TASKS)
    assert stored["lineage"]["parents"][0]["file"] == "fusion-bn-c2-last.pth"
    assert json.loads((done / "int-inference-last.pth.lineage.json").read_text())["parents"] == stored["lineage"]["parents"]


def test_what_is_done_is_skipped_and_what_has_another_parent_is_not(config, done, tmp_path):
    for step in range(4):
        before = read_checkpoint(done / f"{NAMES[step]}-last.pth")["lineage"]
        assert train(config, step=step, work_dir=done, if_needed=True) is None
        assert read_checkpoint(done / f"{NAMES[step]}-last.pth")["lineage"] == before
    shutil.copy(done / "fusion-bn-c1-last.pth", tmp_path)
    shutil.copy(done / "with-bn-0002.pth", tmp_path / "with-bn-last.pth")
    train(config, step=1, work_dir=tmp_path, if_needed=True, options={"solver.1.train_cfg.max_iters": 1})
    assert read_checkpoint(tmp_path / "fusion-bn-c1-last.pth")["meta"]["iter"] == 1


EXPORT = {
    "export_last": {"target": "onnxruntime", "original_hw": (72, 128)},
    "export": {"input_hw": (64, 128), "pyramid_step": 0},
}


def test_steps_leave_exports_once_nothing_is_left_to_absorb(config, done):
    for index, name in enumerate(NAMES):
        cfg = load_config(config, EXPORT, done, index)
        path = export_step(cfg, current_step(cfg))
        assert path == (None if name == "fusion-bn-c1" else done / f"{name}-export-last.onnx")
        if path is not None:
            assert path.is_file()
            lineage = json.loads(Path(f"{path}.lineage.json").read_text())
            assert [parent["file"] for parent in lineage["parents"]] == [f"{name}-last.pth"]


def test_without_onnx_training_goes_on_and_an_older_export_does_not_stay(config, done, tmp_path, monkeypatch):
    shutil.copy(done / "with-bn-last.pth", tmp_path)
    (tmp_path / "with-bn-export-last.onnx").touch()
    for name in [name for name in sys.modules if name.startswith(("onnx", "admlops.deploy", "admlops.engine.rungs"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx", None)
    said = []
    monkeypatch.setattr(module, "print_log", lambda text, *_, **__: said.append(text))
    cfg = load_config(config, EXPORT, tmp_path)
    assert export_step(cfg, current_step(cfg)) is None
    assert "the package onnx is missing" in said[0]
    assert "admlops[deploy]" in said[0]
    assert not (tmp_path / "with-bn-export-last.onnx").exists()


@pytest.mark.parametrize("step", [1, 3])
def test_a_missing_step_is_named(config, tmp_path, step):
    with pytest.raises(CheckpointError, match="nothing to start from") as caught:
        train(config, step=step, work_dir=tmp_path)
    assert f"{NAMES[step - 1]}-last.pth" in str(caught.value)
    assert f"run --step {step - 1} first" in str(caught.value)
    assert not list(tmp_path.rglob("*.pth"))


@pytest.mark.parametrize("step", [2, 3])
def test_steps_in_another_order_are_refused(config, done, tmp_path, step):
    with pytest.raises(CheckpointError, match=f"step {NAMES[step]} does not start from this") as caught:
        train(config, step=step, work_dir=tmp_path, load_from=str(done / "with-bn-last.pth"))
    assert f"a checkpoint of step {NAMES[step - 1]}" in str(caught.value)


def test_float_training_does_not_start_from_absorbed_layers(config, done, tmp_path):
    with pytest.raises(CheckpointError, match="trains in float") as caught:
        train(config, work_dir=tmp_path, load_from=str(done / "fusion-bn-c1-last.pth"))
    assert "one of step fusion-bn-c1" in str(caught.value)


def test_another_steps_checkpoint_is_not_resumed(config, done):
    with pytest.raises(CheckpointError, match="cannot resume another step"):
        train(config, step=1, work_dir=done, resume=str(done / "with-bn-0002.pth"))


def test_a_checkpoint_of_another_config_is_refused(config, done, tiny_release, tmp_path):
    other = write_config(tmp_path / "other.py", tiny_release, ("det_rear", "seg_lane"))
    shutil.copy(done / "with-bn-last.pth", tmp_path)
    for options in ({"step": 1}, {"step": 0, "if_needed": True}):
        with pytest.raises(CheckpointError, match="does not fit") as caught:
            train(other, work_dir=tmp_path, **options)
        assert "branches.det_rear" in str(caught.value)
    assert not (tmp_path / "fusion-bn-c1-init.pth").exists()


def test_a_truncated_checkpoint_is_named(config, done, tmp_path):
    torn = (done / "with-bn-last.pth").read_bytes()[:-20000]
    (tmp_path / "with-bn-last.pth").write_bytes(torn)
    with pytest.raises(CheckpointError, match="truncated") as caught:
        train(config, step=1, work_dir=tmp_path)
    assert "with-bn-last.pth" in str(caught.value)


def test_other_integers_than_those_of_the_step_before_are_refused(config, done):
    with pytest.raises(CheckpointError, match="other integers") as caught:
        train(config, step=2, work_dir=done, options={"quantization.weight_bits": 7})
    assert "weight_bits=7" in str(caught.value)


def test_numbers_that_are_none_end_a_training(config, done, tmp_path):
    shutil.copy(done / "with-bn-last.pth", tmp_path)
    with pytest.raises(ModelError, match="diverged in step fusion-bn-c1") as caught:
        train(config, step=1, work_dir=tmp_path, options={"solver.1.optim_wrapper.optimizer.lr": 1e30})
    assert "iteration 2" in str(caught.value)
    left = {file.name for file in tmp_path.glob("fusion-bn-c1-*.pth")}
    assert "fusion-bn-c1-init.pth" in left
    assert "fusion-bn-c1-last.pth" not in left
    for file in left:
        weights = read_checkpoint(tmp_path / file)["state_dict"]
        assert all(torch.isfinite(value).all() for value in weights.values() if value.is_floating_point())


def environment():
    return os.environ | {"PYTHON": str(ROOT / ".venv/bin/python"), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def test_the_script_goes_on_where_it_was_killed(config, done, tmp_path):
    shutil.copy(done / "with-bn-last.pth", tmp_path)
    script = ["bash", "tools/quanti_training_2step_fusion_bn.sh", "--config", str(config), "--work-dir", str(tmp_path)]
    # Four iterations learn nothing that could be kept.
    script += ["--cfg-options", "parity.mean_drop=100", "parity.branch_drop=100"]
    killed = subprocess.Popen(
        script, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline_s = time.monotonic() + 120
    while not (tmp_path / "fusion-bn-c1-0002.pth").is_file():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "fusion-bn-c1-last.pth").exists(), "killed too late to show anything"
    finished = subprocess.run(script, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert "with-bn: done" in finished.stdout + finished.stderr
    assert "fusion-bn-c1: validation before" not in finished.stdout + finished.stderr
    for name in NAMES:
        first, second = (read_checkpoint(folder / f"{name}-last.pth")["state_dict"] for folder in (done, tmp_path))
        assert all_equal(first, second), name
    table = json.loads((tmp_path / "parity" / "parity.json").read_text())
    assert [*table["columns"]] == [*NAMES, "onnxruntime", "openvino"]
    assert table["faults"] == []


def test_two_processes_train_a_quantized_step(config, done, tmp_path):
    shutil.copy(done / "with-bn-last.pth", tmp_path)
    command = ["bash", "tools/dist_train.sh", str(config), "2", "--step", "1", "--work-dir", str(tmp_path)]
    finished = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr[-3000:]
    last = read_checkpoint(tmp_path / "fusion-bn-c1-last.pth")
    assert last["sampler"]["samples_consumed"] == 4 * 4 * 2
    # Both have seen two batches: the ranges are the larger of both.
    one, two = (read_checkpoint(folder / "fusion-bn-c1-init.pth")["state_dict"] for folder in (done, tmp_path))
    ranges = [name for name in one if name.endswith("amax")]
    assert all(two[name] > 0 for name in ranges)
    assert [name for name in ranges if one[name] != two[name]]


def test_the_script_passes_options_on(tmp_path):
    stand_in = tmp_path / "python"
    stand_in.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n')
    stand_in.chmod(0o755)
    script = ["bash", "tools/quanti_training_2step_fusion_bn.sh"]
    env = os.environ | {"PYTHON": str(stand_in)}
    options = ["--pipeline-test", "--work-dir", "d", "--cfg-options", "e=1", "f=2"]
    subprocess.run([*script, "--config", "a.py", "--gpus", "2", "--amp", *options], cwd=ROOT, env=env, check=True)
    *steps, parity = (tmp_path / "calls").read_text().splitlines()
    given = " ".join(options)
    assert [call.split("--step ")[1] for call in steps] == [f"{step} --if-needed {given} --amp" for step in range(4)]
    assert ["nproc_per_node=2" in call for call in steps] == [True, True, True, False]
    assert parity.endswith(f"tools/parity.py a.py {given}")
    refused = subprocess.run(script, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "usage" in refused.stderr


def test_a_network_without_neck_has_the_same_steps(tiny_release, tmp_path):
    cfg = load_config(write_config(tmp_path / "trunk.py", tiny_release, without_neck=True), step=2)
    assert [step.name for step in read_steps(cfg)] == list(NAMES)
    assert current_step(cfg).previous == "fusion-bn-c1"


@pytest.mark.parametrize(
    ("solver", "rule"),
    [
        ([{"name": "a", "observers": {}}], "the first step trains in float"),
        ([{"name": "a"}, {"name": "b", "conversion": {}}], "follows a step with observers"),
        ([{"name": "a"}, {"name": "b", "observers": {}}, {"name": "c"}], "no quantized one"),
        ([{"name": "a"}, {"name": "a"}], "given once"),
    ],
)
def test_an_order_of_steps_that_cannot_be_is_refused(solver, rule):
    with pytest.raises(ConfigError, match="order of the steps") as caught:
        read_steps(Config({"solver": solver}))
    assert rule in str(caught.value)


def test_a_pattern_for_no_step_is_refused():
    steps = [{"name": "with-bn"}, {"name": "fusion-bn-c1", "observers": {}}]
    with pytest.raises(ConfigError, match="no step 'fusion-bn-1'") as caught:
        read_steps(Config({"solver": steps, "fusion_bn_patterns": {"fusion-bn-1": ["*"]}}))
    assert "fusion-bn-c1" in str(caught.value)
