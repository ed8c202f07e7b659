"""Which branch a task has."""

from __future__ import annotations

from admlops.data_release.git_repository import GitRepository
from admlops.data_release.repository.history import find_trunk
from admlops.data_release.repository.registry import read_registry


def branch_of_task(repository: GitRepository, task: str, remote: str = "origin") -> str:
    """Look up the branch of a task, as the trunk registers it.

    Args:
        repository: Where to look.
        task: Its identifier.
        remote: Whose branches are followed where they do not exist here.

    Returns:
        Name of the branch; ``master/TASK`` where the trunk registers no such task.

    Raises:
        DataReleaseError: E120 to E127, the trunk's registry is invalid.
    """
    trunk = find_trunk(repository, remote)
    registry = read_registry(repository, trunk.commit) if trunk else None
    entry = registry.tasks.get(task) if registry else None
    return entry.branch if entry else f"master/{task}"
