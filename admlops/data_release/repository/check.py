"""Check a commit against everything: its dataset file, its registry, the rules of the repository; all faults at once."""

from __future__ import annotations

from collections.abc import Mapping

from admlops.data_release.dataset_file import check_dataset_file
from admlops.data_release.git_repository import GitRepository
from admlops.data_release.problem import Problem, locate, path_text, shorten
from admlops.data_release.repository.candidate import Candidate, read_refs
from admlops.data_release.repository.registry import InvalidRegistryError, Registry, read_registry
from admlops.data_release.repository.rule import Finding, repository_rules
from admlops.data_release.schema import DATASET_FILE, FILE_OF_KIND
from admlops.errors import DataReleaseError


def check_release(
    repository: GitRepository,
    commit: str,
    *,
    tag: str | None = None,
    branch: str | None = None,
    strict: bool = False,
    remote: str | None = None,
    refs: Mapping[str, str] | None = None,
) -> tuple[Problem, ...]:
    """List everything that is wrong with a commit as a release.

    Args:
        repository: The repository.
        commit: Full sha.
        tag: Its tag, which need not exist yet.
        branch: The branch that it is on; None where the tag's task tells, or it is on none.
        strict: It is about to be tagged: what is only warned of otherwise is an error.
        remote: Name of a remote whose tags must be the same; None to ask nobody.
        refs: Object by full name of every ref, as they will be; as they are where None.

    Returns:
        Faults and warnings: the registry's, then the dataset file's with JSON path, line and column, then the repository's.

    Raises:
        MachineError: E403, the remote cannot be reached.
    """
    registry, problems = registry_of(repository, commit)
    tasks = registry.allowed_task_names if registry else None
    for kind, name in FILE_OF_KIND.items():
        content = repository.read(commit, name)
        if content is not None:
            where = f"{name} at {tag or commit[:12]}"
            try:
                problems += check_dataset_file(content, where, kind=kind, strict=strict, registered_tasks=tasks)
            except DataReleaseError as error:
                problems.append(_as_problem(error, where))
    seen = read_refs(repository) if refs is None else refs
    candidate = Candidate(repository, commit, tag, branch, registry, seen, remote)
    for rule in repository_rules():
        problems += [_problem(rule.code, finding, candidate, strict) for finding in rule.check(candidate)]
    return tuple(problems)


def registry_of(repository: GitRepository, commit: str) -> tuple[Registry | None, list[Problem]]:
    """Read a commit's registry, or say what is wrong with it.

    Args:
        repository: The repository.
        commit: Full sha.

    Returns:
        The registry; None where there is none, or it is invalid. And its faults.
    """
    try:
        return read_registry(repository, commit), []
    except InvalidRegistryError as error:
        return None, list(error.problems)
    except DataReleaseError as error:
        return None, [_as_problem(error, commit[:12])]


def _as_problem(error: DataReleaseError, where: str) -> Problem:
    return Problem(
        code=error.code or "E100",
        what=error.what,
        expected=str(error.expected or "a readable file"),
        got=str(error.got or "something else"),
        remedy=error.remedy or "mend it",
        where=str(error.where or where),
    )


def _problem(code: str, finding: Finding, candidate: Candidate, strict: bool) -> Problem:
    file = f"{DATASET_FILE} at {candidate.tag or candidate.commit[:12]}"
    warning = finding.severity == "warning" or (finding.severity == "error in a new tag" and not strict)
    return Problem(
        code=code,
        what=finding.what,
        expected=finding.expected,
        got=finding.got if isinstance(finding.got, str) else shorten(finding.got),
        remedy=finding.remedy,
        where=finding.where or (candidate.where if finding.path is None else file),
        json_path="" if finding.path is None else path_text(finding.path),
        position=None if finding.path is None else locate(finding.path, candidate.places),
        warning=warning,
    )
