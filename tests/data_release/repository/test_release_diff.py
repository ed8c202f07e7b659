"""What changed between two releases, on a tiny real repository; every number can be checked by hand."""

import copy
import functools
import http.server
import json
import threading

import pytest
from click.testing import CliRunner
from git_commands import commit_all, git, integrity
from release_files import make_record, write_jsonl, write_release

from admlops.cli.main import admlops
from admlops.data_release.repository.diff import diff
from admlops.errors import DataReleaseError, MachineError


@pytest.fixture
def repo(release_dir, document):
    """v1.0.0: people 2 x 5 for det_person, joint 3 x 3 for both tasks; v1.1.0: people 3 x 7, joint renamed, night added."""
    git(release_dir, "init", "-q", "-b", "main")
    commit_all(release_dir, "first")
    git(release_dir, "tag", "-a", "-m", "x", "multi_task/v1.0.0")
    after = copy.deepcopy(document)
    after["meta"]["version"] = "v1.1.0"
    people, joint = after["dataset_index"]
    people["duplicate"] = 7
    joint["name"] = "joint"
    night = {**people, "name": "night", "obs_path": "night.jsonl", "duplicate": 2, "task_tags": ["seg_lane"]}
    after["dataset_index"].append(night)
    write_release(release_dir, after)
    write_jsonl(release_dir / "people.jsonl", ["p1", "p2", "p3"])
    write_jsonl(release_dir / "night.jsonl", ["n0"])
    commit_all(release_dir, "second")
    git(release_dir, "tag", "-a", "-m", "x", "multi_task/v1.1.0")
    return release_dir


def names(entries):
    return [entry.name for entry in entries]


def fields(change):
    return {one.field: (one.before, one.after) for one in change.fields}


def test_entries_tasks_and_meta(repo):
    found = diff(repo, "multi_task/v1.0.0", "multi_task/v1.1.0")
    assert [(one.field, one.before, one.after) for one in found.meta] == [("version", "v1.0.3", "v1.1.0")]
    assert (names(found.added), names(found.removed), names(found.changed)) == (["night"], [], ["people", "joint"])
    people, joint = found.changed
    assert fields(people)["duplicate"] == (5, 7)
    assert set(fields(people)) == {"duplicate", "content"}
    assert (joint.old_name, set(fields(joint)), joint.same_content) == ("高速_joint", {"name"}, True)
    # det_person: 2 x 5 + 3 x 3 = 19, then 3 x 7 + 3 x 3 = 30; seg_lane: 3 x 3 = 9, then 9 + 1 x 2 = 11.
    assert {task: (a.effective, b.effective) for task, (a, b) in found.tasks.items()} == {
        "det_person": (19, 30),
        "seg_lane": (9, 11),
    }
    assert [total.effective for total in found.total] == [19, 32]
    assert found.ok


def test_samples_by_id(repo, tmp_path):
    found = diff(repo, "multi_task/v1.0.0", "multi_task/v1.1.0", samples_file=tmp_path / "out" / "samples.jsonl")
    people, joint = found.changed
    assert people.samples.counts == {"added": 2, "removed": 1, "changed": 0}
    assert people.samples.first["removed"] == ("p0",)
    assert joint.samples is None
    rows = [json.loads(line) for line in (tmp_path / "out" / "samples.jsonl").read_text().splitlines()]
    assert rows == [
        {"entry": "people", "change": "added", "sample_id": "p2"},
        {"entry": "people", "change": "added", "sample_id": "p3"},
        {"entry": "people", "change": "removed", "sample_id": "p0"},
    ]


def test_a_record_whose_labels_changed(repo):
    record = make_record("p1")
    record["labels"]["det_person"]["boxes"][0][0] = 2
    (repo / "people.jsonl").write_text("\n".join(json.dumps(one) for one in (record, make_record("p2"), make_record("p3"))))
    (change,) = diff(repo, "multi_task/v1.1.0", "WORKTREE", samples=True).changed
    assert change.samples.counts == {"added": 0, "removed": 0, "changed": 1}
    assert change.samples.first["changed"] == ("p1",)


def test_the_working_tree_a_commit_and_a_branch(repo, document):
    commit = git(repo, "rev-parse", "multi_task/v1.0.0^{commit}")
    assert diff(repo, commit, "multi_task/v1.0.0").changed == ()
    assert diff(repo, "main", "WORKTREE").after.commit is None
    document["dataset_index"] = document["dataset_index"][:1]
    write_release(repo, document)
    assert names(diff(repo, "multi_task/v1.0.0", "WORKTREE").removed) == ["高速_joint"]
    git(repo.parent, "clone", "-q", "--bare", str(repo), "bare.git")
    with pytest.raises(DataReleaseError, match="bare repository"):
        diff(repo.parent / "bare.git", "main", "WORKTREE")


def test_unknown_counts_are_named_and_nothing_is_downloaded(repo, document):
    document["dataset_index"][0]["obs_path"] = "obs://bucket/people.jsonl"
    document["dataset_index"][1] |= {"obs_path": "", "status": "pending"}
    write_release(repo, document)
    found = diff(repo, "multi_task/v1.0.0", "WORKTREE")
    after = found.tasks["det_person"][1]
    assert (after.effective, after.unknown) == (0, ("people", "高速_joint"))
    assert "0 + unknown: people, 高速_joint" in found.to_text()
    assert found.changed[0].after.why_unknown.startswith("its index file is remote")


def test_pinned_entries_of_object_storage_are_compared_by_hash(repo, document):
    pin = integrity(repo / "lists" / "joint.jsonl", 3)
    before = copy.deepcopy(document)
    before["dataset_index"][1] |= {"obs_path": "obs://b/joint.jsonl", "integrity": pin}
    before["dataset_index"][0] |= {
        "obs_path": "obs://b/people.jsonl",
        "integrity": {**pin, "sha256": "1" * 64, "num_samples": 4},
    }
    commit_all(write_release(repo, before), "third")
    after = copy.deepcopy(before)
    after["dataset_index"][1] |= {"name": "moved", "obs_path": "obs://b/elsewhere.jsonl"}
    after["dataset_index"][0]["integrity"]["sha256"] = "2" * 64
    write_release(repo, after)
    found = diff(repo, "main", "WORKTREE")
    people, moved = found.changed
    assert (set(fields(people)), people.same_content) == ({"integrity"}, False)
    assert (moved.old_name, set(fields(moved)), moved.same_content) == ("高速_joint", {"name", "obs_path"}, True)
    assert found.tasks["det_person"][1].effective == 4 * 5 + 3 * 3


def test_what_nobody_pinned_is_not_compared_with_itself(repo, document, tmp_path):
    elsewhere = write_jsonl(tmp_path / "elsewhere.jsonl", ["e0"])
    for obs_path in (str(elsewhere), "obs://bucket/people.jsonl"):
        document["dataset_index"][0] |= {"obs_path": obs_path, "duplicate": 5}
        write_release(repo, document)
        commit_all(repo, "third")
        document["dataset_index"][0]["duplicate"] = 6
        write_release(repo, document)
        (change,) = diff(repo, "main", "WORKTREE", samples=True).changed
        assert (change.same_content, change.samples.why_unknown) == (False, "neither release pins what its path held then")


@pytest.fixture
def server(tmp_path):
    """A web server of a folder, on loopback."""
    folder = tmp_path / "www"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def test_pinned_objects_are_fetched_for_their_samples(repo, document, server):
    folder, url = server
    for number, ids in enumerate((["w0", "w1"], ["w1", "w2", "w3"])):
        file = write_jsonl(folder / f"{number}.jsonl", ids)
        pin = integrity(file, len(ids))
        document["dataset_index"][0] |= {"obs_path": f"{url}/{number}.jsonl", "integrity": pin}
        commit_all(write_release(repo, document), f"number {number}")
    first = git(repo, "rev-parse", "HEAD~1")
    (change,) = diff(repo, first, "main", samples=True).changed
    assert change.samples.counts == {"added": 2, "removed": 1, "changed": 0}
    (folder / "1.jsonl").write_text("exchanged behind the tag")
    (change,) = diff(repo, first, "main", samples=True).changed
    assert change.samples.counts["added"] == 2, "the released content is in the cache"


def test_order_of_tags_is_no_change(repo, document):
    document["dataset_index"][1]["task_tags"].reverse()
    document["meta"]["tasks"].reverse()
    git(repo, "checkout", "-q", "multi_task/v1.0.0")
    write_release(repo, document)
    found = diff(repo, "multi_task/v1.0.0", "WORKTREE")
    assert (found.meta, found.changed, found.unchanged) == ((), (), 2)


def test_files_older_than_tags(repo, document):
    del document["meta"]["tasks"]
    for entry in document["dataset_index"]:
        del entry["task_tags"]
    git(repo, "checkout", "-q", "multi_task/v1.0.0")
    write_release(repo, document)
    found = diff(repo, "multi_task/v1.0.0", "WORKTREE")
    assert found.tasks["*"][1].effective == 19
    assert "any task" in found.to_text()


def test_what_cannot_be_compared_is_said_and_is_no_success(repo, document):
    document["dataset_index"][0]["obs_path"] = "gone.jsonl"
    git(repo, "checkout", "-q", "multi_task/v1.0.0")
    write_release(repo, document)
    found = diff(repo, "multi_task/v1.0.0", "WORKTREE", samples=True)
    assert not found.ok
    assert "samples not compared: [E401] an index file is missing" in found.to_text()


def test_a_file_that_cannot_be_written(repo, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match=r"\[E404\] samples.jsonl cannot be written"):
        diff(repo, "multi_task/v1.0.0", "multi_task/v1.1.0", samples_file=tmp_path / "file" / "samples.jsonl")


def test_the_dagger_file_is_compared_only_when_asked_for(repo, document):
    (repo / "training_dataset.dagger.json").write_text("{ broken")
    commit_all(repo, "third")
    assert names(diff(repo, "multi_task/v1.0.0", "main").added) == ["night"]
    with pytest.raises(DataReleaseError, match=r"\[E100\]"):
        diff(repo, "main", "main", kind="dagger")
    document["meta"]["training_type"] = "dagger"
    write_release(repo, document, "training_dataset.dagger.json")
    (repo / "training_dataset.json").write_text("{ broken")
    assert diff(repo, "WORKTREE", "WORKTREE", kind="dagger").unchanged == 2


def test_the_verb(repo):
    def run(*words):
        return CliRunner().invoke(admlops, ["data", "diff", "--repo", str(repo), *words])

    text = run("multi_task/v1.0.0", "multi_task/v1.1.0", "--samples")
    assert text.exit_code == 0
    assert "  ~ joint (was 高速_joint)\n" in text.output
    assert "      samples: 2 added, 1 removed, 0 changed\n      + p2\n" in text.output
    assert "  det_person   19      30     +11\n" in text.output
    content = json.loads(run("multi_task/v1.0.0", "multi_task/v1.1.0", "--json").output)
    assert content["tasks"]["det_person"]["after"] == {"samples": 6, "effective": 30, "unknown": []}
    assert run("multi_task/v1.0.0", "nothing").exit_code == 1
