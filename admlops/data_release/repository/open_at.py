"""Open what a name stands for: a tag, a commit, a branch, or what lies in the working tree."""

from __future__ import annotations

from pathlib import Path

from admlops.data_release.git_repository import GitRepository
from admlops.data_release.schema import Kind
from admlops.data_release.training_release import TrainingRelease, open_release
from admlops.errors import DataReleaseError

WORKTREE = "WORKTREE"
"""Names the files as they lie in the working tree, committed or not."""


def open_at(repo: str | Path, ref: str, kind: Kind = "regular") -> TrainingRelease:
    """Open a release of a repository.

    Args:
        repo: The repository.
        ref: Tag, commit, branch, or ``WORKTREE``.
        kind: ``"dagger"`` reads ``training_dataset.dagger.json``; the other file is not opened.

    Returns:
        The release.

    Raises:
        DataReleaseError: No such repository, ref (E207) or file (E201), or the file is invalid.
    """
    if ref != WORKTREE:
        return open_release(repo=repo, ref=ref, kind=kind)
    repository = GitRepository.open(repo)
    if repository.git("rev-parse", "--is-bare-repository").stdout.strip() == b"true":
        raise DataReleaseError(
            "a bare repository has no working tree", where=repository.path, remedy="name a tag, commit or branch", code="E207"
        )
    return open_release(root=repository.base_dir, kind=kind)
