"""What made a checkpoint, from real trainings on a real tag: field by field, down the chain, and resolved again."""

import hashlib
import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from admlops.cli.main import admlops
from admlops.data_release import code_state
from admlops.engine import lineage as module
from admlops.engine.config import load_config
from admlops.engine.release_runner import ReleaseRunner
from admlops.engine.test import run_test
from admlops.engine.train import train
from admlops.errors import ConfigError

ROOT = Path(__file__).parents[2]
CONFIG = "configs/4pe_resize/det_person.py"
TAG = "multi_task/v1.0.0"
SMALL = {
    "train_dataloader.dataset.pipeline.1.resize.resize_hw": (72, 128),
    "train_dataloader.dataset.pipeline.2.crop_hw": (64, 128),
    "test_dataloader.dataset.pipeline.1.resize_hw": (72, 128),
    "train_dataloader.batch_size": 4,
    "train_dataloader.num_workers": 0,
    "test_dataloader.num_workers": 0,
    "default_hooks.checkpoint.interval": 1,
    "default_hooks.checkpoint.max_keep_ckpts": 1,
    "val_dataloader": None,
    "val_cfg": None,
    "val_evaluator": None,
}


def git(folder, *arguments):
    identity = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.com")
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def options(data, iterations):
    release = {"repo": str(data), "ref": TAG, "tasks": ["det_person"]}
    return SMALL | {
        "train_cfg.max_iters": iterations,
        "train_dataloader.dataset.data_release": release,
        "test_dataloader.dataset.data_release": release,
    }


@pytest.fixture(scope="module")
def made(tiny_release, tmp_path_factory):
    """A code repository, a data repository with a tag, and on them: a run, resumed, and a fine-tuned one, tested."""
    root = tmp_path_factory.mktemp("made")
    code, data = root / "code", shutil.copytree(tiny_release, root / "data")
    code.mkdir()
    (code / "net.py").write_text("a = 1\n")
    for folder in (code, data):
        git(folder, "init", "-q", "-b", "main")
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", "Begin")
    git(data, "tag", "-a", TAG, "-m", "v1.0.0")
    patch = pytest.MonkeyPatch()
    patch.setattr(module, "read_code_state", lambda: code_state.read_code_state(code))
    try:
        base, tuned = root / "base", root / "tuned"
        train(CONFIG, work_dir=base, options=options(data, 1))
        first = git(code, "rev-parse", "HEAD")
        shutil.copy(base / "with-bn-0001.pth", root / "kept.pth")
        (code / "net.py").write_text("a = 2\n")
        git(code, "commit", "-q", "-am", "Go on")
        train(CONFIG, work_dir=base, options=options(data, 3), resume="auto")
        (code / "net.py").write_text("a = 3\n")
        train(CONFIG, work_dir=tuned, options=options(data, 1), load_from=str(base / "with-bn-last.pth"))
        run_test(CONFIG, tuned / "with-bn-last.pth", work_dir=tuned, options=options(data, 1))
        yield {"root": root, "code": code, "data": data, "base": base, "tuned": tuned, "first": first}
    finally:
        patch.undo()


def inside(path):
    return torch.load(path, weights_only=True)["lineage"]


def beside(path):
    return json.loads(Path(f"{path}.lineage.json").read_text())


def test_every_field(made):
    path, data, code = made["base"] / "with-bn-last.pth", made["data"], made["code"]
    document = inside(path)
    assert document["code"] | {"version": None} == {
        "version": None,
        "repository": None,
        "commit": git(code, "rev-parse", "HEAD"),
        "dirty": False,
        "diff_sha256": None,
        "why_unknown": None,
    }
    section = document["data"]
    assert {key: section[key] for key in ("ref", "ref_kind", "tag_object", "commit", "file_sha256", "location")} == {
        "ref": TAG,
        "ref_kind": "tag",
        "tag_object": git(data, "rev-parse", f"refs/tags/{TAG}"),
        "commit": git(data, "rev-parse", "HEAD"),
        "file_sha256": sha256(data / "training_dataset.json"),
        "location": str(data),
    }
    boxes, masks = section["entries"]
    assert (boxes["sha256"], boxes["num_samples"], boxes["duplicate"]) == (sha256(data / "boxes.jsonl"), 8, 1)
    assert (boxes["read_for"], masks["read_for"]) == (["det_person"], [])
    assert section["selection"] == {
        "tasks": ["det_person"],
        "samples_per_task": {"det_person": 8},
        "mix": "natural",
        "num_quarantined": 0,
    }
    checkpoint = torch.load(path, weights_only=True)
    assert document["sampler"] == checkpoint["sampler"]
    assert document["sampler"]["samples_consumed"] == 12
    assert (document["iteration"], document["world_size"], document["seed"]) == (3, 1, 0)
    assert document["packages"]["torch"] == torch.__version__
    assert document["config"]["file"] == CONFIG
    # One hash, however the config is reached: as dumped, and as it lies in the checkpoint.
    for text in ((made["base"] / "det_person.py").read_text(), checkpoint["meta"]["cfg"]):
        assert document["config"]["sha256"] == module.config_sha256(text)
    assert str(made["root"]) not in json.dumps({**document, "data": {**section, "location": None}})


def test_the_file_beside_says_the_same_and_goes_with_its_checkpoint(made):
    for path in made["base"].glob("*.pth"):
        written = beside(path)
        assert written.pop("checkpoint") == {"file": path.name, "sha256": sha256(path), "bytes": path.stat().st_size}
        assert written == json.loads(json.dumps(inside(path)))
    names = {file.name.removesuffix(".lineage.json") for file in made["base"].glob("*.lineage.json")}
    # CheckpointHook kept one of three; the first was deleted by the run that went on.
    assert names == {"with-bn-init.pth", "with-bn-0003.pth", "with-bn-last.pth", "with-bn-export-last.onnx"}
    assert not list(made["base"].glob(".*.part"))


def test_a_run_that_went_on_and_one_that_was_tuned_name_where_they_come_from(made):
    resumed, tuned = inside(made["base"] / "with-bn-last.pth"), inside(made["tuned"] / "with-bn-last.pth")
    assert inside(made["base"] / "with-bn-init.pth")["parents"] == []
    assert resumed["parents"] == []
    (stop,) = resumed["resumed_from"]
    assert (stop["file"], stop["iteration"], stop["sha256"]) == ("with-bn-0001.pth", 1, sha256(made["root"] / "kept.pth"))
    assert stop["code"]["commit"] == made["first"] != resumed["code"]["commit"]

    (parent,) = tuned["parents"]
    assert (parent["relation"], parent["file"]) == ("load_from", "../base/with-bn-last.pth")
    assert parent["sha256"] == sha256(made["base"] / "with-bn-last.pth")
    assert parent["data"]["ref"] == TAG
    assert parent["code"]["commit"] == resumed["code"]["commit"]
    assert tuned["resumed_from"] == []
    line = f"net.py\0{hashlib.sha256(b'a = 3' + bytes([10])).hexdigest()}\n"
    assert (tuned["code"]["dirty"], tuned["code"]["diff_sha256"]) == (True, hashlib.sha256(line.encode()).hexdigest())


def test_resuming_elsewhere_keeps_the_parents(made):
    run = module.RunLineage(made["root"] / "far" / "away")
    path = made["tuned"] / "with-bn-0001.pth"
    run.note_loaded(str(path), torch.load(path, weights_only=True))
    run.note_resumed()
    (parent,) = run.parents
    assert (parent["relation"], parent["file"]) == ("load_from", "../../base/with-bn-last.pth")
    assert [stop["relation"] for stop in run.resumed_from] == ["resume"]


def test_an_export_names_its_checkpoint(made, tmp_path):
    source = made["tuned"] / "with-bn-last.pth"
    (tmp_path / "net.bin").write_bytes(b"network")
    document = module.derived_lineage("exported", {source: torch.load(source, weights_only=True)}, tmp_path / "net.bin")
    module.write_lineage(tmp_path / "net.bin", document)
    written = beside(tmp_path / "net.bin")
    assert written["checkpoint"] == {"file": "net.bin", "sha256": hashlib.sha256(b"network").hexdigest(), "bytes": 7}
    assert written["parents"][0]["sha256"] == sha256(source)
    assert written["parents"][0]["parents"][0]["sha256"] == sha256(made["base"] / "with-bn-last.pth")


def test_a_report_carries_the_network_and_the_data_it_was_measured_on(made):
    report = json.loads((made["tuned"] / "metrics.json").read_text())["lineage"]
    assert report["split"] == "test"
    assert report["checkpoint_sha256"] == sha256(made["tuned"] / "with-bn-last.pth")
    assert report["model"] == json.loads(json.dumps(inside(made["tuned"] / "with-bn-last.pth")))
    assert (report["data"]["ref"], report["data"]["selection"]["samples_per_task"]) == (TAG, {"det_person": 8})
    assert report["code"]["dirty"] is True
    # The test has not replaced the config that tells what was trained.
    assert "train_dataloader = None" not in (made["tuned"] / "det_person.py").read_text()


@pytest.fixture
def copy(made, tmp_path):
    """The same, to be broken."""
    work = shutil.copytree(made["root"], tmp_path / "made", symlinks=True)

    def verify(name="base/with-bn-last.pth", *arguments):
        where = ("--repo", str(work / "data"), "--code", str(work / "code"))
        done = CliRunner().invoke(admlops, ["data", "verify", str(work / name), "--json", *where, *arguments])
        answer = json.loads(done.stdout)
        checks = {check["subject"]: check["status"] for check in answer.get("checks", ())}
        return done.exit_code, {subject: status for subject, status in checks.items() if status != "matches"}, checks

    return work, verify


def test_verify_all_that_matches(copy):
    work, verify = copy
    code, wrong, checks = verify()
    assert (code, wrong) == (0, {})
    assert list(checks) == [
        "checkpoint",
        "with-bn-last.pth.lineage.json",
        "code commit",
        "code until iteration 1",
        f"data tag {TAG}",
        "data commit",
        "training_dataset.json",
        "entry boxes",
        "config in the checkpoint",
        "config det_person.py",
    ]
    # The file beside it is enough, here without the checkpoint; and uncommitted code that still lies there counts.
    (work / "base" / "with-bn-last.pth").rename(work / "elsewhere.pth")
    assert verify("base/with-bn-last.pth.lineage.json")[0] == 0
    code, wrong, checks = verify("tuned/with-bn-last.pth")
    assert wrong == {"parent with-bn-last.pth": "differs"}  # beside the checkpoint lies another one of that name
    (work / "elsewhere.pth").rename(work / "base" / "with-bn-last.pth")
    code, wrong, checks = verify("tuned/with-bn-last.pth")
    assert (code, wrong, checks["uncommitted code"]) == (0, {}, "matches")


def lose_parent(work):
    (work / "base" / "with-bn-last.pth").unlink()
    (work / "tuned" / "with-bn-last.pth").rename(work / "tuned" / "mine.pth")
    (work / "tuned" / "with-bn-last.pth.lineage.json").rename(work / "tuned" / "mine.pth.lineage.json")


def move_tag(work):
    (work / "data" / "boxes.jsonl").write_text("")
    git(work / "data", "commit", "-q", "-am", "Empty")
    git(work / "data", "tag", "-f", "-a", TAG, "-m", "again")


def edit_config(work):
    config = work / "base" / "det_person.py"
    config.write_text(config.read_text().replace("seed=0", "seed=1"))


def lose_objects(work):
    shutil.rmtree(work / "data" / ".git")
    git(work / "data", "init", "-q")


@pytest.mark.parametrize(
    ("name", "break_it", "status", "named"),
    [
        ("base/with-bn-last.pth", move_tag, 1, {f"data tag {TAG}": "differs"}),
        ("base/with-bn-last.pth", lambda work: git(work / "data", "tag", "-d", TAG), 3, {f"data tag {TAG}": "unknown"}),
        ("base/with-bn-last.pth", lose_objects, 3, {f"data tag {TAG}": "unknown", "data commit": "unknown"}),
        ("base/with-bn-last.pth", edit_config, 1, {"config det_person.py": "differs"}),
        ("tuned/mine.pth", lose_parent, 3, {"parent with-bn-last.pth": "unknown"}),
        (
            "base/with-bn-last.pth",
            lambda work: shutil.copy(work / "kept.pth", work / "base" / "with-bn-last.pth"),
            1,
            {"checkpoint": "differs", "with-bn-last.pth.lineage.json": "differs"},
        ),
        (
            "tuned/with-bn-last.pth",
            lambda work: git(work / "code", "checkout", "-q", "--", "net.py"),
            3,
            {"uncommitted code": "unknown"},
        ),
    ],
    ids=[
        "moved tag",
        "deleted tag",
        "lost repository",
        "edited config",
        "lost parent",
        "other checkpoint",
        "code never committed",
    ],
)
def test_verify_names_what_changed(copy, name, break_it, status, named):
    work, verify = copy
    break_it(work)
    code, wrong, _ = verify(name)
    assert wrong.items() >= named.items(), wrong
    assert code == status


def test_models_of_a_tag(made):
    done = CliRunner().invoke(admlops, ["data", "models", TAG, "--work-dirs", str(made["root"]), "--json"])
    found = {Path(model["path"]).relative_to(made["root"]).as_posix(): model for model in json.loads(done.stdout)["models"]}
    assert set(found) == {
        f"{run}/with-bn-{name}.pth" for run, name in (("base", "init"), ("base", "0003"), ("base", "last"))
    } | {f"tuned/with-bn-{name}.pth" for name in ("init", "0001", "last")}
    last = found["tuned/with-bn-last.pth"]
    assert (last["iteration"], last["dirty"], last["parents"]) == (1, True, ["../base/with-bn-last.pth"])
    assert "det_person/AP50" in last["metrics"]
    assert found["tuned/with-bn-init.pth"]["metrics"] == {}
    text = CliRunner().invoke(admlops, ["data", "models", TAG, "--work-dirs", str(made["base"])]).output
    assert text.count("with-bn-last.pth") == 1
    assert (
        "no checkpoint" in CliRunner().invoke(admlops, ["data", "models", "x/v9.9.9", "--work-dirs", str(made["base"])]).output
    )


def test_a_file_without_lineage_is_refused(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "old.pth")
    done = CliRunner().invoke(admlops, ["data", "verify", str(tmp_path / "old.pth")])
    assert (done.exit_code, "has no lineage" in done.stderr) == (1, True)


def test_require_clean_refuses_before_anything_is_written(made, tmp_path, monkeypatch):
    def refused(code, **release):
        monkeypatch.setattr("admlops.engine.require_clean.read_code_state", lambda: code_state.read_code_state(code))
        chosen = options(made["data"], 1)
        chosen["train_dataloader.dataset.data_release"] = {"tasks": ["det_person"], **release}
        with pytest.raises(ConfigError, match="require_clean") as caught:
            train(CONFIG, work_dir=tmp_path / "work", options=chosen, require_clean=True)
        assert not (tmp_path / "work").exists()
        return caught.value.got

    assert "the code differs from its commit" in refused(made["code"], repo=str(made["data"]), ref=TAG)
    got = refused(tmp_path, root=str(made["data"]))
    assert "the code has no commit" in got
    assert "is a folder, no tag" in got
    assert "nothing pins the content of 2 entries (boxes, masks)" in got
    assert "main is a branch, no tag" in refused(made["code"], repo=str(made["data"]), ref="main")

    clean = shutil.copytree(made["code"], tmp_path / "clean")
    git(clean, "checkout", "-q", "--", ".")
    monkeypatch.setattr("admlops.engine.require_clean.read_code_state", lambda: code_state.read_code_state(clean))
    cfg = load_config(CONFIG, options(made["data"], 1) | {"require_clean": True}, tmp_path / "work")
    assert ReleaseRunner.from_cfg(cfg).work_dir == str(tmp_path / "work")


def test_the_tool_has_the_option(monkeypatch, capsys, tiny_release, tmp_path):
    monkeypatch.setattr("admlops.engine.require_clean.read_code_state", lambda: code_state.CodeState("0", why_unknown="gone"))
    arguments = [CONFIG, "--require-clean", "--work-dir", str(tmp_path / "work"), "--cfg-options"]
    roots = [f"{split}_dataloader.dataset.data_release.root={tiny_release}" for split in ("train", "val")]
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments, *roots])
    with pytest.raises(SystemExit, match="the code has no commit"):
        runpy.run_path(str(ROOT / "tools" / "train.py"), run_name="__main__")
    assert not (tmp_path / "work").exists()


def test_two_processes_write_one_lineage(made, tmp_path):
    chosen = options(made["data"], 2) | {"train_dataloader.batch_size": 2}
    release = chosen.pop("train_dataloader.dataset.data_release")
    chosen.pop("test_dataloader.dataset.data_release")
    pairs = [f"{key}={value}" for key, value in chosen.items()]
    pairs += [f"train_dataloader.dataset.data_release={release}"]
    command = ["bash", "tools/dist_train.sh", CONFIG, "2", "--work-dir", str(tmp_path), "--cfg-options", *pairs]
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1", "PYTHON": sys.executable}
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    written = beside(tmp_path / "with-bn-last.pth")
    assert (written["world_size"], written["sampler"]["samples_consumed"]) == (2, 8)
    assert written["checkpoint"]["sha256"] == sha256(tmp_path / "with-bn-last.pth")
    written = [*tmp_path.glob("*.pth"), *tmp_path.glob("*.onnx")]
    assert len(written) == len(list(tmp_path.glob("*.lineage.json"))) == 4
    assert not list(tmp_path.glob(".*.part"))
