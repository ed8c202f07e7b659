"""Bring back the data of an older tag as a new commit; history is never rewritten."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from admlops.data_release.git_repository import GitRepository
from admlops.data_release.repository.commit_on_branch import commit_on_branch
from admlops.data_release.repository.history import find_branch, rows_of, write_tree
from admlops.data_release.repository.registry import REGISTRY_FILE
from admlops.data_release.schema import DATASET_FILE
from admlops.errors import DataReleaseError


@dataclass(frozen=True)
class RollbackOutcome:
    """A rollback that was made.

    Attributes:
        tag: Whose data are back.
        branch: Where.
        commit: The new commit.
        before: The commit that it follows.
        changed: Files and folders at the top of the repository that differ from the commit before.
    """

    tag: str
    branch: str
    commit: str
    before: str
    changed: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        return asdict(self)

    def to_text(self) -> str:
        """Lay it out for a terminal."""
        return (
            f"{self.branch}  {self.before[:12]} -> {self.commit[:12]}  has the data of {self.tag} again\n"
            f"  changed  {', '.join(self.changed)}\n"
            "  next     raise meta.version, commit, then `admlops data tag`, which pushes it"
        )


def rollback(repo: str | Path, tag: str, *, branch: str, message: str = "", remote: str = "origin") -> RollbackOutcome:
    """Commit the data of a tag on top of a branch.

    Everything comes back but the rules: ``data_release.yaml`` and what begins with a dot (hooks, CI) stay as they are.

    Args:
        repo: The repository.
        tag: Whose data come back; a commit is accepted too.
        branch: Where, such as ``master/multi_task``.
        message: Why, for the commit.
        remote: Whose branch is followed where it does not exist here.

    Returns:
        The new commit.

    Raises:
        DataReleaseError: E207, no such tag or branch; the branch has this content already; the old data break a rule of today;
            or the branch is checked out and changes there would be overwritten.
    """
    repository = GitRepository.open(repo)
    target = find_branch(repository, branch, remote)
    source = repository.resolve(tag)
    old, now = rows_of(repository, source), rows_of(repository, target.commit)
    if DATASET_FILE.encode() not in old:
        raise DataReleaseError(f"there is no {DATASET_FILE} to bring back", where=f"{tag} ({source[:12]})", code="E201")
    rows = {name: row for name, row in old.items() if not _is_rule(name)} | {
        name: row for name, row in now.items() if _is_rule(name)
    }
    changed = sorted(name.decode("utf-8", "replace") for name in rows.keys() | now.keys() if rows.get(name) != now.get(name))
    if not changed:
        raise DataReleaseError(f"{branch} has the data of {tag} already", where=repository.path, remedy="nothing is to be done")
    commit = commit_on_branch(
        repository,
        target,
        write_tree(repository, rows),
        kind="fix",
        description=f"roll back to {tag}",
        details={"data_of": source, "in_place_of": target.commit, **({"why": message} if message else {})},
    )
    return RollbackOutcome(tag, branch, commit, target.commit, tuple(changed))


def _is_rule(name: bytes) -> bool:
    return name.startswith(b".") or name == REGISTRY_FILE.encode()
