"""Three ways of training the lidar network from one repository of releases: all tasks, the god head alone, 5 cm."""

import hashlib
import json
import os
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from admlops.cli.main import admlops
from admlops.data_release import code_state
from admlops.engine import lineage
from admlops.engine.checkpoint import read_checkpoint
from admlops.engine.config import load_config
from admlops.engine.train import train
from admlops.registry import DATASETS, MODELS
from admlops.synthetic.lidar.lidar_sample import render_lidar_sample

CONFIGS = "projects/god/configs"
BUNDLE = "v1.0.0-20251017-100000"
DISPLAY_NAMES = {"multi_task": "MultiTask", "god_base": "GOD-Base", "god_hd": "GOD-HD"}
# Name of an entry, source of the rendered sample that its object holds, tasks that it is released for.
JOINT = ("urban_joint", "joint", ["god_base", "drivable_2cls", "drivable_multi"])
DRIVABLE = ("highway_drivable", "drivable_only", ["drivable_2cls"])
GOD = ("highway_god", "god_only", ["god_base"])
BOXES = ("park_god", "god_boxes", ["god_base"])
NEAR = ("park_hd", "joint", ["god_hd"])


def git(folder, *arguments):
    done = subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def data(verb, *arguments, exits=0):
    """Run ``admlops data``; gives what it printed."""
    done = CliRunner().invoke(admlops, ["data", verb, *map(str, arguments)])
    assert done.exit_code == exits, done.output
    return done.output


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_dataset(repo, task, version, entries):
    """The list of objects on a task's branch, pinned."""
    git(repo, "switch", "-q", f"master/{task}")
    index = [
        {
            "name": name,
            "obs_path": f"../bucket/{source}/index.jsonl",
            "bundle_versions": [BUNDLE],
            "duplicate": 1,
            "task_tags": tags,
        }
        for name, source, tags in entries
    ]
    meta = {
        "release_name": f"{DISPLAY_NAMES[task]} {version}",
        "consumer_version": "v1.0.0",
        "bundle_versions": [BUNDLE],
        "version": version,
        "tasks": sorted({each for *_, tags in entries for each in tags}),
    }
    (repo / "training_dataset.json").write_text(json.dumps({"meta": meta, "dataset_index": index}, indent=2) + "\n")
    data("lock", "--repo", repo)


def release(repo, task, version, entries):
    """Curate the data on the task's branch, commit and tag them."""
    write_dataset(repo, task, version, entries)
    data("validate", "--repo", repo, "--strict")
    text = f'add: {version}\n\ndate: "2025-10-20"\ntype: "add"\ndescription: "{version}"\ntask_tag: "DATA-1"\n'
    git(repo, "commit", "-q", "-am", text)
    data("tag", f"{task}/{version}", "--repo", repo)
    return f"{task}/{version}"


def make_repository(root):
    """A bare remote, and a clone with a branch for each way of training."""
    git(root, "init", "-q", "--bare", "-b", "main", "releases.git")
    git(root, "clone", "-q", "releases.git", "releases")
    repo = root / "releases"
    data("init", "--task", "god_base=GOD-Base", "--repo", repo)
    git(repo, "add", "-A")
    text = 'add: begin\n\ndate: "2025-10-20"\ntype: "add"\ndescription: "begin"\ntask_tag: ""\n'
    git(repo, "commit", "-q", "-m", text)
    allowed = [word for name in JOINT[2] for word in ("--allowed-tags", name)]
    data("task", "add", "god_base", "--repo", repo)
    data("task", "add", "multi_task", "--display-name", "MultiTask", *allowed, "--repo", repo)
    data("task", "add", "god_hd", "--display-name", "GOD-HD", "--repo", repo)
    return repo


def shortened(repo, ref, tasks, cell_m=0.2):
    """Two iterations on a grid of 64 x 64 cells ahead of the sensor."""
    grid = {"x_min_m": 2.6, "y_min_m": -32 * cell_m, "cell_m": cell_m, "rows": 64, "cols": 64}
    return {
        "model.encoder.grid": grid,
        "model.data_preprocessor.grid": grid,
        "train_dataloader.dataset.data_release": {"repo": str(repo), "ref": ref, "tasks": tasks},
        "train_dataloader.dataset.pipeline.3.translation": (0.0, 0.0, 0.2),
        "train_dataloader.dataset.pipeline.6.grid": grid,
        "train_dataloader.dataset.pipeline.7.grid": grid,
        "train_dataloader.batch_size": 4,
        "train_dataloader.num_workers": 0,
        **dict.fromkeys(("val_dataloader", "val_cfg", "val_evaluator")),
    }


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """The three trainings, each of one commit of the code and one tag of the data."""
    root = tmp_path_factory.mktemp("flow")
    render_lidar_sample(root / "sample", num_train=5, num_val=1, num_workers=1)
    (root / "sample" / "train").rename(root / "bucket")
    code, pth, commits = root / "code", {}, {}
    git(root, "init", "-q", "-b", "main", str(code))

    def train_on(ref, config, tasks, start=None, cell_m=0.2):
        (code / "network.py").write_text(f"{ref}\n")
        git(code, "add", "-A")
        git(code, "commit", "-q", "-m", ref)
        commits[ref] = git(code, "rev-parse", "HEAD")
        work_dir = root / "runs" / config
        options = shortened(repo, ref, tasks, cell_m)
        steps = "solver.0." if config == "multi_task" else ""
        train(
            f"{CONFIGS}/{config}.py",
            work_dir=work_dir,
            options=options | {f"{steps}train_cfg.max_iters": 2},
            load_from=start and str(start),
        )
        return work_dir / "with-bn-last.pth"

    with pytest.MonkeyPatch.context() as patch:
        for who in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{who}_NAME", "Ada")
            patch.setenv(f"GIT_{who}_EMAIL", "ada@example.com")
        for place in ("GLOBAL", "SYSTEM"):
            patch.setenv(f"GIT_CONFIG_{place}", os.devnull)
        patch.setattr(lineage, "read_code_state", lambda: code_state.read_code_state(code))
        repo = make_repository(root)
        ref = release(repo, "multi_task", "v1.0.0", [JOINT, DRIVABLE, GOD])
        pth["v1.0"] = train_on(ref, "multi_task", JOINT[2])
        ref = release(repo, "god_base", "v1.1.0", [GOD, BOXES])
        pth["v1.1"] = train_on(ref, "god_base_finetune", ["god_base"], pth["v1.0"])
        ref = release(repo, "god_hd", "v1.0.0", [NEAR])
        pth["hd_v1.0"] = train_on(ref, "god_hd", ["god_hd"], pth["v1.1"], cell_m=0.05)
        yield SimpleNamespace(root=root, repo=repo, code=code, pth=pth, commits=commits)


@torch.no_grad()
def test_drivable_outputs_are_the_same_bits_after_the_god_head_was_tuned(flow):
    options = {key: value for key, value in shortened(flow.repo, "any", JOINT[2]).items() if key.startswith("model.")}
    (sweep,) = (flow.root / "sample" / "val").rglob("*.bin")
    points = np.fromfile(sweep, "<f4").reshape(-1, 4)

    def outputs(path):
        model = MODELS.build(load_config(f"{CONFIGS}/multi_task.py", options).model).eval()
        model.load_state_dict(read_checkpoint(path)["state_dict"])
        cell = model.encoder.grid.cell_of(points)
        assert np.count_nonzero(cell < model.encoder.grid.num_cells) > 1000
        given = {"points": torch.from_numpy(points), "cell": torch.from_numpy(cell), "batch_size": 1}
        return model(given, mode="tensor")

    before, after = outputs(flow.pth["v1.0"]), outputs(flow.pth["v1.1"])
    equal = {name: torch.equal(after[name], output) for name, output in before.items()}
    assert equal == {"god_base.logits": False, "drivable_2cls.logits": True, "drivable_multi.logits": True}


def test_the_hd_network_starts_from_every_weight_of_the_base(flow):
    base = read_checkpoint(flow.pth["v1.1"])["state_dict"]
    start = read_checkpoint(flow.pth["hd_v1.0"].with_name("with-bn-init.pth"))["state_dict"]
    end = read_checkpoint(flow.pth["hd_v1.0"])["state_dict"]
    assert any(name.startswith("branches.god.head.") for name in start)
    assert set(start) == set(end) == {name for name in base if not name.startswith("branches.drivable_")}
    for name, value in start.items():
        assert torch.equal(value, base[name]), name
    for part in ("encoder.", "backbone.", "branches.god.head."):
        assert not all(torch.equal(end[name], start[name]) for name in start if name.startswith(part)), part


def test_the_lineage_of_each_shows_its_parents_its_tags_and_its_code(flow):
    refs = {"v1.0": "multi_task/v1.0.0", "v1.1": "god_base/v1.1.0", "hd_v1.0": "god_hd/v1.0.0"}
    found = {name: torch.load(path, weights_only=True)["lineage"] for name, path in flow.pth.items()}
    for name, document in found.items():
        made = document["data"]
        assert (made["ref"], made["ref_kind"]) == (refs[name], "tag")
        assert made["tag_object"] == git(flow.root / "releases.git", "rev-parse", f"refs/tags/{refs[name]}")
        assert document["code"]["commit"] == flow.commits[refs[name]]
        for entry in made["entries"]:
            assert (entry["sha256"], entry["pinned_by"]) == (sha256(flow.repo / entry["obs_path"]), "integrity")
    assert {name: [entry["name"] for entry in document["data"]["entries"]] for name, document in found.items()} == {
        "v1.0": ["urban_joint", "highway_drivable", "highway_god"],
        "v1.1": ["highway_god", "park_god"],
        "hd_v1.0": ["park_hd"],
    }

    def chain(document):
        for parent in document["parents"]:
            yield parent["relation"], parent["sha256"], parent["data"]["ref"], parent["code"]["commit"]
            yield from chain(parent)

    joint, base = (("load_from", sha256(flow.pth[name]), refs[name], flow.commits[refs[name]]) for name in ("v1.0", "v1.1"))
    assert {name: list(chain(document)) for name, document in found.items()} == {
        "v1.0": [],
        "v1.1": [joint],
        "hd_v1.0": [base, joint],
    }


def test_each_is_verified_and_listed_under_its_tag(flow):
    for path, ref in zip(flow.pth.values(), flow.commits, strict=True):
        assert "0 differ, 0 cannot be checked here" in data("verify", path, "--code", flow.code)
        listed = json.loads(data("models", ref, "--work-dirs", flow.root / "runs", "--json"))["models"]
        assert str(path) in {model["path"] for model in listed}
        assert {model["path"].split("/")[-2] for model in listed} == {path.parent.name}


def test_an_object_that_was_changed_behind_the_tag_is_named(flow):
    path = flow.repo.parent / "bucket" / "god_only" / "index.jsonl"
    content = path.read_bytes()
    path.write_bytes(content + content)
    try:
        assert "differs  entry highway_god" in data("verify", flow.pth["v1.1"], "--code", flow.code, exits=1)
        assert "0 differ" in data("verify", flow.pth["hd_v1.0"], "--code", flow.code)
    finally:
        path.write_bytes(content)


def test_a_training_reads_the_entries_that_are_tagged_with_its_tasks(flow):
    def read_by(config, tasks):
        release = {"repo": str(flow.repo), "ref": "multi_task/v1.0.0", "tasks": tasks}
        cfg = load_config(f"{CONFIGS}/{config}.py", {"train_dataloader.dataset.data_release": release})
        return [segment.name for segment in DATASETS.build(cfg.train_dataloader.dataset).segments]

    assert read_by("god_base", ["god_base"]) == ["urban_joint", "highway_god"]
    assert read_by("drivable_2cls", ["drivable_2cls"]) == ["urban_joint", "highway_drivable"]
    # Its records label five kinds of ground, too; the entry is not released for them.
    assert "drivable_multi" in json.loads((flow.repo.parent / "bucket/drivable_only/index.jsonl").read_text())["labels"]
    assert read_by("drivable_multi", ["drivable_multi"]) == ["urban_joint"]


def test_an_entry_that_serves_another_task_does_not_get_onto_the_branch(flow):
    write_dataset(flow.repo, "god_base", "v1.2.0", [GOD, DRIVABLE])
    try:
        refused = data("validate", "--repo", flow.repo, "--strict", exits=1)
        assert "E204" in refused
        assert "highway_drivable" in refused
    finally:
        git(flow.repo, "restore", "training_dataset.json")
