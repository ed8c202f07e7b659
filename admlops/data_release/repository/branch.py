"""Open feature and experiment branches by the rules; find those that nobody works on any more."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from admlops.data_release import names
from admlops.data_release.git_repository import GitRepository
from admlops.data_release.repository.branches import BranchInfo, list_branches
from admlops.data_release.repository.history import (
    NO_OBJECT,
    Branch,
    find_branch,
    find_trunk,
    refuse_name_conflict,
)
from admlops.data_release.repository.task_branch import branch_of_task
from admlops.data_release.text_table import text_table
from admlops.errors import DataReleaseError

_SHORT_LIVED = ("feature_dataset/", "experiment/", "hotfix/")


@dataclass(frozen=True)
class BranchOutcome:
    """A branch that was opened.

    Attributes:
        branch: Its name.
        base: The branch that it starts from.
        commit: Where it starts.
    """

    branch: str
    base: str
    commit: str

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        return asdict(self)

    def to_text(self) -> str:
        """Lay it out for a terminal."""
        return f"{self.branch}  starts from {self.base} ({self.commit[:12]})\n  next  git switch {self.branch}"


@dataclass(frozen=True)
class StaleBranch:
    """A branch that should be looked at.

    Attributes:
        branch: What it is.
        reasons: Why.
    """

    branch: BranchInfo
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        return {**self.branch.to_json(), "reasons": list(self.reasons)}


@dataclass(frozen=True)
class StaleOutcome:
    """Branches that should be looked at.

    Attributes:
        days: Longer than this without a commit is stale.
        branches: Newest first.
    """

    days: int
    branches: tuple[StaleBranch, ...]

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        return {"days": self.days, "branches": [row.to_json() for row in self.branches]}

    def to_text(self) -> str:
        """Lay it out for a terminal."""
        if not self.branches:
            return f"no branch is merged, in the way, or without commits for more than {self.days} days"
        rows = [(row.branch.name, row.branch.date[:10], row.branch.author, "; ".join(row.reasons)) for row in self.branches]
        return text_table(("branch", "newest", "author", "why"), rows)


def open_feature(
    repo: str | Path, topic: str, method: str, *, task: str | None = None, remote: str = "origin"
) -> BranchOutcome:
    """Open ``feature_dataset/[TASK/]TOPIC/METHOD`` from the task's branch, else from the trunk.

    Args:
        repo: The repository.
        topic: What the data are about.
        method: What is done to them.
        task: Whose data; None for data of all tasks.
        remote: Whose branches are followed where they do not exist here.

    Returns:
        The branch; nothing is checked out.

    Raises:
        DataReleaseError: The name breaks the rules, is taken or in conflict with another; or there is no base.
    """
    return _open(repo, "/".join(part for part in ("feature_dataset", task, topic, method) if part is not None), task, remote)


def open_experiment(repo: str | Path, task: str, trial: str, *, remote: str = "origin") -> BranchOutcome:
    """Open ``experiment/TASK/TRIAL`` from the task's branch.

    Args:
        repo: The repository.
        task: Whose data.
        trial: What is tried.
        remote: Whose branches are followed where they do not exist here.

    Returns:
        The branch; nothing is checked out.

    Raises:
        DataReleaseError: The name breaks the rules, is taken or in conflict with another; or there is no base.
    """
    return _open(repo, f"experiment/{task}/{trial}", task, remote)


def stale_branches(repo: str | Path, *, days: int = 90, remote: str = "origin") -> StaleOutcome:
    """Find branches that can go or stand in the way.

    Args:
        repo: The repository.
        days: Longer than this without a commit is stale.
        remote: Whose branches are listed beside the ones here.

    Returns:
        Feature, experiment and hotfix branches that are merged or stale, and any branch whose name keeps others from existing.
    """
    repository = GitRepository.open(repo)
    branches = list_branches(repository, remote)
    lasting = [branch for branch in branches if names.is_branch(branch.name) and not branch.name.startswith(_SHORT_LIVED)]
    merged: dict[str, str] = {}
    for base in reversed(lasting):
        merged |= {branch.name: base.name for branch in list_branches(repository, remote, merged=base.commit)}
    found = []
    for branch in branches:
        reasons = []
        if branch.name.startswith(_SHORT_LIVED):
            if branch.name in merged:
                reasons.append(f"nothing that {merged[branch.name]} lacks")
            if branch.age_days > days:
                reasons.append(f"no commit for {branch.age_days} days")
        reasons += [reason for reason in [_in_the_way(branch.name)] if reason]
        if reasons:
            found.append(StaleBranch(branch, tuple(reasons)))
    return StaleOutcome(days, tuple(found))


def _in_the_way(name: str) -> str | None:
    if name == "master":
        return "git allows no master/TASK beside it: `admlops data init --migrate` renames it to main"
    if not names.is_branch(name):
        return f"no name by the rules: `git branch -m {name} feature_dataset/TOPIC/METHOD`, or another"
    return None


def _open(repo: str | Path, name: str, task: str | None, remote: str) -> BranchOutcome:
    if not names.is_branch(name):
        raise DataReleaseError(
            "this is no branch by the rules",
            expected="feature_dataset/[TASK/]TOPIC/METHOD or experiment/TASK/TRIAL, of letters, digits, `_`, `.` and `-`",
            got=repr(name),
            remedy="a task is written in small letters, digits and `_`; no part begins with `-` or `.`",
        )
    repository = GitRepository.open(repo)
    base = _base(repository, task, remote)
    refuse_name_conflict(repository, name, remote)
    message = f"admlops data branch: from {base.name}"
    repository.run("update-ref", "-m", message, f"refs/heads/{name}", base.commit, NO_OBJECT)
    return BranchOutcome(name, base.name, base.commit)


def _base(repository: GitRepository, task: str | None, remote: str) -> Branch:
    if task is not None:
        return find_branch(repository, branch_of_task(repository, task, remote), remote)
    return find_trunk(repository, remote) or find_branch(repository, "main", remote)
