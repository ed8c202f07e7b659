"""Which code ran: commit, dirty flag, and a hash of what differs that can be computed by hand."""

import hashlib
import os
import subprocess

import pytest

from admlops import __version__
from admlops.data_release.code_state import origin_url, read_code_state
from admlops.data_release.git_repository import GitRepository


def git(folder, *arguments):
    identity = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.com")
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def hash_of(**contents):
    """What ``read_code_state`` promises: a line ``path NUL sha256`` a file, sorted by path."""
    lines = b""
    for path, content in sorted(contents.items()):
        digest = "deleted" if content is None else hashlib.sha256(content).hexdigest()
        lines += f"{path.replace('__', '.')}\0{digest}\n".encode()
    return hashlib.sha256(lines).hexdigest()


@pytest.fixture
def code(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "net.py").write_bytes(b"a = 1\n")
    (folder / "notes.txt").write_bytes(b"x")
    (folder / ".gitignore").write_bytes(b"ignored.py\n")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "Begin")
    return folder


def test_clean(code):
    # Neither of these can change what a run does.
    (code / "ignored.py").write_bytes(b"b = 2\n")
    (code / "results.csv").write_bytes(b"1,2\n")
    state = read_code_state(code)
    assert state.to_json() == {
        "version": __version__,
        "repository": None,
        "commit": git(code, "rev-parse", "HEAD"),
        "dirty": False,
        "diff_sha256": None,
        "why_unknown": None,
    }


@pytest.mark.parametrize("staged", [False, True])
def test_changed_deleted_and_untracked_files_make_it_dirty(code, staged):
    (code / "net.py").write_bytes(b"a = 2\n")
    (code / "notes.txt").unlink()
    (code / "config.yaml").write_bytes(b"lr: 1\n")
    if staged:
        git(code, "add", "-A")
    state = read_code_state(code)
    assert state.dirty
    assert state.diff_sha256 == hash_of(net__py=b"a = 2\n", notes__txt=None, config__yaml=b"lr: 1\n")


def test_a_touched_file_is_not_a_changed_one(code):
    os.utime(code / "net.py", (1, 1))
    assert read_code_state(code).dirty is False


def test_a_wheel_inside_somebodys_repository_is_not_that_repository(code):
    (code / ".gitignore").write_bytes(b".venv\n")
    git(code, "commit", "-q", "-am", "Ignore")
    installed = code / ".venv" / "admlops"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_bytes(b"")
    state = read_code_state(installed)
    assert (state.version, state.commit, state.dirty) == (__version__, None, None)
    assert state.why_unknown.startswith("no repository")


def test_no_repository_and_no_commit_are_told_not_raised(tmp_path):
    assert "not a git repository" in read_code_state(tmp_path).why_unknown
    git(tmp_path, "init", "-q")
    (tmp_path / "net.py").write_bytes(b"")
    git(tmp_path, "add", "-A")
    assert read_code_state(tmp_path).commit is None


@pytest.mark.parametrize(
    ("url", "recorded"),
    [
        ("https://ada:secret@example.com/group/code.git?token=1", "https://example.com/group/code.git"),
        ("git@example.com:group/code.git", "git@example.com:group/code.git"),
    ],
)
def test_a_repository_is_named_without_secrets(code, url, recorded):
    git(code, "remote", "add", "origin", url)
    assert origin_url(GitRepository.open(code)) == recorded
    assert read_code_state(code).repository == recorded
