import hashlib
import os
import shutil
import subprocess

import pytest
from release_files import write_jsonl, write_release

from admlops.data_release import JsonlIndex, open_release
from admlops.errors import DataReleaseError, RecordError


def integrity(path, num_samples):
    content = path.read_bytes()
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), "num_samples": num_samples}


def raises(code, match=""):
    return pytest.raises(DataReleaseError, match=rf"(?s)\[{code}\].*{match}")


def rows(selected):
    return [(entry.name, entry.duplicate, set(entry.tasks)) for entry in selected]


def test_selects_entries_that_serve_a_task(release_dir):
    release = open_release(root=release_dir)
    assert rows(release.select(["seg_lane"])) == [("高速_joint", 3, {"seg_lane"})]
    both = release.select(["det_person", "seg_lane"])
    assert rows(both) == [("people", 5, {"det_person"}), ("高速_joint", 3, {"det_person", "seg_lane"})]
    assert both[1].index_path == release_dir / "lists" / "joint.jsonl"
    assert both[1].base_dir == release_dir / "lists"
    assert len(JsonlIndex(both[1].index_path)) == 3


def test_entry_without_tags_serves_the_releases_tasks_else_all(release_dir, document):
    del document["dataset_index"][0]["task_tags"]
    write_release(release_dir, document)
    assert rows(open_release(root=release_dir).select(["seg_lane"]))[0] == ("people", 5, {"seg_lane"})
    with raises("E301"):
        open_release(root=release_dir).select(["det_person", "seg_default"])
    del document["meta"]["tasks"]
    write_release(release_dir, document)
    assert rows(open_release(root=release_dir).select(["seg_default"])) == [("people", 5, {"seg_default"})]


def test_unknown_task_and_empty_selection(release_dir, document):
    with raises("E301", "did you mean 'seg_lane'"):
        open_release(root=release_dir).select(["det_person", "seg_lame"])
    # Known, but not to this release: the nearest name is another task.
    with raises("E301", "leave it out of data_release.tasks; where records label it, add it to the release's meta.tasks"):
        open_release(root=release_dir).select(["det_person", "seg_default"])
    with raises("E302"):
        open_release(root=release_dir).select([])
    document["dataset_index"][1]["task_tags"] = ["det_person"]
    write_release(release_dir, document)
    with raises("E302", "no entry serves seg_lane"):
        open_release(root=release_dir).select(["det_person", "seg_lane"])


def test_absolute_paths_and_file_urls(release_dir, document, tmp_path):
    elsewhere = write_jsonl(tmp_path / "else where" / "a.jsonl", ["x"])
    for obs_path in (str(elsewhere), "file://" + str(elsewhere).replace(" ", "%20")):
        document["dataset_index"][0]["obs_path"] = obs_path
        write_release(release_dir, document)
        (people, _) = open_release(root=release_dir).select(["det_person"])
        assert (people.index_path, people.base_dir) == (elsewhere, elsewhere.parent)


def test_object_storage_is_asked_only_where_it_is_needed(release_dir, document):
    document["dataset_index"][0]["obs_path"] = "obs://bucket/people.jsonl"
    release = open_release(root=write_release(release_dir, document))
    assert rows(release.select(["seg_lane"])) == [("高速_joint", 3, {"seg_lane"})]
    with raises("E124", "no storage profile says where obs://bucket is"):
        release.select(["det_person"])


def test_pending_entry_is_refused_only_where_it_is_needed(release_dir, document):
    document["dataset_index"][0] |= {"obs_path": "", "status": "pending"}
    release = open_release(root=write_release(release_dir, document))
    assert rows(release.select(["seg_lane"]))
    with raises("E206", "no data yet"):
        release.select(["det_person"])


def test_missing_index_names_the_nearest(release_dir):
    (release_dir / "people.jsonl").rename(release_dir / "peoples.jsonl")
    with raises("E401", "did you mean 'peoples.jsonl'"):
        open_release(root=release_dir).select(["det_person"])


@pytest.mark.parametrize(("key", "value"), [("bytes", 1), ("num_samples", 3), ("sha256", "0" * 64)])
def test_integrity_is_verified(release_dir, document, key, value):
    pinned = integrity(release_dir / "people.jsonl", 2)
    document["dataset_index"][0]["integrity"] = pinned
    write_release(release_dir, document)
    open_release(root=release_dir).select(["det_person"])
    document["dataset_index"][0]["integrity"] = pinned | {key: value}
    write_release(release_dir, document)
    with raises("E402"):
        open_release(root=release_dir).select(["det_person"])


def test_digest_depends_on_content_not_on_place(release_dir, tmp_path):
    first = open_release(root=release_dir).digest
    moved = tmp_path / "moved"
    shutil.copytree(release_dir, moved)
    assert open_release(root=moved).digest == first
    write_jsonl(moved / "people.jsonl", ["p0", "p2"])
    assert open_release(root=moved).digest != first


@pytest.mark.parametrize("arguments", [{}, {"root": "a", "repo": "b", "ref": "c"}, {"repo": "b"}, {"root": "a", "ref": "c"}])
def test_root_or_repo_with_ref(arguments):
    with pytest.raises(DataReleaseError, match="either a folder or a repository"):
        open_release(**arguments)


def test_no_file(tmp_path, release_dir):
    with raises("E201", "there is no folder"):
        open_release(root=tmp_path / "nowhere")
    with raises("E201", "give the folder"):
        open_release(root=release_dir / "training_dataset.json")
    with raises("E201", "kind='dagger'"):
        open_release(root=tmp_path)


def test_dagger_file_is_read_only_when_asked_for(tmp_path, document):
    document["meta"]["training_type"] = "dagger"
    root = write_release(tmp_path / "dagger", document, "training_dataset.dagger.json")
    with raises("E201"):
        open_release(root=root)
    assert open_release(root=root, kind="dagger").meta.training_type == "dagger"
    write_release(root, document)
    with raises("E106"):
        open_release(root=root)


# ---- git ----


def git(folder, *arguments):
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, env=env, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(release_dir):
    """Tag multi_task/v1.0.0 holds duplicate 5 and people p0, p1; the branch has moved on to duplicate 7 and p0, p1, p2."""
    git(release_dir, "init", "-q", "-b", "main")
    git(release_dir, "checkout", "-q", "-b", "master/multi_task")
    git(release_dir, "add", ".")
    git(release_dir, "commit", "-q", "-m", "first")
    git(release_dir, "tag", "-a", "-m", "x", "multi_task/v1.0.0")
    dataset = release_dir / "training_dataset.json"
    dataset.write_text(dataset.read_text().replace('"duplicate": 5', '"duplicate": 7'))
    write_jsonl(release_dir / "people.jsonl", ["p0", "p1", "p2"])
    git(release_dir, "commit", "-q", "-a", "-m", "second")
    return release_dir


def people(repo, ref):
    (entry, *_) = open_release(repo=repo, ref=ref).select(["det_person"])
    return entry.duplicate, len(JsonlIndex(entry.index_path)), entry.base_dir


def test_reads_a_tag_a_commit_and_a_branch_never_the_working_tree(repository):
    (repository / "training_dataset.json").write_text("dirty")
    (repository / "people.jsonl").write_text("dirty")
    first = git(repository, "rev-parse", "multi_task/v1.0.0^{commit}")
    assert people(repository, "multi_task/v1.0.0") == (5, 2, repository)
    assert people(repository, "refs/tags/multi_task/v1.0.0") == (5, 2, repository)
    assert people(repository, first) == (5, 2, repository)
    assert people(repository, first[:10]) == (5, 2, repository)
    assert people(repository, "master/multi_task") == (7, 3, repository)
    assert open_release(repo=repository, ref="multi_task/v1.0.0").commit == first


def test_tag_wins_over_a_branch_and_a_sha_of_the_same_name(repository):
    git(repository, "branch", "multi_task/v1.0.0", "HEAD")
    assert people(repository, "multi_task/v1.0.0")[0] == 5
    assert people(repository, "refs/heads/multi_task/v1.0.0")[0] == 7
    second = git(repository, "rev-parse", "HEAD")
    git(repository, "tag", second[:12], "multi_task/v1.0.0")
    assert people(repository, second[:12])[0] == 5


@pytest.mark.parametrize(
    "ref", ["multi_task/v1.0.1", "multi_task/v1.0.0~0", "multi_task/v1.0.0^{tree}", "HEAD", "", "--all", "@{u}"]
)
def test_what_names_nothing_is_refused(repository, ref):
    with raises("E207"):
        open_release(repo=repository, ref=ref)


def test_unknown_tag_names_the_nearest(repository):
    with raises("E207", "did you mean 'multi_task/v1.0.0'.*git fetch --tags"):
        open_release(repo=repository, ref="multi_tsk/v1.0.0")


def test_bare_clone_and_environment_of_a_hook(repository, tmp_path, monkeypatch):
    git(tmp_path, "clone", "-q", "--bare", str(repository), "bare.git")
    git(tmp_path, "init", "-q", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert people(tmp_path / "bare.git", "multi_task/v1.0.0") == (5, 2, tmp_path / "bare.git")


def test_bad_line_of_a_tracked_file_is_named_after_it(repository):
    (repository / "people.jsonl").write_text("{")
    git(repository, "commit", "-q", "-a", "-m", "third")
    (entry, _) = open_release(repo=repository, ref="master/multi_task").select(["det_person"])
    with pytest.raises(RecordError, match=r"people\.jsonl:1:2"):
        JsonlIndex(entry.index_path)


def test_a_subfolder_finds_its_repository(repository):
    assert people(repository / "lists", "multi_task/v1.0.0") == (5, 2, repository)


def test_no_repository(tmp_path):
    with pytest.raises(DataReleaseError, match="not a git repository"):
        open_release(repo=tmp_path, ref="x")
    with pytest.raises(DataReleaseError, match="no such data release repository"):
        open_release(repo=tmp_path / "gone", ref="x")


def test_commit_without_the_file(repository):
    git(repository, "rm", "-q", "training_dataset.json")
    git(repository, "commit", "-q", "-m", "third")
    with raises("E201", "there is no training_dataset.json"):
        open_release(repo=repository, ref="master/multi_task")


def test_untracked_index_must_be_pinned(repository, document):
    joint = repository / "lists" / "joint.jsonl"
    git(repository, "rm", "-q", "--cached", "lists/joint.jsonl")
    git(repository, "commit", "-q", "-m", "third")
    with raises("E206", "commit the file, or write its integrity"):
        open_release(repo=repository, ref="master/multi_task").select(["seg_lane"])
    document["dataset_index"][1]["integrity"] = integrity(joint, 3)
    write_release(repository, document)
    git(repository, "commit", "-q", "-m", "fourth", "training_dataset.json")
    (entry,) = open_release(repo=repository, ref="master/multi_task").select(["seg_lane"])
    assert (entry.index_path, entry.base_dir) == (joint, joint.parent)
    write_jsonl(joint, ["j0", "j1", "j3"])
    with raises("E402"):
        open_release(repo=repository, ref="master/multi_task").select(["seg_lane"])


def test_digest_is_the_same_for_the_repository_and_a_checkout(repository, tmp_path):
    git(tmp_path, "clone", "-q", "-b", "multi_task/v1.0.0", str(repository), "checkout")
    assert open_release(repo=repository, ref="multi_task/v1.0.0").digest == open_release(root=tmp_path / "checkout").digest
