"""Register a task and open its branch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from admlops.data_release import names
from admlops.data_release.git_repository import GitRepository
from admlops.data_release.problem import errors_of
from admlops.data_release.repository.check import check_release
from admlops.data_release.repository.commit_on_branch import commit_on_branch
from admlops.data_release.repository.history import (
    NO_OBJECT,
    Branch,
    find_branch,
    find_commit,
    find_trunk,
    refuse_name_conflict,
    tree_with,
)
from admlops.data_release.repository.registry import REGISTRY_FILE, TaskEntry, parse_registry, read_registry
from admlops.errors import DataReleaseError


@dataclass(frozen=True)
class TaskAddOutcome:
    """A task that was registered.

    Attributes:
        task: Its identifier.
        branch: Its branch.
        commit: Where the branch begins.
        base: What it was begun from.
        registered_on: Branches whose ``data_release.yaml`` has the task now.
        refused_by: Rules that keep the branch from being pushed as it begins, such as E204: no entry serves the task yet.
    """

    task: str
    branch: str
    commit: str
    base: str
    registered_on: tuple[str, ...]
    refused_by: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        return asdict(self)

    def to_text(self) -> str:
        """Lay it out for a terminal."""
        pushed = [name for name in self.registered_on if name != self.branch or not self.refused_by]
        lines = [
            f"{self.task}  registered on {', '.join(self.registered_on)}",
            f"  {self.branch} begins at {self.commit[:12]}, from {self.base}",
            *([f"  next  git push origin {' '.join(pushed)}"] if pushed else []),
        ]
        if self.refused_by:
            entries = f"list entries of {self.task} on {self.branch}"
            lines.append(f"  then  {entries}: as it begins, {', '.join(self.refused_by)} keeps it from being pushed")
        return "\n".join(lines)


def task_add(
    repo: str | Path,
    task: str,
    *,
    display_name: str | None = None,
    allowed_tags: Sequence[str] = (),
    description: str = "",
    base: str | None = None,
    remote: str = "origin",
) -> TaskAddOutcome:
    """Register a task in ``data_release.yaml`` and open ``master/TASK``.

    The file is edited as text, so its comments stay. The task is registered on the trunk and on its new branch; other task
    branches do not need to know it.

    Args:
        repo: The repository.
        task: Its identifier.
        display_name: What its releases are called, before the version; None for a task that the trunk has registered already
            and whose branch is to be opened.
        allowed_tags: Tasks of which every entry on the branch serves at least one; the task itself where empty.
        description: For people.
        base: Branch or tag that the new branch begins from; the trunk where None.
        remote: Whose branches are followed where they do not exist here.

    Returns:
        The task and its branch.

    Raises:
        DataReleaseError: No valid identifier; the task or its branch is there already; a branch such as ``master`` keeps the
            new one from existing; or there is no registry to begin with.
    """
    if not names.is_task_name(task):
        expected = "a small letter, then small letters, digits and `_`, at most 64"
        raise DataReleaseError("this is no task's identifier", expected=expected, got=repr(task), remedy="such as god_base")
    repository = GitRepository.open(repo)
    trunk = find_trunk(repository, remote)
    if display_name is None:
        entry = _registered(repository, trunk, task)
    else:
        tags = tuple(allowed_tags) or (task,)
        # Not checked here: the edited file is, and its faults have a code, a line and a remedy.
        entry = TaskEntry.model_construct(
            display_name=display_name, branch=f"master/{task}", allowed_tags=tags, description=description
        )
    branch = entry.branch
    refuse_name_conflict(repository, branch, remote)
    start = _start(repository, base, trunk, remote)

    def register(on: Branch) -> str:
        content = repository.read(on.commit, REGISTRY_FILE)
        if content is None:
            remedy = "`admlops data init` writes one"
            raise DataReleaseError(f"there is no {REGISTRY_FILE}", where=f"{on.name} ({on.commit[:12]})", remedy=remedy)
        edited = with_task(content, task, entry, f"{REGISTRY_FILE} at {on.name}")
        if edited == content:
            return on.commit
        return commit_on_branch(
            repository,
            on,
            tree_with(repository, on.commit, {REGISTRY_FILE: edited}),
            kind="add",
            description=f"register the task {task}",
            details={"branch": branch, "from": start.name},
            check=False,  # with_task has checked all that changed
        )

    on_trunk = None if trunk is None else register(trunk)
    if trunk is not None and on_trunk is not None and start.commit == trunk.commit:
        begin = on_trunk
    else:
        begin = register(Branch(branch, start.commit, None))
    # Where nothing had to be registered there was no commit to make the branch with.
    if find_commit(repository, f"refs/heads/{branch}") is None:
        repository.run("update-ref", "-m", f"admlops data task add {task}", f"refs/heads/{branch}", begin, NO_OBJECT)
    errors = errors_of(check_release(repository, begin, branch=branch))
    refused_by = tuple(dict.fromkeys(problem.code for problem in errors))
    return TaskAddOutcome(task, branch, begin, start.name, (*((trunk.name,) if trunk else ()), branch), refused_by)


def with_task(content: bytes, task: str, entry: TaskEntry, where: str) -> bytes:
    """Put a task into a registry's text; everything else stays as it is, comments too.

    Args:
        content: The file's bytes.
        task: Identifier of the new task.
        entry: Its fields.
        where: Path of the file, for messages.

    Returns:
        The file's new bytes, checked; the same where it has the task already.

    Raises:
        DataReleaseError: The task is registered with other fields, or the result is no valid registry.
    """
    present = parse_registry(content, where).tasks.get(task)
    if present == entry:
        return content
    if present is not None:
        raise DataReleaseError(
            f"the task {task!r} is registered already, otherwise",
            where=where,
            got=str(present),
            remedy="choose another identifier",
        )
    fields = {key: value for key, value in entry.model_dump(mode="json").items() if value}
    text = content.decode("utf-8")
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    tasks = next(value for key, value in node.value if key.value == "tasks")
    if tasks.flow_style:
        at = tasks.end_mark.index - 1
        edited = f"{text[:at].rstrip().rstrip(',')}, {task}: {json.dumps(fields, ensure_ascii=False)}{text[at:]}"
    else:
        indent = " " * tasks.start_mark.column
        rows = "".join(f"{indent}  {key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in fields.items())
        # The node ends where the next key begins; comments and empty lines before that belong to the next key.
        at = _end_of(tasks.value[-1][1])
        line_end = text.find("\n", at)
        before = text if line_end < 0 else text[: line_end + 1]
        edited = f"{before}{'' if before.endswith(chr(10)) else chr(10)}{indent}{task}:\n{rows}{text[len(before) :]}"
    parse_registry(edited.encode(), where)
    return edited.encode()


def _end_of(node: yaml.Node) -> int:
    """The offset after the last character of a node, where a block's own end mark is at the next token."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end_of(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _registered(repository: GitRepository, trunk: Branch | None, task: str) -> TaskEntry:
    registry = read_registry(repository, trunk.commit) if trunk else None
    if registry and task in registry.tasks:
        return registry.tasks[task]
    raise DataReleaseError(
        f"the task {task!r} is not registered yet",
        where=repository.path,
        expected="what its releases are called",
        remedy="--display-name NAME",
    )


def _start(repository: GitRepository, base: str | None, trunk: Branch | None, remote: str) -> Branch:
    if base is None:
        return trunk or find_branch(repository, "main", remote)
    try:
        return find_branch(repository, base, remote)
    except DataReleaseError as error:
        if error.code != "E207":
            raise
        return Branch(base, repository.resolve(base), None)
