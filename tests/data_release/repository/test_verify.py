"""Verify a lineage written by hand around a real release: what became of each object that a tag names."""

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from admlops.data_release import open_release
from admlops.data_release.lineage import describe_release, lineage_path
from admlops.data_release.repository.verify import verify
from admlops.errors import DataReleaseError

TAG = "multi_task/v1.0.0"
RECORD = {
    "sample_id": "a",
    "image": {"path": "a.png", "width": 4, "height": 4},
    "labels": {"det_person": {"boxes": [], "categories": []}},
}


def git(folder, *arguments):
    identity = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.com")
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A release with an entry in the commit, one outside that nothing pins, one outside that integrity pins."""
    monkeypatch.setenv("ADMLOPS_CACHE", str(tmp_path / "cache"))
    data, store = tmp_path / "data", tmp_path / "store"
    data.mkdir()
    store.mkdir()
    line = (json.dumps(RECORD) + "\n").encode()
    for file in (data / "in_commit.jsonl", store / "loose.jsonl", store / "pinned.jsonl"):
        file.write_bytes(line)
    integrity = {"sha256": hashlib.sha256(line).hexdigest(), "bytes": len(line), "num_samples": 1}
    entries = [
        {"name": "in_commit", "obs_path": "in_commit.jsonl"},
        {"name": "loose", "obs_path": str(store / "loose.jsonl")},
        {"name": "pinned", "obs_path": f"file://{store / 'pinned.jsonl'}", "integrity": integrity},
    ]
    bundle = "v1.2.0-20251017-100000"
    meta = {
        "release_name": "Joint",
        "consumer_version": "v1.2.0",
        "bundle_versions": [bundle],
        "version": "v1.0.0",
        "tasks": ["det_person"],
    }
    document = {"meta": meta, "dataset_index": [{**entry, "bundle_versions": [bundle]} for entry in entries]}
    (data / "training_dataset.json").write_text(json.dumps(document))
    git(data, "init", "-q", "-b", "main")
    git(data, "add", "-A")
    git(data, "commit", "-q", "-m", "Release")
    git(data, "tag", "-a", TAG, "-m", "v1.0.0")
    return tmp_path


def write_lineage(work, checkpoint="net.pth", parents=(), **place):
    release = open_release(**(place or {"repo": work / "data", "ref": TAG}))
    draws = dict.fromkeys(("in_commit", "loose", "pinned"), 1)
    data = describe_release(release, release.select(["det_person"]), ["det_person"], draws)
    file = work / checkpoint
    file.write_bytes(checkpoint.encode())
    code = {"version": "0", "commit": git(work / "data", "rev-parse", "HEAD"), "dirty": False, "diff_sha256": None}
    document = {
        "checkpoint": {"file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "bytes": 1},
        "code": code,
        "data": {**data, "location": str(work / "data")},
        "parents": list(parents),
        "resumed_from": [],
        "config": {"file": None, "sha256": None},
    }
    lineage_path(file).write_text(json.dumps(document))
    return file


def faults(work, file="net.pth", **options):
    answer = verify(work / file, code=work / "data", **options)
    return {check.subject: (check.status, check.detail) for check in answer.checks if check.status != "matches"}


def test_all_matches(work):
    answer = verify(write_lineage(work), code=work / "data")
    assert (answer.ok, answer.reachable, len(answer.checks)) == (True, True, 8)
    assert answer.to_text().endswith("8 match, 0 differ, 0 cannot be checked here")


def test_objects_changed_behind_the_tag(work):
    write_lineage(work)
    for name in ("loose", "pinned"):
        (work / "store" / f"{name}.jsonl").write_text(json.dumps({**RECORD, "sample_id": "b"}) + "\n")
    (work / "data" / "in_commit.jsonl").write_text("")  # the working tree is nobody's business
    found = faults(work)
    assert {subject: status for subject, (status, _) in found.items()} == {"entry loose": "differs", "entry pinned": "differs"}
    changed = hashlib.sha256((work / "store" / "loose.jsonl").read_bytes()).hexdigest()
    assert found["entry loose"][1].endswith(f"now {changed[:12]}")


def test_an_object_that_is_gone_cannot_be_checked(work):
    write_lineage(work)
    (work / "store" / "loose.jsonl").unlink()
    answer = verify(work / "net.pth", code=work / "data")
    assert (answer.ok, answer.reachable) == (True, False)
    assert faults(work)["entry loose"][0] == "unknown"


def test_a_tag_made_again_on_the_same_commit_is_told_from_a_moved_one(work):
    write_lineage(work)
    git(work / "data", "tag", "-f", "-a", TAG, "-m", "said otherwise")
    assert "made again on the same commit" in faults(work)[f"data tag {TAG}"][1]


def test_a_release_in_a_folder(work):
    write_lineage(work, root=work / "data")
    assert faults(work) == {}
    (work / "data" / "in_commit.jsonl").write_text(json.dumps({**RECORD, "sample_id": "b"}) + "\n")
    assert set(faults(work)) == {"entry in_commit"}
    assert faults(work, repo=work / "store")["training_dataset.json"][0] == "unknown"


def test_no_repository_where_the_config_said(work):
    write_lineage(work)
    (work / "data").rename(work / "moved")
    answer = verify(work / "net.pth", code=work / "moved")
    assert [check.subject for check in answer.checks if check.status == "unknown"] == [f"data {TAG}"]
    assert verify(work / "net.pth", code=work / "moved", repo=work / "moved").reachable


def test_parents_and_their_parents(work):
    (work / "base").mkdir()
    for name in ("old.pth", "base/joint.pth"):
        (work / name).write_bytes(name.encode())
    hashes = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("old.pth", "base/joint.pth")}
    old = {"file": "../old.pth", "sha256": hashes["old.pth"], "parents": []}
    write_lineage(work, parents=[{"file": "base/joint.pth", "sha256": hashes["base/joint.pth"], "parents": [old]}])
    assert faults(work) == {}
    (work / "old.pth").write_bytes(b"another")
    assert {subject: status for subject, (status, _) in faults(work).items()} == {"parent of joint.pth: old.pth": "differs"}
    (work / "base" / "joint.pth").rename(work / "joint.pth")  # brought along
    assert set(faults(work)) == {"parent of joint.pth: old.pth"}


def test_what_is_no_lineage_is_refused(work):
    (work / "net.pth").write_bytes(b"")
    with pytest.raises(DataReleaseError, match="has no lineage"):
        verify(work / "net.pth")
    Path(lineage_path(work / "net.pth")).write_text("[]")
    with pytest.raises(DataReleaseError, match="not a lineage"):
        verify(work / "net.pth")
