"""What the git hooks of a data release repository do; the scripts that ``admlops data ci`` writes call nothing else."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from admlops.data_release.git_repository import GitRepository
from admlops.data_release.problem import Problem
from admlops.data_release.repository.candidate import is_data_branch, read_refs
from admlops.data_release.repository.commit_message import check_message
from admlops.data_release.repository.push_rules import RefUpdate, check_push
from admlops.errors import DataReleaseError

HOOKS = ("commit-msg", "pre-push", "pre-receive")
_OBJECTS = ("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES")


@dataclass(frozen=True)
class HookOutcome:
    """What a hook found.

    Attributes:
        hook: Its name.
        problems: Reasons to refuse.
    """

    hook: str
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether git may go on."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        return {"hook": self.hook, "ok": self.ok, "problems": [problem.to_json() for problem in self.problems]}

    def to_text(self) -> str:
        """Lay it out for a terminal."""
        refused = [f"{self.hook}: refused by the rules of data releases", *(f"  {problem}" for problem in self.problems)]
        return "\n".join(refused) if self.problems else f"{self.hook}: ok"


def run_hook(repo: str | Path, hook: str, arguments: Sequence[str], standard_input: str) -> HookOutcome:
    """Do what a git hook has to do.

    Args:
        repo: The repository, in whose folder git runs the hook.
        hook: One of ``HOOKS``.
        arguments: As git gives them.
        standard_input: As git gives it.

    Returns:
        What was found.

    Raises:
        DataReleaseError: No such hook.
    """
    repository = GitRepository.open(repo)
    rows = [row.split() for row in standard_input.splitlines() if row.strip()]
    if hook == "commit-msg":
        return HookOutcome(hook, _commit_msg(repository, Path(repo) / arguments[0]))
    if hook == "pre-push":
        # git: local ref, local object, remote ref, remote object.
        updates = [RefUpdate(ref, old, new) for _, new, ref, old in rows]
        return HookOutcome(hook, check_push(repository, updates, read_refs(repository), [f"--remotes={arguments[0]}"]))
    if hook == "pre-receive":
        # Until it is accepted, a push lies in a folder of its own, which git names in the environment.
        places = tuple((name, os.environ[name]) for name in _OBJECTS if name in os.environ)
        incoming = dataclasses.replace(repository, objects=places)
        updates = [RefUpdate(ref, old, new) for old, new, ref in rows]
        return HookOutcome(hook, check_push(incoming, updates, read_refs(repository), ["--all"]))
    raise DataReleaseError(f"unknown hook {hook!r}", expected=", ".join(HOOKS), got=repr(hook))


def _commit_msg(repository: GitRepository, file: Path) -> tuple[Problem, ...]:
    branch = repository.git("symbolic-ref", "--quiet", "--short", "HEAD").stdout.decode("utf-8", "replace").strip()
    merging = repository.git("rev-parse", "--verify", "--quiet", "MERGE_HEAD").returncode == 0
    if merging or not is_data_branch(branch):
        return ()
    return check_message(file.read_text("utf-8", "replace"), "the commit message")
