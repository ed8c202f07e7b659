"""Beginning a repository, moving one from a trunk called master, and finding what is unhealthy about one."""

import subprocess

import pytest
from git_commands import commit_all, git
from release_repository import MESSAGE, dataset, make_repository, release

from admlops.data_release.repository.doctor import diagnose
from admlops.data_release.repository.init import init
from admlops.data_release.repository.validate import validate
from admlops.errors import DataReleaseError


def whats(folder):
    return {problem.what: problem.code for problem in diagnose(folder).problems}


def test_an_empty_folder_becomes_a_valid_repository(tmp_path):
    outcome = init(tmp_path / "new", tasks=["god_base=GOD-Base", "multi_task"])
    assert "wrote data_release.yaml: god_base, multi_task" in outcome.done
    validation = validate(tmp_path / "new")
    assert [(problem.code, problem.warning) for problem in validation.problems] == [("E206", True)]
    assert [problem.code for problem in validate(tmp_path / "new", strict=True).problems] == ["E206"]
    again = init(tmp_path / "new", tasks=["other"])
    assert (again.done, again.hooks.written) == (("kept data_release.yaml: god_base, multi_task",), ())
    for step in outcome.next_steps[1:]:
        for command in step.split(" && "):
            words = command.split()[1:]
            git(tmp_path / "new", "-c", "core.hooksPath=/nowhere", *words, *(["-m", "first"] if "commit" in words else []))
    assert diagnose(tmp_path / "new").problems == ()


def test_existing_files_are_left_alone(tmp_path):
    repo = make_repository(tmp_path / "repo")
    before = git(repo, "rev-parse", "HEAD^{tree}")
    init(repo)
    assert git(repo, "status", "--short", "--untracked-files=no") == ""
    assert git(repo, "rev-parse", "HEAD^{tree}") == before


@pytest.fixture
def legacy(tmp_path):
    server = tmp_path / "server.git"
    git(tmp_path, "init", "-q", "--bare", "-b", "master", str(server))
    git(tmp_path, "clone", "-q", str(server), "legacy")
    repo = tmp_path / "legacy"
    git(repo, "symbolic-ref", "HEAD", "refs/heads/master")
    release(repo, dataset())
    git(repo, "push", "-q", "-u", "origin", "master")
    return repo


def test_a_trunk_called_master_is_renamed_only_when_asked_for(legacy):
    with pytest.raises(DataReleaseError, match="--migrate"):
        init(legacy)
    assert git(legacy, "status", "--short") == ""
    assert whats(legacy)["a trunk called master keeps branches master/<task> from being made"] == "E210"
    commit = git(legacy, "rev-parse", "HEAD")
    outcome = init(legacy, tasks=["god"], migrate=True)
    assert git(legacy, "symbolic-ref", "--short", "HEAD") == "main"
    assert git(legacy, "rev-parse", "main") == commit
    git(legacy, "push", "-q", "origin", "main")
    git(legacy.parent / "server.git", "symbolic-ref", "HEAD", "refs/heads/main")
    assert outcome.next_steps[2].startswith("git push origin --delete master ")
    git(legacy, "push", "-q", "origin", "--delete", "master")
    git(legacy, "branch", "master/god")
    git(legacy, "push", "-q", "origin", "master/god")


def test_nothing_is_renamed_beside_another_main(legacy):
    git(legacy, "branch", "main")
    with pytest.raises(DataReleaseError, match="there are branches master and main"):
        init(legacy, migrate=True)
    assert git(legacy, "symbolic-ref", "--short", "HEAD") == "master"


def test_a_task_without_a_valid_name(tmp_path):
    with pytest.raises(DataReleaseError, match="E122"):
        init(tmp_path / "new", tasks=["God=GOD"])


def test_doctor_names_what_is_unhealthy(tmp_path):
    repo = make_repository(tmp_path / "repo")
    git(repo, "config", "core.hooksPath", ".githooks")
    git(repo, "branch", "master/hd")
    git(repo, "branch", "master/unknown")
    git(repo, "branch", "feature_dataset/night")
    git(repo, "branch", "scratch")
    git(repo, "tag", "old-name")
    (repo / "training_dataset_2.json").write_text("{}")
    commit_all(repo, MESSAGE.format("x"))
    found = whats(repo)
    assert found == {
        "a task branch that is not registered": "E210",
        "it keeps feature_dataset/night/<method> from being made": "E210",
        "not a name of a branch": "E208",
        "not a name of a tag": "E208",
        "a second dataset file": "E201",
        "entry 'a' does nothing for hd": "E204",
        "the hook commit-msg is missing": "E211",
        "the hook pre-push is missing": "E211",
    }
    with pytest.raises(subprocess.CalledProcessError) as caught:
        git(repo, "branch", "feature_dataset/night/clean")
    assert "cannot lock ref" in caught.value.stderr


def test_doctor_of_a_clone_sees_conflicts_between_here_and_there(tmp_path):
    repo = make_repository(tmp_path / "repo")
    git(tmp_path, "clone", "-q", str(repo), "clone")
    clone = tmp_path / "clone"
    git(repo, "branch", "experiment/a/b")
    git(clone, "fetch", "-q")
    git(clone, "branch", "experiment/a")
    assert whats(clone)["experiment/a and experiment/a/b cannot be in one repository"] == "E210"


def test_doctor_of_the_machine(tmp_path, monkeypatch):
    repo = make_repository(tmp_path / "repo")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ADMLOPS_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr("admlops.data_release.repository.doctor.OLDEST_GIT", (99, 0))
    monkeypatch.setenv("ADMLOPS_STORAGE", str(tmp_path / "absent.yaml"))
    assert {"E212", "E404", "E401"} <= {problem.code for problem in diagnose(repo).problems}
