"""Pin the content of a release's objects: a tag fixes only their paths."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from admlops.data_release.cache import only_one_process, remember_sha256, sha256_of, write_atomically
from admlops.data_release.dataset_file import read_dataset_file
from admlops.data_release.git_repository import GitRepository
from admlops.data_release.problem import Problem
from admlops.data_release.repository.pin_objects import Measured, pin_objects
from admlops.data_release.repository.registry import REGISTRY_FILE
from admlops.data_release.repository.write_integrity import with_integrity
from admlops.data_release.schema import FILE_OF_KIND, Integrity, Kind, ReleaseEntry
from admlops.data_release.storage.blob_cache import cached_blob, fetch_object, local_path, stat_object
from admlops.data_release.storage.object_store import is_url
from admlops.data_release.storage.profiles import StorageProfiles
from admlops.errors import DataReleaseError, MachineError, RecordError, nearest

_IO_CODES = frozenset({"E401", "E403", "E404"})

State = Literal["same", "changed", "new", "pending"]


class UnlockableError(DataReleaseError):
    """Objects of a release cannot be pinned; nothing was written.

    Args:
        problems: All faults of all entries, in the order of the file.
        where: Path of the dataset file.

    Attributes:
        problems: All faults of all entries, in the order of the file.
    """

    problems: tuple[Problem, ...]

    def __init__(self, problems: Sequence[Problem], where: object) -> None:
        counted = "1 fault" if len(problems) == 1 else f"{len(problems)} faults"
        lines = "".join(f"\n  {problem}" for problem in problems)
        # Bad data weighs more than a store that does not answer: trying again would not mend it.
        codes = sorted((problem.code for problem in problems), key=lambda code: code in _IO_CODES)
        super().__init__(f"nothing was locked: {counted}{lines}", where=where, code=codes[0])
        self.problems = tuple(problems)


@dataclass(frozen=True)
class LockedEntry:
    """An entry and its object.

    Attributes:
        name: The entry's name.
        state: How the object compares to what the entry says; ``pending`` where there is none yet.
        measured: What the object is; None where there is none yet.
        recorded: What the entry said; None where it said nothing.
    """

    name: str
    state: State
    measured: Integrity | None
    recorded: Integrity | None

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        measured, recorded = (i and i.model_dump(exclude_none=True) for i in (self.measured, self.recorded))
        return {"name": self.name, "state": self.state, "measured": measured, "recorded": recorded}

    def to_text(self) -> str:
        """Lay it out for a terminal."""
        if self.measured is None:
            return f"{self.state:<8} {self.name}"
        size = f"{self.measured.num_samples:,} samples, {self.measured.bytes:,} bytes"
        return f"{self.state:<8} {self.name}  {size}  sha256 {self.measured.sha256[:12]}"


@dataclass(frozen=True)
class LockOutcome:
    """What was pinned.

    Attributes:
        path: The dataset file.
        entries: In the order of the file.
        check: Whether it was only compared.
    """

    path: Path
    entries: tuple[LockedEntry, ...]
    check: bool

    @property
    def differing(self) -> tuple[LockedEntry, ...]:
        """Entries whose object is not what they said, or of which they said nothing."""
        return tuple(entry for entry in self.entries if entry.state in {"changed", "new"})

    @property
    def ok(self) -> bool:
        """Whether the file now says what its objects are."""
        return not (self.check and self.differing)

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        return {
            "path": str(self.path),
            "written": bool(self.differing) and not self.check,
            "entries": [entry.to_json() for entry in self.entries],
        }

    def to_text(self) -> str:
        """Lay it out for a terminal."""
        if not self.differing:
            end = f"{self.path} says what its objects are"
        elif self.check:
            end = f"{len(self.differing)} of {len(self.entries)} differ: `admlops data lock` writes what they are"
        else:
            end = f"{len(self.differing)} of {len(self.entries)} written to {self.path}"
        return "\n".join([*(entry.to_text() for entry in self.entries), end])


def lock(
    repo: str | Path,
    names: Collection[str] = (),
    *,
    kind: Kind = "regular",
    check: bool = False,
    deep: bool = False,
    num_parallel: int = 8,
    show_progress: bool = False,
) -> LockOutcome:
    """Download the objects of a working tree's dataset file, and write what they are into the file.

    The records are counted, not parsed: a file that was cut off is noticed; one bad line among others only where ``deep``.
    Nothing but ``integrity`` changes in the dataset file, and nothing at all where any object has a fault.

    Args:
        repo: The repository, with a working tree.
        names: Entries to pin; all where empty. Pending ones (no ``obs_path`` yet) are left alone.
        kind: Which of the two dataset files.
        check: Only compare.
        deep: Check every record, as training does when it first opens the objects.
        num_parallel: Objects that are downloaded at a time.
        show_progress: Draw a progress bar on standard error.

    Returns:
        Each entry's object, beside what the entry said before.

    Raises:
        DataReleaseError: No repository, or no dataset file in its working tree (E201), or it is invalid; no entry of that name;
            the file changed meanwhile (E406).
        UnlockableError: With all faults of all objects: missing (E401), stalled (E403), changing while they are read (E406),
            damaged (E405), and, where ``deep``, lines that are no records (E405, E407, E410).
        MachineError: The file cannot be written (E404).
    """
    path = GitRepository.open(repo).base_dir / FILE_OF_KIND[kind]
    if not path.is_file():
        raise DataReleaseError(
            f"there is no {path.name}", where=path.parent, remedy="check out the branch that is to be locked", code="E201"
        )
    path = path.resolve()  # a link stays one
    content = path.read_bytes()
    entries = read_dataset_file(content, path, kind=kind).dataset_index
    chosen = _choose(entries, names, path)
    measured = pin_objects(chosen, _obtain_from(path.parent), deep=deep, num_parallel=num_parallel, show_progress=show_progress)
    problems = [problem for i in sorted(measured) for problem in _problems(measured[i])]
    if problems:
        raise UnlockableError(problems, path)
    outcome = LockOutcome(path, tuple(_compare(entries, measured, names)), check)
    if outcome.differing and not check:
        new = {i: found for i, found in measured.items() if isinstance(found, Integrity) and found != entries[i].integrity}
        _replace(path, content, with_integrity(content, new))
    return outcome


def _choose(entries: Sequence[ReleaseEntry], names: Collection[str], path: Path) -> dict[int, ReleaseEntry]:
    known = {entry.name for entry in entries}
    for name in names:
        if name not in known:
            raise DataReleaseError(f"there is no entry {name!r}", where=path, remedy=nearest(name, known))
    return {i: entry for i, entry in enumerate(entries) if entry.obs_path and (not names or entry.name in names)}


def _obtain_from(folder: Path) -> Callable[[ReleaseEntry], tuple[Path, str | None]]:
    registry = folder / REGISTRY_FILE
    profiles = StorageProfiles.of_release(registry.read_bytes() if registry.is_file() else None, registry)

    def obtain(entry: ReleaseEntry) -> tuple[Path, str | None]:
        if local_path(entry.obs_path) is not None:
            url = entry.obs_path if is_url(entry.obs_path) else str(folder / entry.obs_path)
            return fetch_object(url), None
        path = fetch_object(entry.obs_path, profiles=profiles)
        version_id = stat_object(entry.obs_path, profiles=profiles).version_id
        # The version is asked for by itself: it is that of the file only if the store still gives the same file.
        if version_id is not None and fetch_object(entry.obs_path, profiles=profiles) != path:
            raise RecordError(
                "an object changes while it is read", where=entry.obs_path, remedy="wait for its writer", code="E406"
            )
        return _under_its_hash(path), version_id

    return obtain


def _under_its_hash(path: Path) -> Path:
    # Where training looks for the object once it is pinned: neither the download nor the check is done twice.
    sha256 = sha256_of(path)
    blob = cached_blob(sha256)
    if not blob.exists() or sha256_of(blob) != sha256:
        with only_one_process(blob):
            blob.unlink(missing_ok=True)
            blob.hardlink_to(path)
        remember_sha256(blob, sha256)
    return blob


def _problems(measured: Measured) -> tuple[Problem, ...]:
    return () if isinstance(measured, Integrity) else measured


def _compare(entries: Sequence[ReleaseEntry], measured: dict[int, Measured], names: Collection[str]) -> Iterator[LockedEntry]:
    for i, entry in enumerate(entries):
        found = measured.get(i)
        if isinstance(found, Integrity):
            state: State = "same" if found == entry.integrity else "new" if entry.integrity is None else "changed"
            yield LockedEntry(entry.name, state, found, entry.integrity)
        elif not names or entry.name in names:
            yield LockedEntry(entry.name, "pending", None, entry.integrity)


def _replace(path: Path, old: bytes, new: bytes) -> None:
    mode = path.stat().st_mode
    try:
        with write_atomically(path) as file:
            file.write(new)
            os.fchmod(file.fileno(), stat.S_IMODE(mode))
            if path.read_bytes() != old:
                raise DataReleaseError(
                    "the dataset file was changed while its objects were read", where=path, remedy="lock again", code="E406"
                )
    except MachineError as error:
        raise MachineError(
            "the dataset file cannot be written", where=path, got=error.what, remedy="free some space", code="E404"
        ) from error
