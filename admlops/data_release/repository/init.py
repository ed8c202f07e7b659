"""Make a folder, or an existing repository, ready for data releases. Files are written, nothing is committed or pushed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from admlops.data_release import names
from admlops.data_release.git_repository import GitRepository
from admlops.data_release.repository.candidate import read_refs
from admlops.data_release.repository.ci import CiOutcome, write_ci
from admlops.data_release.repository.registry import REGISTRY_FILE, parse_registry
from admlops.data_release.schema import DATASET_FILE
from admlops.errors import DataReleaseError

TRUNK = "main"


@dataclass(frozen=True)
class InitOutcome:
    """What was done.

    Attributes:
        done: Steps, in words.
        next_steps: What is left to people.
        hooks: The hooks and snippets.
    """

    done: tuple[str, ...]
    next_steps: tuple[str, ...]
    hooks: CiOutcome

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        return {"done": list(self.done), "next_steps": list(self.next_steps), "hooks": self.hooks.to_json()}

    def to_text(self) -> str:
        """Lay it out for a terminal."""
        written = [f"wrote {path}" for path in self.hooks.written]
        kept = [f"kept {path}, which differs from what would be written" for path in self.hooks.kept]
        return "\n".join(
            [*(f"  {step}" for step in (*self.done, *written, *kept)), "next:", *(f"  {s}" for s in self.next_steps)]
        )


def init(repo: str | Path, *, tasks: Sequence[str] = (), migrate: bool = False) -> InitOutcome:
    """Write the registry, a dataset file where there is none, and hooks; files that exist are left as they are.

    Args:
        repo: A folder; it becomes a git repository where it is none.
        tasks: ``god_base=GOD-Base``, or ``god_base`` alone; those of existing branches ``master/...`` where empty.
        migrate: Rename the trunk from master to main.

    Returns:
        What was done, and what is left to do.

    Raises:
        DataReleaseError: E210, there is a trunk called master and ``migrate`` was not asked for, or main exists too; E122, a
            task's name is none.
    """
    folder = Path(repo)
    done: list[str] = []
    if not (folder / ".git").exists():
        folder.mkdir(parents=True, exist_ok=True)
        here = GitRepository(folder.absolute(), folder.absolute())
        here.run("init", "-q")
        here.run("symbolic-ref", "HEAD", f"refs/heads/{TRUNK}")
        done.append(f"made a git repository with the trunk {TRUNK}")
    repository = GitRepository.open(folder)
    refs = read_refs(repository)
    next_steps = _rename_trunk(repository, refs, migrate, done)
    registry_file = repository.path / REGISTRY_FILE
    if registry_file.is_file():
        registry = parse_registry(registry_file.read_bytes(), registry_file)
        done.append(f"kept {REGISTRY_FILE}: {', '.join(registry.tasks)}")
    else:
        content = _registry(_tasks(tasks, refs)).encode()
        registry = parse_registry(content, registry_file)
        registry_file.write_bytes(content)
        done.append(f"wrote {REGISTRY_FILE}: {', '.join(registry.tasks)}")
    if not (repository.path / DATASET_FILE).exists():
        (repository.path / DATASET_FILE).write_text(_dataset(list(registry.tasks)), "utf-8")
        done.append(f"wrote {DATASET_FILE} with one entry whose data are pending")
    hooks = write_ci(folder)
    next_steps += [
        f"edit {REGISTRY_FILE} and {DATASET_FILE}, then `admlops data validate`",
        f"git add {REGISTRY_FILE} {DATASET_FILE} .githooks .github .gitlab && git commit",
        *(f"git branch {entry.branch}" for entry in registry.tasks.values() if f"refs/heads/{entry.branch}" not in refs),
    ]
    return InitOutcome(tuple(done), tuple(next_steps), hooks)


def _rename_trunk(repository: GitRepository, refs: dict[str, str], migrate: bool, done: list[str]) -> list[str]:
    head = repository.git("symbolic-ref", "--quiet", "HEAD").stdout.decode("utf-8", "replace").strip()
    unborn = head == "refs/heads/master" and head not in refs
    if "refs/heads/master" not in refs and not unborn:
        return []
    if not migrate:
        raise DataReleaseError(
            "the trunk is called master, so that no branch master/<task> can be made",
            where=repository.path,
            expected=f"a trunk called {TRUNK}",
            got="master",
            remedy="`admlops data init --migrate` renames it here and says what to do on the server",
            code="E210",
        )
    if f"refs/heads/{TRUNK}" in refs:
        raise DataReleaseError(
            f"there are branches master and {TRUNK}",
            where=repository.path,
            expected="one trunk",
            remedy="merge one into the other and delete it; nothing was changed",
            code="E210",
        )
    if unborn:
        repository.run("symbolic-ref", "HEAD", f"refs/heads/{TRUNK}")
    else:
        repository.run("branch", "-m", "master", TRUNK)
    done.append(f"renamed the branch master to {TRUNK}")
    return [
        f"git push origin {TRUNK}",
        f"on the server: make {TRUNK} the default branch, move its protection rules, change open pull requests to it",
        "git push origin --delete master    # only then can master/<task> be pushed; tags and commits stay",
        f"in other clones: git branch -m master {TRUNK} && git fetch --prune && git branch -u origin/{TRUNK} {TRUNK}",
    ]


def _tasks(wishes: Sequence[str], refs: dict[str, str]) -> dict[str, str]:
    heads = (ref.split("/", 2)[2] for ref in refs if ref.startswith("refs/heads/master/"))
    found = [*wishes] or [name.partition("/")[2] for name in heads] or ["multi_task"]
    tasks = {}
    for wish in found:
        task, _, display_name = wish.partition("=")
        if not names.is_task_name(task):
            raise DataReleaseError(
                f"{task!r} is no task's name",
                expected="lower case letters, digits and _, such as god_base",
                remedy="--task god_base=GOD-Base",
                code="E122",
            )
        tasks[task] = display_name or "".join(part.capitalize() for part in task.split("_"))
    return tasks


def _registry(tasks: dict[str, str]) -> str:
    rows = "".join(
        f"  {task}:\n"
        f"    display_name: {json.dumps(display_name, ensure_ascii=False)}  # of its releases: {display_name} v1.0.0\n"
        f"    branch: master/{task}\n"
        f"    allowed_tags: [{', '.join(tasks if task == 'multi_task' else [task])}]  # an entry serves at least one of them\n"
        '    description: ""\n'
        for task, display_name in tasks.items()
    )
    return (
        f"schema_version: 1\ntasks:\n{rows}"
        "# dataspechub: {path: ../DataSpecHub, rev: main}\n"
        "# storage:  # no credentials here: they come from the environment\n"
        "#   obs: {endpoint: https://obs.example.com, region: example-1}\n"
    )


def _dataset(tasks: list[str]) -> str:
    meta = {
        "release_name": "first release",
        "consumer_version": "v1.0.0",
        "bundle_versions": ["v1.0.0-release"],
        "version": "v1.0.0",
        "tasks": tasks,
    }
    entry = {"name": "example", "obs_path": "", "status": "pending", "duplicate": 1, "task_tags": tasks}
    return json.dumps({"meta": meta, "dataset_index": [entry]}, indent=2, ensure_ascii=False) + "\n"
