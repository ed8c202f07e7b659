"""What a release is made of, by numbers that can be checked by hand."""

import copy
import json

import pytest
from click.testing import CliRunner
from git_commands import commit_all, git, integrity
from release_files import BUNDLE, write_release

from admlops.cli.main import admlops
from admlops.data_release.repository.stats import stats
from admlops.errors import DataReleaseError

OLD = "v1.1.0-release"


@pytest.fixture
def repo(release_dir, document):
    """people 2 x 5 of the new bundle, joint 3 x 3 of both, far 4 x 1 in object storage, pinned, of the old one."""
    document["meta"]["bundle_versions"] = [BUNDLE, OLD]
    people, joint = document["dataset_index"]
    joint["bundle_versions"] = [BUNDLE, OLD]
    pin = integrity(release_dir / "people.jsonl", 4)
    far = {"name": "far", "obs_path": "obs://b/far.jsonl", "bundle_versions": [OLD], "duplicate": 1, "integrity": pin}
    document["dataset_index"].append({**far, "task_tags": ["seg_lane"]})
    write_release(release_dir, document)
    git(release_dir, "init", "-q", "-b", "main")
    commit_all(release_dir, "first")
    return release_dir


def test_by_entry_task_and_bundle(repo):
    found = stats(repo, "main")
    # An epoch draws 2 x 5 + 3 x 3 + 4 x 1 = 23 samples of 2 + 3 + 4 = 9.
    assert (found.total.samples, found.total.effective) == (9, 23)
    assert {entry.name: entry.share for entry in found.entries} == {
        "people": round(10 / 23, 6),
        "高速_joint": round(9 / 23, 6),
        "far": round(4 / 23, 6),
    }
    assert {task: (total.samples, total.effective) for task, total in found.tasks.items()} == {
        "det_person": (5, 19),
        "seg_lane": (7, 13),
    }
    assert {bundle: total.effective for bundle, total in found.bundles.items()} == {BUNDLE: 19, OLD: 13}
    assert found.duplicates == {1: 1, 3: 1, 5: 1}


def test_unknown_sizes_are_said(repo, document):
    unpinned = copy.deepcopy(document)
    del unpinned["dataset_index"][2]["integrity"]
    write_release(repo, unpinned)
    found = stats(repo, "WORKTREE")
    assert (found.total.effective, found.total.unknown) == (19, ("far",))
    assert found.entries[2].share is None
    assert "  far: its index file is remote and not pinned by integrity" in found.to_text()


def test_a_bad_index_file_is_an_unknown_size_with_its_reason(repo):
    (repo / "people.jsonl").write_text("{")
    assert stats(repo, "WORKTREE").entries[0].count.why_unknown.startswith("[E405]")


def test_the_other_file_is_not_opened(repo, document):
    (repo / "training_dataset.dagger.json").write_text("{ broken")
    assert stats(repo, "WORKTREE").total.effective == 23
    with pytest.raises(DataReleaseError, match=r"\[E100\]"):
        stats(repo, "WORKTREE", kind="dagger")
    document["meta"]["training_type"] = "dagger"
    document["dataset_index"].pop()
    document["meta"]["bundle_versions"] = [BUNDLE, OLD]
    write_release(repo, document, "training_dataset.dagger.json")
    (repo / "training_dataset.json").write_text("{ broken")
    assert stats(repo, "WORKTREE", kind="dagger").total.effective == 19


def run(repo, *words):
    return CliRunner().invoke(admlops, ["data", "stats", "--repo", str(repo), "main", *words])


def test_the_verb(repo):
    text = run(repo)
    assert text.exit_code == 0
    lines = text.output.splitlines()
    assert lines[2:6] == [
        "entry       samples  duplicate  an epoch  share   tasks",
        "people      2                5  10        43.5 %  det_person",
        "高速_joint  3                3  9         39.1 %  det_person, seg_lane",
        "far         4                1  4         17.4 %  seg_lane",
    ]
    assert lines[-1] == "duplicate (entries x times): 1 x 1, 1 x 3, 1 x 5"
    assert json.loads(run(repo, "--json").output)["duplicates"] == {"1": 1, "3": 1, "5": 1}


def test_a_report_with_plots_and_the_classes_of_what_is_here(repo, tmp_path):
    done = run(repo, "--out-dir", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    for name in ("tasks", "bundles", "entries"):
        assert (tmp_path / "out" / "plots" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "out" / "statistics.json").read_bytes())["total"]["effective"] == 23
    assert "  far: not on this machine: `admlops data fetch`" in done.output
    tables = json.loads((tmp_path / "out" / "classes" / "report.json").read_bytes())["tables"]
    persons = {row["source"]: row["instances"] for row in tables["instances"] if row["class"] == "person"}
    assert persons == {"people": 2, "高速_joint": 3}
