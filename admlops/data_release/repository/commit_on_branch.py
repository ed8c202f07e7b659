"""A commit that a verb makes: checked by the rules before its branch moves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from admlops.data_release.dataset_file import InvalidDatasetFileError
from admlops.data_release.git_repository import GitRepository
from admlops.data_release.problem import errors_of
from admlops.data_release.repository.check import check_release
from admlops.data_release.repository.commit_message import build_message
from admlops.data_release.repository.history import Branch, advance_branch, write_commit


def commit_on_branch(
    repository: GitRepository,
    branch: Branch,
    tree: str,
    *,
    kind: str,
    description: str,
    details: Mapping[str, Any],
    check: bool = True,
) -> str:
    """Commit a tree on top of a branch.

    Args:
        repository: Where it is written.
        branch: As it was seen.
        tree: The content.
        kind: Of the change, such as ``add``.
        description: One line.
        details: What a reader of the history should know.
        check: Whether it has to be a valid release.

    Returns:
        Full sha of the commit.

    Raises:
        InvalidDatasetFileError: The content breaks a rule; the branch stays where it is.
        DataReleaseError: Nobody was named as the author, the hook refused, the branch moved or its checkout is in the way.
    """
    message = build_message(kind, description, details=details)
    commit = write_commit(repository, tree, branch.commit, message)
    errors = errors_of(check_release(repository, commit, branch=branch.name)) if check else ()
    if errors:
        raise InvalidDatasetFileError(errors, f"{branch.name}, had it been committed")
    advance_branch(repository, branch, commit, f"admlops data: {description}")
    return commit
