"""``GitRepository.read`` and ``open``: what a commit holds, in few processes."""

import subprocess
from pathlib import Path

import pytest

from admlops.data_release import git_repository
from admlops.data_release.git_repository import GitRepository
from admlops.errors import DataReleaseError


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Reviewer", "-c", "user.email=reviewer@example.org"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(params=["sha1", "sha256"])
def repository(tmp_path: Path, request: pytest.FixtureRequest) -> GitRepository:
    git(tmp_path, "init", "--quiet", f"--object-format={request.param}")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "高速 a.jsonl").write_bytes(b"one\n\0two")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "link").symlink_to("empty")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    return GitRepository.open(tmp_path)


def test_reads_regular_files_only(repository: GitRepository) -> None:
    commit = git(repository.path, "rev-parse", "HEAD")
    assert repository.read(commit, "lists/高速 a.jsonl") == b"one\n\0two"
    assert repository.read(commit, "empty") == b""
    for absent in ("link", "lists", "missing", "missing/a", "lists/missing", "empty/a"):
        assert repository.read(commit, absent) is None


def test_an_object_that_is_gone_is_no_missing_file(repository: GitRepository) -> None:
    commit = git(repository.path, "rev-parse", "HEAD")
    sha = git(repository.path, "rev-parse", f"{commit}:empty")
    (repository.path / ".git" / "objects" / sha[:2] / sha[2:]).unlink()
    with pytest.raises(DataReleaseError) as caught:
        repository.read(commit, "empty")
    assert caught.value.code == "E401"


def test_a_tag_is_read_in_three_processes(repository: GitRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    git(repository.path, "tag", "multi_task/v1.0.0")
    bare = repository.path / "bare.git"
    git(repository.path, "clone", "--quiet", "--bare", ".", str(bare))
    run, calls = git_repository._git, []
    monkeypatch.setattr(git_repository, "_git", lambda *a, **k: calls.append(a) or run(*a, **k))
    for folder in (repository.path / "lists", bare):
        GitRepository.open(folder).resolve("multi_task/v1.0.0")  # the first time a tag is also remembered
        calls.clear()
        opened = GitRepository.open(folder)
        assert opened.path == (bare if folder is bare else repository.path)
        assert opened.read(opened.resolve("multi_task/v1.0.0"), "empty") == b""
        assert len(calls) == 3
