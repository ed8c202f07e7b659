"""The data section: hashes, counts and names that can be computed by hand."""

import hashlib
import json
import shutil
import subprocess

from release_files import write_release

from admlops.data_release import open_release
from admlops.data_release.lineage import describe_ref, describe_release, unpinned_entries


def git(folder, *arguments):
    identity = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.com")
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tagged(folder):
    git(folder, "init", "-q", "-b", "master/multi_task")
    git(folder, "remote", "add", "origin", "https://ada:pw@example.com/data.git")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "Release")
    git(folder, "tag", "-a", "multi_task/v1.0.0", "-m", "v1.0.0")
    return folder


def test_every_field_of_a_release_at_a_tag(release_dir):
    tagged(release_dir)
    release = open_release(repo=release_dir, ref="multi_task/v1.0.0")
    section = describe_release(release, release.select(["seg_lane"]), ["seg_lane"], {"高速_joint": 9})
    content = (release_dir / "training_dataset.json").read_bytes()
    assert section == {
        "repository": "https://example.com/data.git",
        "ref": "multi_task/v1.0.0",
        "ref_kind": "tag",
        "tag_object": git(release_dir, "rev-parse", "refs/tags/multi_task/v1.0.0"),
        "commit": git(release_dir, "rev-parse", "HEAD"),
        "kind": "regular",
        "file_sha256": hashlib.sha256(content).hexdigest(),
        "digest": release.digest,
        "release_name": "Joint",
        "version": "v1.0.3",
        "consumer": None,
        "consumer_version": "v1.2.0",
        "bundle_versions": ["v1.2.0-20251017-100000"],
        "entries": [
            {
                "name": "people",
                "obs_path": "people.jsonl",
                "sha256": None,  # this run does not read it
                "num_samples": None,
                "duplicate": 5,
                "task_tags": ["det_person"],
                "read_for": [],
                "pinned_by": "commit",
            },
            {
                "name": "高速_joint",
                "obs_path": "lists/joint.jsonl",
                "sha256": sha256(release_dir / "lists" / "joint.jsonl"),
                "num_samples": 3,
                "duplicate": 3,
                "task_tags": ["det_person", "seg_lane"],
                "read_for": ["seg_lane"],
                "pinned_by": "commit",
            },
        ],
        "trace": {"absent": "nobody says where a checkout of DataSpecHub is"},
        "selection": {"tasks": ["seg_lane"], "samples_per_task": {"seg_lane": 9}},
    }
    assert section["tag_object"] != section["commit"]
    json.dumps(section)


def test_samples_of_an_entry_count_for_each_task_it_serves(release_dir):
    release = open_release(root=release_dir)
    tasks = ["det_person", "seg_lane"]
    # Two samples five times, three samples three times.
    section = describe_release(release, release.select(tasks), tasks, {"people": 10, "高速_joint": 9})
    assert section["selection"]["samples_per_task"] == {"det_person": 19, "seg_lane": 9}
    assert [entry["num_samples"] for entry in section["entries"]] == [2, 3]
    tested = describe_release(release, release.select(tasks), tasks, {"people": 2, "高速_joint": 3}, repeats=False)
    assert tested["selection"]["samples_per_task"] == {"det_person": 5, "seg_lane": 3}
    assert [entry["num_samples"] for entry in tested["entries"]] == [2, 3]


def test_what_a_release_was_read_from(release_dir):
    assert describe_ref(open_release(root=release_dir))["ref_kind"] == "folder"
    tagged(release_dir)
    commit = git(release_dir, "rev-parse", "HEAD")
    kinds = {
        ref: describe_ref(open_release(repo=release_dir, ref=ref))["ref_kind"] for ref in (commit[:10], "master/multi_task")
    }
    assert list(kinds.values()) == ["commit", "branch"]
    # A branch of the same name does not make a tag of it, and a tag is one under its full name too.
    git(release_dir, "tag", "light")
    git(release_dir, "branch", "light")
    named = [describe_ref(open_release(repo=release_dir, ref=ref)) for ref in ("refs/tags/light", "refs/heads/light")]
    assert [(ref["ref_kind"], ref["tag_object"]) for ref in named] == [("tag", commit), ("branch", None)]
    assert named[0]["ref"] == "light"


def test_entries_that_nothing_pins(release_dir, document, tmp_path):
    assert unpinned_entries(open_release(root=release_dir)) == ("people", "高速_joint")
    outside = shutil.copy(release_dir / "people.jsonl", tmp_path / "outside.jsonl")
    document["dataset_index"][0]["obs_path"] = str(outside)
    write_release(release_dir, document)
    tagged(release_dir)
    assert unpinned_entries(open_release(repo=release_dir, ref="multi_task/v1.0.0")) == ("people",)
    document["dataset_index"][0]["integrity"] = {"sha256": sha256(tmp_path / "outside.jsonl"), "bytes": 1, "num_samples": 2}
    write_release(release_dir, document)
    git(release_dir, "commit", "-q", "-am", "Pin")
    assert unpinned_entries(open_release(repo=release_dir, ref="master/multi_task")) == ()
