"""Which code ran: the commit, and a hash of what differs from it."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from admlops import __version__
from admlops.data_release.git_repository import GitRepository
from admlops.errors import AdmlopsError

PACKAGE_DIR = Path(__file__).resolve().parents[1]

_CODE = ("*.py", "*.yaml", "*.yml", "*.toml")
"""Untracked files that can change what a run does: Python, configs among them, and settings."""


@dataclass(frozen=True)
class CodeState:
    """The code of a run.

    Attributes:
        version: Of the package.
        repository: Address of the remote ``origin`` without credentials; None where there is none.
        commit: Full sha; None where the code comes from no repository, such as a wheel.
        dirty: Whether tracked files differ from the commit, or untracked Python and settings files lie beside them.
        diff_sha256: Hash of what makes it dirty, see ``read_code_state``; None where it is clean.
        why_unknown: Why there is no commit; None where there is one.
    """

    version: str
    repository: str | None = None
    commit: str | None = None
    dirty: bool | None = None
    diff_sha256: str | None = None
    why_unknown: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        return asdict(self)


def read_code_state(folder: Path = PACKAGE_DIR) -> CodeState:
    r"""Find out which code a folder holds. Never raises: a run must not fail because git does.

    The hash is that of the lines ``<path>\\0<sha256 of the content, or "deleted">\\n`` of all files that differ, sorted, so
    it depends on no setting of git and can be computed by hand.

    Args:
        folder: In a repository; by default this package's.

    Returns:
        Its state.
    """
    version = __version__
    try:
        repository = GitRepository.open(folder)
        top = repository.base_dir.resolve()
        inside = folder.resolve().relative_to(top)
        if not repository.run("--literal-pathspecs", "ls-files", "-z", "--", str(inside)):
            # A wheel in a virtual environment that lies in somebody's repository.
            return CodeState(version, why_unknown="no repository: git does not track the package's files")
        commit = repository.run("rev-parse", "--verify", "HEAD^{commit}")
        # No lock: others may be committing.
        changed = repository.run("--no-optional-locks", "diff", "--name-only", "--no-renames", "-z", "HEAD", "--")
        untracked = repository.run("ls-files", "-z", "--others", "--exclude-standard", "--", *_CODE)
        url = origin_url(repository)
    except (AdmlopsError, ValueError) as error:
        reason = getattr(error, "got", None) or error
        return CodeState(version, why_unknown=f"no repository: {reason}")
    paths = sorted({path for path in (changed + "\0" + untracked).split("\0") if path})
    return CodeState(version, url, commit, bool(paths), _hash_of(top, paths) if paths else None)


def origin_url(repository: GitRepository) -> str | None:
    """Tell where a repository was cloned from.

    Args:
        repository: Any.

    Returns:
        Address of the remote ``origin``, without a user's name and password; None where there is no such remote.
    """
    answer = repository.git("config", "--get", "remote.origin.url")
    url = answer.stdout.decode("utf-8", "replace").strip()
    if "://" in url:
        parts = urlsplit(url)
        url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))
    return url or None


def _hash_of(top: Path, paths: list[str]) -> str:
    hasher = hashlib.sha256()
    for path in paths:
        file = top / path
        if file.is_symlink():
            content = hashlib.sha256(str(file.readlink()).encode()).hexdigest()
        elif file.is_file():
            content = hashlib.sha256(file.read_bytes()).hexdigest()
        else:
            content = "folder" if file.is_dir() else "deleted"
        hasher.update(f"{path}\0{content}\n".encode())
    return hasher.hexdigest()
