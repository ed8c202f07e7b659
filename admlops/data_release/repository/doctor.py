"""What is unhealthy about a data release repository, this clone of it, and this machine."""

from __future__ import annotations

import importlib.util
import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from admlops.data_release import names
from admlops.data_release.cache import cache_root, write_atomically
from admlops.data_release.git_repository import SEEN_TAGS, GitRepository
from admlops.data_release.problem import Problem, errors_of
from admlops.data_release.repository.candidate import Candidate, is_data_branch, read_refs
from admlops.data_release.repository.check import check_release, registry_of
from admlops.data_release.repository.ci import hooks_path
from admlops.data_release.repository.registry import REGISTRY_FILE, Registry
from admlops.data_release.repository.remote import Remote
from admlops.data_release.storage import StorageProfiles
from admlops.errors import AdmlopsError

OLDEST_GIT = (2, 30)
_LOW_SPACE_BYTES = 5 * 10**9


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    Attributes:
        repository: Its folder.
        examined: What was looked at, in words.
        problems: Faults and warnings.
    """

    repository: str
    examined: tuple[str, ...]
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether there are warnings at most."""
        return not errors_of(self.problems)

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        problems = [problem.to_json() for problem in self.problems]
        return {"repository": self.repository, "ok": self.ok, "examined": list(self.examined), "problems": problems}

    def to_text(self) -> str:
        """Lay it out for a terminal."""
        found = [f"  {problem}" for problem in self.problems] or ["  nothing is wrong"]
        return "\n".join([f"{self.repository}: looked at {', '.join(self.examined)}", *found])


def diagnose(repo: str | Path, *, remote: str | None = None) -> Diagnosis:
    """Look for what is unhealthy.

    Args:
        repo: The repository.
        remote: Name of a remote whose tags are compared; None to ask nobody.

    Returns:
        What was found.

    Raises:
        DataReleaseError: No such repository or remote.
        MachineError: The remote cannot be reached.
    """
    repository = GitRepository.open(repo)
    refs = read_refs(repository)
    trunk = _trunk(repository, refs)
    registry, problems = registry_of(repository, refs[trunk]) if trunk else (None, [])
    branches = _branches(refs)
    for found in (
        _layout(registry, trunk, branches),
        _name_conflicts(branches),
        _names(refs, branches),
        _moved_tags(repository, refs, remote),
        _rewritten(repository, refs),
        _data_branches(repository, refs, registry, branches),
        _hooks(repository),
        _machine(repository),
        _storage(repository, refs.get(trunk or "")),
    ):
        problems += found
    tags = sum(ref.startswith("refs/tags/") for ref in refs)
    examined = (f"{len(branches)} branches", f"{tags} tags", "hooks", "git", "cache", "storage", *([remote] if remote else ()))
    return Diagnosis(str(repository.path), examined, tuple(dict.fromkeys(problems)))


def _trunk(repository: GitRepository, refs: dict[str, str]) -> str | None:
    head = repository.git("symbolic-ref", "--quiet", "HEAD").stdout.decode("utf-8", "replace").strip()
    candidates = ("refs/heads/main", "refs/heads/master", "refs/remotes/origin/main", head)
    return next((ref for ref in candidates if ref in refs), None)


def _branches(refs: dict[str, str]) -> dict[str, str]:
    """Find every branch by its short name, here before remotes."""
    remotes = {ref.split("/", 3)[3]: ref for ref in refs if ref.startswith("refs/remotes/") and not ref.endswith("/HEAD")}
    return remotes | {ref.removeprefix("refs/heads/"): ref for ref in refs if ref.startswith("refs/heads/")}


def _layout(registry: Registry | None, trunk: str | None, branches: dict[str, str]) -> Iterator[Problem]:
    if registry is None:
        where = trunk.split("/")[-1] if trunk else "the repository"
        yield _problem("E210", where, f"no {REGISTRY_FILE}", "a registry of tasks", "none", "`admlops data init`", warning=True)
        return
    for task, entry in registry.tasks.items():
        if entry.branch not in branches:
            remedy = f"`admlops data task add {task}` opens it"
            yield _problem("E210", task, "a registered task without a branch", entry.branch, "none", remedy, warning=True)
    known = {entry.branch for entry in registry.tasks.values()}
    for name in branches:
        if name.startswith("master/") and name not in known:
            remedy = "`admlops data task add` registers it"
            yield _problem("E210", name, "a task branch that is not registered", "one of " + ", ".join(known), name, remedy)


def _name_conflicts(branches: dict[str, str]) -> Iterator[Problem]:
    # Git keeps branches as files in folders: what is a file cannot be a folder.
    for name in branches:
        inner = [other for other in branches if other.startswith(f"{name}/")]
        if inner:
            what = f"{name} and {inner[0]} cannot be in one repository"
            remedy = f"rename one of them: `git branch -m {name} <new>`, here and at the remote"
            yield _problem("E210", name, what, "no branch that is the beginning of another, up to a slash", name, remedy)
    if "master" in branches:
        remedy = "`admlops data init --migrate` renames it to main"
        what = "a trunk called master keeps branches master/<task> from being made"
        yield _problem("E210", "master", what, "main", "master", remedy, warning=True)
    for name in branches:
        if name.startswith("feature_dataset/") and name.count("/") == 1:
            what = f"it keeps {name}/<method> from being made"
            remedy = f"`git branch -m {name} {name}/<method>`"
            yield _problem("E210", name, what, "feature_dataset/[<task>/]<topic>/<method>", name, remedy)


def _names(refs: dict[str, str], branches: dict[str, str]) -> Iterator[Problem]:
    for name in branches:
        if not is_data_branch(name) and not names.is_branch(name):
            remedy = "`git branch -m`, where nothing relies on it"
            yield _problem("E208", name, "not a name of a branch", "master/<task>, ...", name, remedy, warning=True)
    for ref in refs:
        tag = ref.removeprefix("refs/tags/")
        if tag != ref and not names.is_tag(tag):
            remedy = "leave it where a training used it; name the next one by the rules"
            yield _problem("E208", tag, "not a name of a tag", "<task>/vX.Y.Z, ...", tag, remedy, warning=True)


def _moved_tags(repository: GitRepository, refs: dict[str, str], remote: str | None) -> Iterator[Problem]:
    own = {ref.removeprefix("refs/tags/"): sha for ref, sha in refs.items() if ref.startswith("refs/tags/")}
    seen = {ref.removeprefix(SEEN_TAGS): sha for ref, sha in refs.items() if ref.startswith(SEEN_TAGS)}
    for tag, sha in seen.items():
        now = own.get(tag)
        if now != sha:
            what = f"{tag} was {'moved or made again' if now else 'deleted'} since it was first read here"
            remedy = f"ask who did it; `git update-ref -d {SEEN_TAGS}{tag}` accepts it"
            yield _problem("E207", tag, what, f"object {sha[:12]}", f"object {now[:12]}" if now else "no such tag", remedy)
    if remote is None:
        return
    there = {ref.removeprefix("refs/tags/"): sha for ref, sha in Remote.named(repository, remote).refs("refs/tags/*").items()}
    for tag in sorted(own.keys() | there.keys()):
        here, far = own.get(tag), there.get(tag)
        if here and far and here != far:
            remedy = "ask who made the other; then delete the one here and `git fetch --tags`"
            what = f"{tag} is another object at {remote}"
            yield _problem("E207", tag, what, f"object {here[:12]}", f"object {far[:12]}", remedy)
        elif far is None:
            what, remedy = f"{remote} has no {tag}", "push it, or find out who deleted it"
            yield _problem("E207", tag, what, "the same tags", "no such tag", remedy, warning=True)


def _rewritten(repository: GitRepository, refs: dict[str, str]) -> Iterator[Problem]:
    """Git keeps a log of where a remote branch was seen: each place has to follow the one before."""
    for ref in refs:
        if not ref.startswith("refs/remotes/") or not ref.split("/", 3)[3].startswith(("master/", "main")):
            continue
        shas = repository.git("reflog", "show", "--format=%H", ref).stdout.decode("ascii").split()
        # The first entry's own past is in no row: a clone writes none.
        first = repository.git("rev-parse", "--verify", "--quiet", f"{ref}@{{{len(shas)}}}").stdout.decode("ascii").split()
        for newer, older in itertools.pairwise([*shas, *first]):
            if repository.git("merge-base", "--is-ancestor", older, newer).returncode == 1:
                what = f"{ref.removeprefix('refs/remotes/')} was rewritten"
                remedy = f"`git log {older[:12]}` shows what it was; ask who forced it, and install the pre-receive hook"
                yield _problem("E203", ref, what, f"commits after {older[:12]}", newer[:12], remedy)


def _data_branches(
    repository: GitRepository, refs: dict[str, str], registry: Registry | None, branches: dict[str, str]
) -> Iterator[Problem]:
    for name, ref in branches.items():
        if is_data_branch(name) or (registry and registry.task_of_branch(name)):
            yield from errors_of(check_release(repository, refs[ref], branch=name, refs=refs))
    for tag in (ref.removeprefix("refs/tags/") for ref in refs if ref.startswith("refs/tags/")):
        candidate = Candidate(repository, "", tag, None, registry, refs, None)
        commit = candidate.commit_of(f"refs/tags/{tag}") if candidate.tag_name else None
        if commit:
            # Moved tags are told above, also those that are gone.
            found = errors_of(check_release(repository, commit, tag=tag, refs=refs))
            yield from (problem for problem in found if problem.code != "E207")


def _hooks(repository: GitRepository) -> Iterator[Problem]:
    if not (repository.path / ".git").exists():
        if not (repository.path / "hooks" / "pre-receive").is_file():
            remedy = "copy .githooks/server/pre-receive there"
            yield _problem("E211", "hooks/pre-receive", "no hook checks pushes", "the hook", "none", remedy, warning=True)
        return
    folder = repository.path / (hooks_path(repository) or ".git/hooks")
    for hook in ("commit-msg", "pre-push"):
        if not (folder / hook).is_file():
            remedy = "`admlops data ci` writes it; `git config core.hooksPath .githooks` uses it"
            yield _problem("E211", str(folder / hook), f"the hook {hook} is missing", "the hook", "none", remedy, warning=True)


def _machine(repository: GitRepository) -> Iterator[Problem]:
    words = repository.run("version").split()
    numbers = tuple(int(part) for part in words[2].split(".")[:2])
    if numbers < OLDEST_GIT:
        yield _problem(
            "E212", "git", "an old git", ".".join(map(str, OLDEST_GIT)) + " or newer", words[2], "install a newer one"
        )
    probe = cache_root() / "doctor"
    try:
        with write_atomically(probe) as file:
            file.write(b"written by admlops data doctor")
        probe.unlink()
    except AdmlopsError as error:
        yield _problem("E404", str(error.where), error.what, str(error.expected), "no access", error.remedy or "mend it")
        return
    free = shutil.disk_usage(cache_root()).free
    if free < _LOW_SPACE_BYTES:
        remedy = "free some space, or set ADMLOPS_CACHE to a folder on another disk"
        got = f"{free / 1e9:.1f} GB"
        yield _problem("E404", str(cache_root()), "little space for the cache", "5 GB or more", got, remedy, warning=True)


def _storage(repository: GitRepository, commit: str | None) -> Iterator[Problem]:
    try:
        profiles = StorageProfiles.of_release(repository.read(commit, REGISTRY_FILE) if commit else None, REGISTRY_FILE)
    except AdmlopsError as error:
        remedy = error.remedy or "correct the profile"
        yield _problem(error.code or "E124", str(error.where), error.what, "valid storage profiles", "none", remedy)
        return
    if profiles.by_name and importlib.util.find_spec("boto3") is None:
        remedy = "install admlops[s3]"
        yield _problem("E213", "boto3", "obs:// and s3:// cannot be read", "boto3", "not installed", remedy, warning=True)


def _problem(code: str, where: str, what: str, expected: str, got: str, remedy: str, *, warning: bool = False) -> Problem:
    return Problem(code=code, where=where, what=what, expected=expected, got=got, remedy=remedy, warning=warning)
