"""Real pushes into a bare repository whose pre-receive hook is the sample; real commits through the client's hooks."""

import os
import subprocess
import sys

import pytest
from git_commands import commit_all, git
from release_repository import MESSAGE, dataset, make_repository, make_tag, release

from admlops.data_release.repository.ci import write_ci


@pytest.fixture
def server(tmp_path, monkeypatch):
    script = tmp_path / "admlops"
    script.write_text(f"#!/bin/sh\nexec {sys.executable} -c 'from admlops.cli.main import main; main()' \"$@\"\n")
    script.chmod(0o755)
    monkeypatch.setenv("ADMLOPS", str(script))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    bare = tmp_path / "server.git"
    git(tmp_path, "init", "-q", "--bare", "-b", "main", str(bare))
    return bare


@pytest.fixture
def repo(tmp_path, server):
    repo = make_repository(tmp_path / "repo")
    assert write_ci(repo).written
    (server / "hooks" / "pre-receive").write_bytes((repo / ".githooks/server/pre-receive").read_bytes())
    (server / "hooks" / "pre-receive").chmod(0o755)
    git(repo, "config", "core.hooksPath", ".git/hooks")  # none, so that the server decides
    git(repo, "remote", "add", "origin", str(server))
    git(repo, "push", "-q", "origin", "main", "master/god")
    make_tag(repo, "god/v1.0.0")
    git(repo, "push", "-q", "origin", "god/v1.0.0")
    return repo


def refused(repo, *arguments):
    with pytest.raises(subprocess.CalledProcessError) as caught:
        git(repo, *arguments)
    return caught.value.stderr


def test_what_keeps_the_rules_is_accepted(repo, server):
    release(repo, dataset("v1.1.0"))
    make_tag(repo, "god/v1.1.0")
    git(repo, "push", "-q", "--atomic", "origin", "master/god", "god/v1.1.0")
    git(repo, "switch", "-q", "-c", "feature_dataset/god/night/clean")
    release(repo, dataset("v1.2.0"))
    git(repo, "push", "-q", "origin", "HEAD")
    git(repo, "commit", "-q", "--amend", "-m", MESSAGE.format("anew"))
    git(repo, "push", "-q", "-f", "origin", "HEAD")
    git(repo, "push", "-q", "origin", ":feature_dataset/god/night/clean")
    assert git(server, "for-each-ref", "--format=%(refname)").splitlines() == [
        "refs/heads/main",
        "refs/heads/master/god",
        "refs/tags/god/v1.0.0",
        "refs/tags/god/v1.1.0",
    ]


def test_a_moved_and_a_deleted_tag(repo, server):
    before = git(server, "rev-parse", "god/v1.0.0")
    release(repo, dataset())
    git(repo, "tag", "-d", "god/v1.0.0")
    make_tag(repo, "god/v1.0.0")
    git(repo, "push", "-q", "origin", "master/god")
    assert "[E207]: god/v1.0.0 would be moved" in refused(repo, "push", "-f", "origin", "god/v1.0.0")
    assert "[E207]: god/v1.0.0 would be deleted" in refused(repo, "push", "origin", ":refs/tags/god/v1.0.0")
    assert git(server, "rev-parse", "god/v1.0.0") == before


def test_a_second_dataset_file(repo):
    (repo / "training_dataset_v2.json").write_text("{}")
    commit_all(repo, MESSAGE.format("x"))
    assert "[E201]: a second dataset file" in refused(repo, "push", "origin", "master/god")


def test_a_task_branch_that_loses_commits(repo):
    git(repo, "commit", "-q", "--amend", "-m", MESSAGE.format("other"))
    assert "[E203]: master/god would lose commits" in refused(repo, "push", "-f", "origin", "master/god")
    assert "[E203]: master/god would be deleted" in refused(repo, "push", "origin", ":master/god")


def test_a_message_out_of_form_and_a_wrong_name(repo):
    git(repo, "switch", "-q", "-c", "feature_dataset/god/night/clean")
    commit_all(repo, "quick fix")
    commit_all(repo, MESSAGE.format("good again"))
    assert "[E209]: the message holds no structured part" in refused(repo, "push", "origin", "HEAD")
    assert "[E208]: not a name of a branch" in refused(repo, "push", "origin", "HEAD:refs/heads/night")


def test_tags_out_of_form_and_faults_of_several_refs_at_once(repo):
    git(repo, "tag", "god/v1.0.1")
    git(repo, "tag", "-a", "god/v1.0", "-m", "x")
    said = refused(repo, "push", "origin", "god/v1.0.1", "god/v1.0")
    assert "god/v1.0.1 [E205]: a lightweight tag" in said
    assert "god/v1.0 [E208]: not a name of a tag" in said


def test_a_tag_whose_branch_comes_in_the_same_push(repo):
    release(repo, dataset("v1.1.0"))
    make_tag(repo, "god/v1.1.0")
    assert "[E202]: the tag is not on master/god" in refused(repo, "push", "origin", "god/v1.1.0")
    git(repo, "push", "-q", "origin", "master/god", "god/v1.1.0")


def test_a_server_without_admlops_refuses(repo, monkeypatch):
    monkeypatch.setenv("ADMLOPS", "/nowhere/admlops")
    release(repo, dataset("v1.1.0"))
    assert "so nothing can be pushed" in refused(repo, "push", "origin", "master/god")


def test_hooks_of_a_client(repo, monkeypatch):
    git(repo, "config", "core.hooksPath", ".githooks")
    (repo / "training_dataset_v2.json").write_text("{}")
    git(repo, "add", "-A")
    assert "[E209]" in refused(repo, "commit", "-m", "quick fix")
    git(repo, "commit", "-q", "-m", MESSAGE.format("x"))
    said = refused(repo, "push", "origin", "master/god")
    assert "pre-push: refused" in said
    assert "remote:" not in said
    git(repo, "rm", "-q", "-f", "training_dataset_v2.json")
    git(repo, "commit", "-q", "-m", MESSAGE.format("y"))
    git(repo, "push", "-q", "origin", "master/god")
    git(repo, "switch", "-q", "main")
    git(repo, "commit", "-q", "--allow-empty", "-m", "what I like")
    git(repo, "switch", "-q", "master/god")
    git(repo, "switch", "-q", "-c", "feature_dataset/god/night/clean")
    git(repo, "commit", "-q", "--allow-empty", "-m", MESSAGE.format("z"))
    git(repo, "switch", "-q", "master/god")
    git(repo, "merge", "-q", "--no-ff", "--no-edit", "feature_dataset/god/night/clean")
    monkeypatch.setenv("ADMLOPS", "/nowhere/admlops")
    git(repo, "commit", "-q", "--allow-empty", "-m", "not checked here")


def test_files_are_not_overwritten_unasked(repo):
    file = repo / ".githooks" / "pre-push"
    file.write_text("#!/bin/sh\n")
    outcome = write_ci(repo)
    assert (outcome.kept, outcome.ok, file.read_text()) == ((".githooks/pre-push",), False, "#!/bin/sh\n")
    assert write_ci(repo, overwrite=True).written == (".githooks/pre-push",)
    assert write_ci(repo).ok
