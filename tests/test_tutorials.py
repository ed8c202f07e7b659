"""The tutorials: what they say to type works in order, and English and Chinese say the same code.

A fenced block of ``bash`` is run line by line, with ``exit=1`` behind it its last command must fail. A ``python`` block is the
file that its first line names. Every line of ``text checked`` must be in what the commands before it printed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger

from admlops.engine.config import load_config
from admlops.registry import DATASETS, MODELS

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "tutorials"
NAMES = sorted(path.stem for path in FOLDER.glob("*.md") if not path.stem.endswith("_zh-CN"))
ENVIRONMENT = {
    # As in an environment that was activated: git's hooks find `admlops`, and really check.
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "OMP_WAIT_POLICY": "PASSIVE",
    "OMP_NUM_THREADS": "1",
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
}


@dataclass(frozen=True)
class Block:
    kind: str
    text: str
    line: int


def blocks_of(path):
    text = path.read_text(encoding="utf-8")
    found = re.finditer(r"^```([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(match[1], match[2], text.count("\n", 0, match.start()) + 1) for match in found]


@pytest.fixture(scope="module")
def run_python():
    """Run ``python ARGUMENTS`` in a folder; answers with status and output."""
    process = subprocess.Popen(
        [sys.executable, ROOT / "tests" / "tutorial_commands.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | ENVIRONMENT,
    )

    def run(arguments, folder, environment):
        process.stdin.write(json.dumps({"arguments": arguments, "folder": str(folder), "environment": environment}) + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        return answer["status"], answer["output"]

    yield run
    process.stdin.close()
    process.wait()


def commands_of(block):
    """Split a block into commands: a line each, but a quoted text may go over several."""
    commands, open_quote = [], False
    for line in block.replace("\\\n", " ").splitlines():
        if open_quote:
            commands[-1] += f"\n{line}"
        elif line.strip():
            commands.append(line)
        try:
            shlex.split(commands[-1], comments=True)
            open_quote = False
        except ValueError:
            open_quote = True
    return commands


def run_command(command, folder, run_python):
    words = shlex.split(command, comments=True)
    environment = {}
    while words and re.match(r"[A-Z_]+=", words[0]):
        name, _, environment[name] = words.pop(0).partition("=")
    if words and words[0] == "python":
        return run_python(words[1:], folder, environment)
    if words and words[0] == "admlops":
        return run_python(words, folder, environment)
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, text=True, capture_output=True, check=False, env=os.environ | ENVIRONMENT
    )
    return done.returncode, done.stdout + done.stderr


def run_tutorial(name, folder, run_python, shorter=None):
    """Run all blocks of a tutorial in a folder that looks like a checkout; ``shorter`` replaces what takes long."""
    for link in ("configs", "projects", "tools"):
        (folder / link).symlink_to(ROOT / link)
    path = FOLDER / f"{name}.md"
    for written in shorter or {}:
        assert any(written in block.text for block in blocks_of(path)), f"{path} no longer says {written}"
    output = ""
    for block in blocks_of(path):
        where = f"{path}:{block.line}"
        language, *options = block.kind.split()
        text = block.text
        for written, instead in (shorter or {}).items():
            text = text.replace(written, instead)
        if language == "python":
            file = re.match(r"# (my_project/\S+)\n", text)
            assert file, f"{where}: the first line does not name the file"
            (folder / file[1]).parent.mkdir(exist_ok=True)
            (folder / file[1]).write_text(text)
        elif language == "bash":
            output = ""
            commands = commands_of(text)
            for number, command in enumerate(commands, start=1):
                status, printed = run_command(command, folder, run_python)
                output += printed
                expected = 1 if "exit=1" in options and number == len(commands) else 0
                assert status == expected, f"{where}: {command}\n{printed[-4000:]}"
        elif options == ["checked"]:
            missing = [line for line in text.splitlines() if line.strip() not in output]
            assert not missing, f"{where}: not printed: {missing}\n{output[-4000:]}"


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_have_the_same_code(name):
    english, chinese = (blocks_of(FOLDER / f"{name}{suffix}.md") for suffix in ("", "_zh-CN"))
    assert [(block.kind, block.text) for block in chinese] == [(block.kind, block.text) for block in english]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.md")), ids=lambda path: path.stem)
def test_links_lead_to_files(path):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (FOLDER / link).exists()] == []


def test_adding_a_format(tmp_path, run_python):
    run_tutorial("add_format", tmp_path, run_python)


def test_adding_a_branch(tmp_path, tiny_release, run_python):
    for split in ("train", "val"):
        (tmp_path / "data" / "sample").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / "sample" / split).symlink_to(tiny_release)
    MMLogger.get_current_instance().setLevel("ERROR")
    torch.manual_seed(0)
    model = MODELS.build(load_config("configs/4pe_resize/multitask_demo.py").model)
    for branch in model.branches.values():
        branch.seen.fill_(True)
    demo = tmp_path / "work_dirs" / "4pe_resize" / "multitask_demo"
    demo.mkdir(parents=True)
    torch.save({"state_dict": model.state_dict()}, demo / "with-bn-last.pth")
    shorter = {
        "(270, 570)": "(72, 128)",
        "(256, 480)": "(64, 96)",
        "load_threads=1": "load_threads=0",
        "max_iters=600, val_interval=600": "max_iters=2, val_interval=2",
    }
    run_tutorial("add_branch", tmp_path, run_python, shorter)


def test_from_kitti_and_camvid_to_a_trained_network(tmp_path, run_python):
    shorter = {
        "/data/kitti": str(write_kitti(tmp_path / "sources" / "kitti")),
        "/data/camvid": str(write_camvid(tmp_path / "sources" / "camvid")),
        "(270, 570)": "(48, 96)",
        "(256, 480)": "(32, 64)",
        "load_threads=2": "load_threads=0",
        "batch_size=16": "batch_size=2",
        "max_iters=20000, val_interval=2000": "max_iters=4, val_interval=4",
        "interval=1000": "interval=3",
    }
    run_tutorial("kitti_camvid", tmp_path, run_python, shorter)
    metrics = json.loads((tmp_path / "work_dirs" / "my_project" / "road" / "metrics.json").read_text())["metrics"]
    # As the last section says: what nobody labels has no number.
    for name in ("det_vehicle_sign/traffic_sign/AP50", "det_cyclist_light/traffic_light/AP50", "seg_default/terrain/IoU"):
        assert metrics[name] is None
    assert metrics["det_vehicle_sign/vehicle/AP50"] is not None
    assert list((tmp_path / "work_dirs" / "my_project" / "road" / "pictures").glob("*.png"))


def test_three_ways_of_training_from_one_repository_of_releases(tmp_path, tiny_release, run_python):
    for split in ("train", "val"):
        (tmp_path / "data" / "sample").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / "sample" / split).symlink_to(tiny_release)
    shorter = {
        "(270, 570)": "(72, 128)",
        "(256, 480)": "(64, 96)",
        "(405, 855)": "(96, 160)",
        "(384, 720)": "(64, 128)",
        "load_threads=1": "load_threads=0",
        "max_iters=600, val_interval=600": "max_iters=2, val_interval=2",
        "max_iters=300, val_interval=300": "max_iters=2, val_interval=2",
    }
    run_tutorial("data_release", tmp_path, run_python, shorter)

    work = tmp_path / "work_dirs" / "my_project"
    lineage = {
        path.relative_to(work).parts[0]: json.loads(path.read_text()) for path in work.rglob("with-bn-last.pth.lineage.json")
    }
    sha256 = {name: sha256_of_file(work / name / "with-bn-last.pth") for name in lineage}
    refs = {name: document["data"]["ref"] for name, document in lineage.items()}
    assert refs == {
        "joint": "multi_task/v1.0.0",
        "person": "det_person/v1.0.0",
        "person_hd": "det_person_hd/v1.0.0",
        "joint_v1.1": "multi_task/v1.1.0",
    }
    for name in ("person", "person_hd", "joint_v1.1"):
        (parent,) = lineage[name]["parents"]
        assert (parent["relation"], parent["sha256"], parent["data"]["ref"]) == (
            "load_from",
            sha256["joint"],
            "multi_task/v1.0.0",
        )
    composed = json.loads((work / "joint_person.pth.lineage.json").read_text())
    assert [parent["sha256"] for parent in composed["parents"]] == [sha256["joint"], sha256["person"]]
    assert composed["parents"][1]["parents"][0]["data"]["ref"] == "multi_task/v1.0.0"
    for name, object_name in (("joint", "v1"), ("person", "v1"), ("joint_v1.1", "v2")):
        (walks,) = (entry for entry in lineage[name]["data"]["entries"] if entry["name"] == "walks")
        assert walks["sha256"] == sha256_of_file(tmp_path / "data" / "bucket" / "walks" / f"{object_name}.jsonl")
    report = json.loads((work / "joint_person" / "metrics.json").read_text())
    assert report["lineage"]["checkpoint_sha256"] == sha256_of_file(work / "joint_person.pth")

    # A training reads the dagger file only where its config says so.
    for kind, names in ((None, {"streets", "walks", "mined"}), ("dagger", {"corrections"})):
        release = {"repo": str(tmp_path / "data" / "releases"), "ref": "multi_task/v1.3.0", "tasks": ["det_person"]}
        options = {"train_dataloader.dataset.data_release": release | ({"kind": kind} if kind else {})}
        dataset = DATASETS.build(load_config("configs/4pe_resize/det_person.py", options).train_dataloader.dataset)
        assert {segment.name for segment in dataset.segments} == names


def test_from_a_float_checkpoint_to_integers(tmp_path, tiny_release, run_python):
    (tmp_path / "data" / "sample").mkdir(parents=True)
    for split in ("train", "val"):
        (tmp_path / "data" / "sample" / split).symlink_to(tiny_release)
    config = tmp_path / "my_project" / "tiny.py"
    config.parent.mkdir()
    (config.parent / "network").symlink_to(ROOT / "configs" / "4pe_resize")
    config.write_text(TINY_STEPS)
    model = MODELS.build(load_config("configs/4pe_resize/multitask_demo.py").model)
    for branch in model.branches.values():
        branch.seen.fill_(True)
    demo = tmp_path / "work_dirs" / "my_project" / "tiny"
    demo.mkdir(parents=True)
    torch.save({"state_dict": model.state_dict()}, demo / "with-bn-last.pth")
    script = "bash tools/quanti_training_2step_fusion_bn.sh --config configs/4pe_resize/multitask_demo.py"
    shorter = {
        f"{script} --pipeline-test": "true",
        f"{script}\n": "".join(f"python tools/train.py my_project/tiny.py --if-needed --step {step}\n" for step in range(4)),
        "configs/4pe_resize/multitask_demo.py": "my_project/tiny.py",
        "work_dirs/4pe_resize/multitask_demo": "work_dirs/my_project/tiny",
        "data/sample/val/val_full/images/0034.jpg": "data/sample/val/images/boxes_0.png",
    }
    run_tutorial("quantization", tmp_path, run_python, shorter)
    found = [json.loads(line) for line in (tmp_path / "work_dirs" / "found" / "predictions.jsonl").read_text().splitlines()]
    assert len(found) == len(list(tiny_release.rglob("*.png")))
    parity = json.loads((demo / "parity" / "parity.json").read_text())
    assert parity["faults"] == []


def test_from_lidar_sweeps_to_what_stands_in_the_way(tmp_path, run_python):
    (tmp_path / "my_project").mkdir()
    (tmp_path / "my_project" / "tiny.py").write_text(TINY_GOD)
    shorter = {
        "--out-dir data/lidar_sample": "--out-dir data/lidar_sample --num-train 5 --num-val 2 --workers 1",
        "projects/god/configs/multi_task_demo.py": "my_project/tiny.py",
        "work_dirs/god/multi_task_demo": "work_dirs/my_project/tiny",
        ".network.multi_task_demo": ".tiny",
        "num_workers=1": "num_workers=0",
        "max_iters=200, val_interval=200": "max_iters=2, val_interval=2",
        "--num 4": "--num 1",
    }
    run_tutorial("lidar", tmp_path, run_python, shorter)
    work = tmp_path / "work_dirs" / "my_project"
    assert len(list((work / "tiny" / "pictures").glob("*"))) == 2
    assert len(list((tmp_path / "work_dirs" / "look").glob("*"))) == 1
    validated = json.loads((work / "own_pipeline_test" / "metrics.json").read_text())["metrics"]
    assert {name.split("/")[0] for name, value in validated.items() if value is not None} >= {"god_base", "drivable_2cls"}
    assert not any(value is not None for name, value in validated.items() if name.startswith("drivable_multi/"))
    sha256 = {name: sha256_of_file(work / name / "with-bn-last.pth") for name in ("joint", "god_tuned", "god_near")}
    refs = []
    for name, parent in (("joint", None), ("god_tuned", "joint"), ("god_near", "god_tuned")):
        document = json.loads((work / name / "with-bn-last.pth.lineage.json").read_text())
        refs.append(document["data"]["ref"])
        assert [each["sha256"] for each in document["parents"]] == ([sha256[parent]] if parent else [])
    assert refs == ["multi_task/v1.0.0", "god_base/v1.1.0", "god_hd/v1.0.0"]


TINY_GOD = """
from mmengine.config import read_base

with read_base():
    from .network.multi_task_demo import *

for loader in (train_dataloader, val_dataloader, test_dataloader):
    loader.update(num_workers=0, prefetch_factor=None, persistent_workers=False)
solver[0]["train_cfg"].update(max_iters=2, val_interval=2)
del loader
"""
"""The demo's config, two iterations long."""


TINY_STEPS = """
from mmengine.config import read_base

with read_base():
    from .network.multitask_demo import *

for loader in (train_dataloader, val_dataloader, test_dataloader):
    loader.update(num_workers=0, prefetch_factor=None, persistent_workers=False)
train_dataloader["batch_size"] = 2
train_dataloader["dataset"]["pipeline"][1]["resize"]["resize_hw"] = (72, 128)
train_dataloader["dataset"]["pipeline"][2]["crop_hw"] = (64, 96)
for loader in (val_dataloader, test_dataloader):
    loader["dataset"]["pipeline"][1]["resize_hw"] = (72, 128)
for step in solver[1:3]:
    step["train_cfg"].update(max_iters=2, val_interval=2)
    step["observers"]["calibration_batches"] = 1
export.update(pyramid_step=4, input_hw=(64, 128))
parity.update(mean_drop=100.0, branch_drop=100.0)  # two iterations teach nothing
del loader, step
"""
"""The demo's steps in the size of the tiny release."""


def sha256_of_file(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_kitti(root):
    """Four frames; a car, a pedestrian and a cyclist in each."""
    line = "{} 0.00 0 -1.57 {}.00 20.00 {}.00 60.00 1.5 1.6 4.0 1.0 1.5 20.0 -1.55\n"
    rng = np.random.default_rng(0)
    for folder in ("training/image_2", "training/label_2", "ImageSets"):
        (root / folder).mkdir(parents=True)
    for number in range(4):
        name = f"{number:06d}"
        cv2.imwrite(str(root / "training" / "image_2" / f"{name}.png"), rng.integers(0, 255, (100, 200, 3), np.uint8))
        objects = [line.format(kind, x, x + 40) for kind, x in (("Car", 10), ("Pedestrian", 60), ("Cyclist", 120))]
        (root / "training" / "label_2" / f"{name}.txt").write_text("".join(objects))
    (root / "ImageSets" / "train.txt").write_text("000000\n000001\n")
    (root / "ImageSets" / "val.txt").write_text("000002\n000003\n")
    return root


def write_camvid(root):
    """Two frames a split, whose masks hold all ids."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        lines = []
        for number in range(2):
            name = f"{split}_{number:05d}.png"
            for folder, pixels in (
                (split, rng.integers(0, 255, (60, 80, 3), np.uint8)),
                (f"{split}annot", np.repeat(np.arange(12, dtype=np.uint8)[:, None], 80, axis=1).repeat(5, axis=0)),
            ):
                (root / "CamVid" / folder).mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(root / "CamVid" / folder / name), pixels)
            lines.append(f"/SegNet/CamVid/{split}/{name} /SegNet/CamVid/{split}annot/{name}\n")
        (root / "CamVid" / f"{split}.txt").write_text("".join(lines))
    return root
