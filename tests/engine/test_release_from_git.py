"""A config that names a tag trains on what was tagged, whatever lies in the working tree."""

import shutil
import subprocess

from admlops.engine.config import load_config
from admlops.registry import DATASETS

TASKS = ["det_person", "seg_lane"]


def git(folder, *arguments):
    identity = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.com")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_a_config_reads_the_tagged_release(tiny_release, tmp_path):
    repository = shutil.copytree(tiny_release, tmp_path / "release")
    git(repository, "init", "-q", "-b", "main")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "Release")
    git(repository, "tag", "-a", "multi_task/v1.0.0", "-m", "v1.0.0")
    # Dirty: neither the list of entries nor their records are what they were.
    (repository / "training_dataset.json").write_text("{}")
    (repository / "boxes.jsonl").write_text("")

    release = {"repo": str(repository), "ref": "multi_task/v1.0.0", "tasks": TASKS}
    cfg = load_config("configs/4pe_resize/multitask.py", {"train_dataloader.dataset.data_release": release})
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    assert len(dataset) == 16
    assert list(dataset.task_specs) == TASKS
    first, last = dataset[0]["data_samples"], dataset[15]["data_samples"]
    assert (first.sample_id, list(first.gt.keys())) == ("boxes_0", ["det_person"])
    assert (last.sample_id, list(last.gt.keys())) == ("masks_7", ["seg_lane"])
