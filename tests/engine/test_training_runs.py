"""Whole runs through the tools, each in a process of its own, on the tiny release."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from admlops.engine.config import load_config

ROOT = Path(__file__).parents[2]
CONFIG = "configs/4pe_resize/multitask_demo.py"


def options(release, **values):
    size = {
        "train_dataloader.dataset.pipeline.1.resize.resize_hw": "(72,128)",
        "train_dataloader.dataset.pipeline.2.crop_hw": "(64,96)",
        "val_dataloader.dataset.pipeline.1.resize_hw": "(72,128)",
        "test_dataloader.dataset.pipeline.1.resize_hw": "(72,128)",
        "train_dataloader.batch_size": 4,
        "log_processor.window_size": 1,
        "default_hooks.logger.interval": 1,
    }
    roots = {f"{split}_dataloader.dataset.data_release.root": release for split in ("train", "val", "test")}
    return ["--cfg-options", *(f"{key}={value}" for key, value in (size | roots | values).items())]


def command(*arguments):
    return [sys.executable, *map(str, arguments)]


def run(*arguments, **kwargs):
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1", "PYTHON": sys.executable}
    return subprocess.run(arguments, cwd=ROOT, env=environment, text=True, capture_output=True, check=False, **kwargs)


def losses(work_dir):
    """Loss by iteration, of the latest run that logged it."""
    found = {}
    for file in sorted(Path(work_dir).glob("*/vis_data/scalars.json")):
        for line in file.read_text().splitlines():
            scalars = json.loads(line)
            if "loss" in scalars:
                found[scalars["step"]] = {key: value for key, value in scalars.items() if "loss" in key}
    return found


@pytest.fixture(scope="module")
def short(tiny_release):
    steps = {"solver.0.train_cfg.max_iters": 8, "solver.0.train_cfg.val_interval": 100, "default_hooks.checkpoint.interval": 3}
    # Validation is not what these runs are about.
    return [*options(tiny_release, **steps), "val_dataloader=None", "val_cfg=None", "val_evaluator=None"]


def test_resume_after_kill_9_repeats_the_uninterrupted_run_bit_for_bit(short, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finished = run(*command("tools/train.py", CONFIG, "--work-dir", whole, *short))
    assert finished.returncode == 0, finished.stderr[-3000:]

    process = subprocess.Popen(
        command("tools/train.py", CONFIG, "--work-dir", broken, *short), cwd=ROOT, stdout=subprocess.DEVNULL
    )
    deadline_s = time.monotonic() + 120
    while not (broken / "with-bn-0003.pth").is_file():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (broken / "with-bn-last.pth").exists(), "killed too late to show anything"

    resumed = run(*command("tools/train.py", CONFIG, "--work-dir", broken, "--resume", *short))
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    expected, got = losses(whole), losses(broken)
    assert expected.keys() == set(range(1, 9))
    assert {step: got[step] for step in range(4, 9)} == {step: expected[step] for step in range(4, 9)}
    first = torch.load(whole / "with-bn-last.pth", weights_only=True)
    second = torch.load(broken / "with-bn-last.pth", weights_only=True)
    for part in ("state_dict", "ema_state_dict"):
        assert all(torch.equal(first[part][name], second[part][name]) for name in first[part])
    assert first["sampler"] == second["sampler"]
    assert first["sampler"]["samples_consumed"] == 32


def test_artefacts_carry_the_name_of_the_step(short, tmp_path):
    finished = run(*command("tools/train.py", CONFIG, "--work-dir", tmp_path, *short, "solver.0.train_cfg.max_iters=3"))
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert sorted(file.name for file in tmp_path.glob("*.pth")) == ["with-bn-0003.pth", "with-bn-init.pth", "with-bn-last.pth"]
    assert not list(tmp_path.glob(".*.part"))


def test_two_processes_train_and_test_as_one(tiny_release, short, tmp_path):
    trained = run("bash", "tools/dist_train.sh", CONFIG, "2", "--work-dir", tmp_path, *short, "train_dataloader.batch_size=2")
    assert trained.returncode == 0, trained.stderr[-3000:]
    last = torch.load(tmp_path / "with-bn-last.pth", weights_only=True)
    assert last["sampler"]["samples_consumed"] == 8 * 2 * 2
    checkpoint = tmp_path / "with-bn-last.pth"
    two = run("bash", "tools/dist_test.sh", CONFIG, checkpoint, "2", "--work-dir", tmp_path / "two", *options(tiny_release))
    assert two.returncode == 0, two.stderr[-3000:]
    one = run(*command("tools/test.py", CONFIG, checkpoint, "--work-dir", tmp_path / "one", *options(tiny_release)))
    assert one.returncode == 0, one.stderr[-3000:]
    metrics = [json.loads((tmp_path / name / "metrics.json").read_text())["metrics"] for name in ("one", "two")]
    assert metrics[0] == metrics[1]


def test_pipeline_test_runs_train_validation_and_test_and_draws(tiny_release, tmp_path):
    arguments = ("tools/train.py", CONFIG, "--pipeline-test", "--work-dir", tmp_path, *options(tiny_release))
    finished = run(*command(*arguments))
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert "iter 4/4 (100 %)" in finished.stderr + finished.stdout
    assert json.loads((tmp_path / "metrics.json").read_text())["lineage"]["split"] == "test"
    assert (tmp_path / "metrics.csv").is_file()
    assert list((tmp_path / "overlays").glob("*.png"))

    out, shown = tmp_path / "out", tmp_path / "shown"
    tested = run(
        *command("tools/test.py", CONFIG, tmp_path / "with-bn-last.pth", "--work-dir", tmp_path / "t"),
        *("--show-dir", shown, "--out", out, *options(tiny_release)),
    )
    assert tested.returncode == 0, tested.stderr[-3000:]
    assert len(list(shown.glob("*.png"))) == 16
    records = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert len(records) == 16
    assert set(records[0]["labels"]) == {
        "det_cyclist_light",
        "det_person",
        "det_rear",
        "det_vehicle_sign",
        "seg_default",
        "seg_lane",
    }
    assert (out / records[0]["labels"]["seg_lane"]["mask"]).is_file()


def test_stock_heads_train_validate_test_and_draw(tiny_release, tmp_path):
    config = "configs/4pe_resize/multitask_stock_heads.py"
    finished = run(*command("tools/train.py", config, "--pipeline-test", "--work-dir", tmp_path, *options(tiny_release)))
    assert finished.returncode == 0, finished.stderr[-3000:]
    metrics = json.loads((tmp_path / "metrics.json").read_text())["metrics"]
    assert {"det_person/AP50", "det_vehicle_sign/AP50", "det_rear/AP50", "seg_default/mIoU"} <= metrics.keys()
    assert list((tmp_path / "overlays").glob("*.png"))


def test_a_run_from_another_folder_finds_config_and_data(tiny_release, tmp_path):
    # ADMLOPS is honoured as the project's root: here one that holds nothing but a config and data.
    (tmp_path / "project" / "configs").mkdir(parents=True)
    (tmp_path / "project" / "data").symlink_to(tiny_release)
    config = load_config(ROOT / "configs/4pe_resize/det_person.py")
    config.train_dataloader.dataset.data_release.root = "data"
    config.dump(tmp_path / "project" / "configs" / "some.py")
    (tmp_path / "elsewhere").mkdir()
    script = ROOT / "tools" / "browse_dataset.py"
    environment = os.environ | {"ADMLOPS": str(tmp_path / "project")}
    drawn = subprocess.run(
        command(script, "configs/some.py", "--num", "2", "--out-dir", "pictures"),
        cwd=tmp_path / "elsewhere",
        env=environment,
        text=True,
        capture_output=True,
        check=False,
    )
    assert drawn.returncode == 0, drawn.stderr[-3000:]
    assert len(list((tmp_path / "elsewhere" / "pictures").glob("*.png"))) == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("arguments", [["--amp"], ["--ctx", "0"]])
def test_what_needs_a_gpu_is_refused_with_the_reason(arguments):
    refused = run(*command("tools/train.py", CONFIG, *arguments))
    assert refused.returncode == 1
    assert refused.stderr.startswith("MachineError")
    assert "leave" in refused.stderr


def test_resuming_nothing_is_refused(tmp_path):
    refused = run(*command("tools/train.py", CONFIG, "--resume", "--work-dir", tmp_path))
    assert refused.returncode == 1
    assert "nothing to resume" in refused.stderr


def test_a_checkpoint_of_another_network_is_refused(tiny_release, tmp_path):
    torch.save({"state_dict": {"some.weight": torch.ones(1)}}, tmp_path / "other.pth")
    refused = run(*command("tools/test.py", CONFIG, tmp_path / "other.pth", "--work-dir", tmp_path, *options(tiny_release)))
    assert refused.returncode == 1
    assert "does not fit" in refused.stderr
