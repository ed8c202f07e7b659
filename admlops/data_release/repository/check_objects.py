"""Look at the data of a release: whether the objects are there, or, in depth, whether every record is valid."""

from __future__ import annotations

from pydantic import ValidationError

from admlops.data_release.git_repository import GitRepository
from admlops.data_release.line_offsets import check_records
from admlops.data_release.locate import Origin, locate
from admlops.data_release.problem import Problem
from admlops.data_release.repository.registry import REGISTRY_FILE
from admlops.data_release.schema import DATASET_FILE, ReleaseEntry, TrainingDataset
from admlops.data_release.storage import StorageProfiles, is_url, stat_object
from admlops.data_release.strict_json import parse_strict
from admlops.errors import AdmlopsError, DataReleaseError


def check_objects(
    repository: GitRepository, commit: str, *, deep: bool = False, in_working_tree: bool = False
) -> tuple[int, tuple[Problem, ...]]:
    """List what is wrong with the data of a release.

    Args:
        repository: The repository.
        commit: Full sha.
        deep: Fetch, hash and read everything, instead of asking for sizes only.
        in_working_tree: Relative paths are files of the working tree, not of the commit.

    Returns:
        Number of entries that were looked at, and the faults; entries without data and unreadable dataset files, which the
        rules report, are passed over.
    """
    content = repository.read(commit, DATASET_FILE)
    try:
        dataset = TrainingDataset.model_validate(parse_strict(content or b"", DATASET_FILE))
    except (DataReleaseError, ValidationError):
        return 0, ()
    profiles = StorageProfiles.of_release(repository.read(commit, REGISTRY_FILE), REGISTRY_FILE)
    origin = Origin(repository.base_dir) if in_working_tree else Origin(repository.base_dir, repository, commit)
    entries = [entry for entry in dataset.dataset_index if entry.obs_path]
    problems: list[Problem] = []
    for entry in entries:
        try:
            if deep or not is_url(entry.obs_path):
                problems += _read(entry, origin, deep)
            else:
                problems += _ask(entry, profiles)
        except AdmlopsError as error:
            problems.append(_as_problem(entry, error))
    return len(entries), tuple(problems)


def _ask(entry: ReleaseEntry, profiles: StorageProfiles) -> list[Problem]:
    info = stat_object(entry.obs_path, profiles=profiles)
    pinned = entry.integrity
    if pinned is None or info.size is None or info.size == pinned.bytes:
        return []
    what, remedy = "the object was changed behind the release", "restore the object, or lock and release the changed one"
    return [_problem(entry, "E402", what, f"{pinned.bytes} bytes", f"{info.size} bytes", remedy)]


def _read(entry: ReleaseEntry, origin: Origin, deep: bool) -> list[Problem]:
    if deep:
        faults = check_records(locate(entry, origin, count=False).path)
        if faults:
            return [_as_problem(entry, error) for error in faults]
    locate(entry, origin)
    return []


def _as_problem(entry: ReleaseEntry, error: AdmlopsError) -> Problem:
    expected, got = str(error.expected or "data as released"), str(error.got or "none")
    place = f"entry {entry.name!r}" + (f", {error.where}" if error.where else "")
    code = error.code or "E405"
    return Problem(code=code, what=error.what, expected=expected, got=got, remedy=error.remedy or "mend it", where=place)


def _problem(entry: ReleaseEntry, code: str, what: str, expected: str, got: str, remedy: str) -> Problem:
    where = f"entry {entry.name!r}, {entry.obs_path}"
    return Problem(code=code, what=what, expected=expected, got=got, remedy=remedy, where=where)
