"""Is this a valid release? The working tree before a commit, or a tag, a commit, a branch; if asked, its data as well."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from admlops.data_release.git_repository import GitRepository
from admlops.data_release.problem import Problem, errors_of
from admlops.data_release.repository.candidate import read_refs
from admlops.data_release.repository.check import check_release
from admlops.data_release.repository.check_objects import check_objects
from admlops.data_release.repository.history import tree_with
from admlops.data_release.repository.registry import REGISTRY_FILE
from admlops.data_release.schema import DAGGER_FILE, DATASET_FILE

WORKING_TREE = "the working tree"
_SHOWN_WARNINGS = 5
_NOBODY = ("-c", "user.name=admlops", "-c", "user.email=admlops@localhost")


@dataclass(frozen=True)
class Validation:
    """What is wrong with a release.

    Attributes:
        ref: What was checked.
        commit: Full sha; None for the working tree.
        problems: Faults and warnings.
        num_objects: Entries whose data were looked at; None where nobody asked.
    """

    ref: str
    commit: str | None
    problems: tuple[Problem, ...]
    num_objects: int | None = None

    @property
    def ok(self) -> bool:
        """Whether there are warnings at most."""
        return not errors_of(self.problems)

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        return {
            "ref": self.ref,
            "commit": self.commit,
            "ok": self.ok,
            "num_objects": self.num_objects,
            "problems": [problem.to_json() for problem in self.problems],
        }

    def to_text(self) -> str:
        """Lay it out for a terminal."""
        errors = len(errors_of(self.problems))
        counts = [f"{errors} error{'' if errors == 1 else 's'}"] if errors else ["valid"]
        if len(self.problems) > errors:
            warnings = len(self.problems) - errors
            counts.append(f"{warnings} warning{'' if warnings == 1 else 's'}")
        if self.num_objects is not None:
            counts.append(f"entries whose data were looked at: {self.num_objects}")
        where = f"{self.ref} ({self.commit[:12]})" if self.commit else self.ref
        shown: Counter[str] = Counter()
        lines = [f"{where}: {', '.join(counts)}"]
        for problem in self.problems:
            shown[problem.code] += problem.warning
            if not problem.warning or shown[problem.code] <= _SHOWN_WARNINGS:
                lines.append(f"  {problem}")
        hidden = {code: count - _SHOWN_WARNINGS for code, count in shown.items() if count > _SHOWN_WARNINGS}
        return "\n".join([*lines, *(f"  ... and {n} more warnings {code}; --json lists all" for code, n in hidden.items())])


def validate(
    repo: str | Path,
    ref: str | None = None,
    *,
    branch: str | None = None,
    strict: bool = False,
    remote: bool = False,
    deep: bool = False,
) -> Validation:
    """List everything that is wrong with a release.

    Args:
        repo: The repository.
        ref: Tag, commit or branch; the files of the working tree where None.
        branch: The branch whose rules count, for a commit; known by itself for the other three.
        strict: As before tagging: what is only warned of otherwise is an error.
        remote: Ask whether every object exists with the size that its entry says, and whether the tag is the remote's.
        deep: Fetch every object, hash it, read every record.

    Returns:
        What was found.

    Raises:
        DataReleaseError: No such repository or ref.
        MachineError: The remote repository cannot be reached; the disk is full.
    """
    repository = GitRepository.open(repo)
    if ref is None:
        with _working_tree(repository) as (incoming, commit):
            head = repository.git("symbolic-ref", "--quiet", "--short", "HEAD").stdout.decode("utf-8", "replace").strip()
            problems = check_release(incoming, commit, branch=branch or head or None, strict=strict)
            data = check_objects(incoming, commit, deep=deep, in_working_tree=True) if remote or deep else None
        named = tuple(replace(problem, where=problem.where.replace(f" at {commit[:12]}", "")) for problem in problems)
        return _validation(WORKING_TREE, None, named, data)
    refs = read_refs(repository)
    name = ref.removeprefix("refs/tags/").removeprefix("refs/heads/")
    tag = name if f"refs/tags/{name}" in refs and not ref.startswith("refs/heads/") else None
    # A moved tag is one problem among others here, where resolve() would refuse to go on.
    commit = repository.run("rev-parse", f"refs/tags/{tag}^{{commit}}") if tag else repository.resolve(ref)
    if tag is None and branch is None and f"refs/heads/{name}" in refs:
        branch = name
    origin = "origin" if remote and "origin" in repository.run("remote").split() else None
    problems = check_release(repository, commit, tag=tag, branch=branch, strict=strict, remote=origin, refs=refs)
    data = check_objects(repository, commit, deep=deep) if remote or deep else None
    return _validation(ref, commit, problems, data)


def _validation(
    ref: str, commit: str | None, problems: tuple[Problem, ...], data: tuple[int, tuple[Problem, ...]] | None
) -> Validation:
    return Validation(ref, commit, problems + (data[1] if data else ()), data[0] if data else None)


@contextlib.contextmanager
def _working_tree(repository: GitRepository) -> Iterator[tuple[GitRepository, str]]:
    """Commit the files that rules look at into a folder that is thrown away, so that one code checks commits and files."""
    files = {}
    listed = repository.run("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "*training_dataset*.json")
    for name in {REGISTRY_FILE, DATASET_FILE, DAGGER_FILE, *listed.split("\0")}:
        path = repository.path / name
        if name and path.is_file() and not path.is_symlink():
            files[name] = path.read_bytes()
    with tempfile.TemporaryDirectory(prefix="admlops-") as folder:
        own = repository.path / repository.run("rev-parse", "--git-path", "objects")
        objects = (("GIT_OBJECT_DIRECTORY", folder), ("GIT_ALTERNATE_OBJECT_DIRECTORIES", str(own)))
        incoming = replace(repository, objects=objects)
        head = repository.git("rev-parse", "--verify", "--quiet", "HEAD").stdout.decode("ascii").strip()
        tree = tree_with(incoming, _without_dataset_files(incoming, head), files)
        parents = ["-p", head] if head else []
        message = "date: '2000-01-01'\ntype: add\ndescription: not committed yet\n"
        yield incoming, incoming.run(*_NOBODY, "commit-tree", tree, *parents, input=message.encode())


def _without_dataset_files(repository: GitRepository, head: str) -> str | None:
    # A file that was deleted in the working tree must not come back from the last commit.
    if not head:
        return None
    tracked = repository.run("ls-files", "-z", "--deleted").split("\0")
    gone = {os.fsencode(name) for name in tracked if name and "/" not in name}
    rows = repository.git("ls-tree", "-z", head).stdout.split(b"\0")
    kept = [row for row in rows if row and row.partition(b"\t")[2] not in gone]
    return repository.run("mktree", "-z", input=b"".join(row + b"\0" for row in kept))
