"""A tag that was read once never stands for something else later: each way to move one is named where it is met."""

import os
import subprocess
import sys

import pytest
from git_commands import git
from release_repository import dataset, make_repository, make_tag, release

from admlops.data_release import open_release
from admlops.data_release.git_repository import GitRepository
from admlops.data_release.repository.check import check_release
from admlops.data_release.repository.doctor import diagnose
from admlops.data_release.repository.validate import validate
from admlops.errors import DataReleaseError


@pytest.fixture
def repo(tmp_path):
    repo = make_repository(tmp_path / "repo")
    make_tag(repo, "god/v1.0.0")
    return repo


def move(repo, tag="god/v1.0.0"):
    release(repo, dataset())
    git(repo, "tag", "-d", tag)
    return make_tag(repo, tag)


def test_open_release_remembers_and_names_a_moved_tag(repo):
    first = open_release(repo=repo, ref="god/v1.0.0")
    seen = git(repo, "rev-parse", "refs/admlops/seen/god/v1.0.0")
    assert seen == git(repo, "rev-parse", "refs/tags/god/v1.0.0")
    now = move(repo)
    with pytest.raises(DataReleaseError, match="moved or made again") as caught:
        open_release(repo=repo, ref="god/v1.0.0")
    error = caught.value
    assert (error.code, error.expected, error.got) == ("E207", f"object {seen}", f"object {now}")
    # What the tag was is still there, and can be opened by its commit.
    git(repo, "reflog", "expire", "--expire=now", "--all")
    git(repo, "gc", "-q", "--prune=now")
    assert open_release(repo=repo, ref=first.commit).file_sha256 == first.file_sha256
    git(repo, "update-ref", "-d", "refs/admlops/seen/god/v1.0.0")
    open_release(repo=repo, ref="god/v1.0.0")


def test_made_again_of_the_same_commit_is_another_object(repo):
    open_release(repo=repo, ref="god/v1.0.0")
    git(repo, "tag", "-d", "god/v1.0.0")
    make_tag(repo, "god/v1.0.0", "other text")
    with pytest.raises(DataReleaseError, match="made again"):
        open_release(repo=repo, ref="god/v1.0.0")


def test_a_deleted_tag_is_told_from_one_that_never_was(repo):
    open_release(repo=repo, ref="god/v1.0.0")
    git(repo, "tag", "-d", "god/v1.0.0")
    with pytest.raises(DataReleaseError, match="read here before"):
        open_release(repo=repo, ref="god/v1.0.0")


def test_validate_and_doctor_name_it_beside_other_faults(repo):
    open_release(repo=repo, ref="god/v1.0.0")
    move(repo)
    assert [problem.code for problem in validate(repo, "god/v1.0.0").problems] == ["E207"]
    assert [problem.code for problem in diagnose(repo).problems if not problem.warning] == ["E207"]
    git(repo, "tag", "-d", "god/v1.0.0")
    assert "deleted" in next(problem.what for problem in diagnose(repo).problems if problem.code == "E207")


def test_a_tag_that_is_another_one_at_the_remote(repo):
    git(repo.parent, "clone", "-q", str(repo), "clone")
    clone = GitRepository.open(repo.parent / "clone")
    commit = clone.resolve("god/v1.0.0")
    assert check_release(clone, commit, tag="god/v1.0.0", remote="origin") == ()
    move(repo)
    (problem,) = check_release(clone, commit, tag="god/v1.0.0", remote="origin")
    assert (problem.code, problem.warning) == ("E207", False)
    assert [p.code for p in diagnose(clone.path, remote="origin").problems if not p.warning] == ["E207"]
    (problem,) = check_release(clone, commit, tag="god/v1.0.1", remote="origin")
    make_tag(repo, "god/v1.0.1")
    assert problem.code == "E205"  # meta.version; the remote had no such tag yet
    assert "E207" in {p.code for p in check_release(clone, commit, tag="god/v1.0.1", remote="origin")}
    git(repo, "tag", "-d", "god/v1.0.0")
    (problem,) = check_release(clone, commit, tag="god/v1.0.0", remote="origin")
    assert (problem.code, problem.warning, problem.what) == ("E207", True, "origin has no god/v1.0.0")


def test_a_rewritten_remote_branch_between_tags(repo):
    release(repo, dataset("v1.1.0"))
    git(repo.parent, "clone", "-q", "-b", "master/god", str(repo), "clone")
    clone = repo.parent / "clone"
    git(repo, "reset", "-q", "--hard", "HEAD~1")
    release(repo, dataset("v1.1.0"), "instead")
    git(clone, "fetch", "-q")
    whats = [problem.what for problem in diagnose(clone).problems if problem.code == "E203"]
    assert "origin/master/god was rewritten" in whats


def test_many_processes_resolve_at_once(repo):
    imports = "import sys; from admlops.data_release.git_repository import GitRepository"
    code = f"{imports}; GitRepository.open(sys.argv[1]).resolve('god/v1.0.0')"
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    running = [subprocess.Popen([sys.executable, "-c", code, str(repo)], env=environ) for _ in range(4)]
    assert [process.wait() for process in running] == [0, 0, 0, 0]
    assert git(repo, "rev-parse", "refs/admlops/seen/god/v1.0.0") == git(repo, "rev-parse", "refs/tags/god/v1.0.0")


def test_a_repository_that_nobody_may_write_to(repo):
    # Root may write anywhere, so that a file takes the place of the folder instead of a permission.
    (repo / ".git" / "refs" / "admlops").write_text("")
    assert open_release(repo=repo, ref="god/v1.0.0").commit == git(repo, "rev-parse", "HEAD")
