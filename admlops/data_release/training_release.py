"""A data release, opened from a folder or from a git repository at a tag."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from admlops.data_release.bad_lines import limit_of
from admlops.data_release.cache import sha256_of
from admlops.data_release.dataset_file import read_dataset_file
from admlops.data_release.git_repository import GitRepository
from admlops.data_release.locate import Located, Origin, locate
from admlops.data_release.schema import FILE_OF_KIND, Kind, ReleaseEntry, ReleaseMeta, TrainingDataset
from admlops.data_release.storage import DataPath, RemotePath, is_url, path_of, stat_object
from admlops.errors import DataReleaseError, nearest
from admlops.task_spec import TASKS

_LACKS_TASK = "leave it out of data_release.tasks; where records label it, add it to the release's meta.tasks and task_tags"
"""What to do about a task that is spelt right: another name would be another task."""


@dataclass(frozen=True)
class SelectedEntry:
    """An entry that serves requested tasks, with its index file found.

    Attributes:
        name: The entry's name.
        index_path: Its index file, for ``JsonlIndex``.
        base_dir: What relative paths inside its records refer to.
        duplicate: How often an epoch visits each of its samples.
        tasks: The requested tasks that it serves.
        max_bad: Bad lines that its index may leave out, for ``JsonlIndex``.
    """

    name: str
    index_path: Path
    base_dir: DataPath
    duplicate: int
    tasks: frozenset[str]
    max_bad: int = 0


class TrainingRelease:
    """The content of a ``training_dataset.json`` and where it came from. Made by ``open_release``.

    Args:
        dataset: The checked content.
        origin: What its relative paths refer to.
        where: Path of the file, with the ref where it was read from a git repository.
        file_sha256: Hash of the file.
        kind: Which of the two files it is.
        ref: What was asked for, where it was read from a git repository.
        max_bad: Bad lines that the index of an entry may leave out.

    Attributes:
        meta: Name, versions and tasks of the release.
        entries: Its sources.
        origin: What its relative paths refer to.
        kind: Which of the two files it is.
        ref: What was asked for, where it was read from a git repository.
        commit: Full sha, where it was read from a git repository.
        where: Path of the file, with the ref where it was read from a git repository.
        file_sha256: Hash of the file.
        max_bad: Bad lines that the index of an entry may leave out.
    """

    meta: ReleaseMeta
    entries: tuple[ReleaseEntry, ...]

    def __init__(
        self,
        dataset: TrainingDataset,
        origin: Origin,
        where: str,
        file_sha256: str,
        kind: Kind = "regular",
        ref: str | None = None,
        max_bad: int = 0,
    ) -> None:
        self.meta = dataset.meta
        self.entries = dataset.dataset_index
        self.where = where
        self.origin = origin
        self.kind = kind
        self.ref = ref
        self.commit = origin.commit
        self.file_sha256 = file_sha256
        self.max_bad = max_bad

    @property
    def tasks(self) -> frozenset[str]:
        """Tasks that the release names; empty in files older than tags, which serve any."""
        tagged = (entry.task_tags or () for entry in self.entries)
        return frozenset(self.meta.tasks or ()).union(*tagged)

    def tasks_of(self, entry: ReleaseEntry) -> frozenset[str] | None:
        """Tell which tasks an entry serves.

        Args:
            entry: One of ``entries``.

        Returns:
            Its ``task_tags``; without them ``meta.tasks``; None where that is absent too: it serves whatever is requested.
        """
        tags = entry.task_tags if entry.task_tags is not None else self.meta.tasks
        return None if tags is None else frozenset(tags)

    def locate(self, entry: ReleaseEntry) -> Located:
        """Find an entry's index file.

        Args:
            entry: One of ``entries``.

        Returns:
            The file, present and verified.

        Raises:
            DataReleaseError: It cannot be had, see ``locate.locate``.
        """
        return locate(entry, self.origin, self.max_bad)

    def select(self, tasks: Sequence[str]) -> tuple[SelectedEntry, ...]:
        """Choose the entries that serve tasks and find their index files.

        Which tasks an entry serves is told by ``tasks_of``.

        Args:
            tasks: Names of the requested tasks.

        Returns:
            The entries that serve at least one of them, in the order of the file.

        Raises:
            DataReleaseError: E301, a task that the release does not know; E302, no entry serves a task; or an index file
                cannot be had, see ``locate``.
        """
        requested = frozenset(tasks)
        serves = [(entry, requested & self._served(entry, requested)) for entry in self.entries]
        self._refuse_unserved(requested, frozenset().union(*(served for _, served in serves)))
        selected = []
        for entry, served in serves:
            if served:
                located = self.locate(entry)
                selected.append(
                    SelectedEntry(entry.name, located.path, located.base_dir, entry.duplicate, served, self.max_bad)
                )
        return tuple(selected)

    @cached_property
    def digest(self) -> str:
        """Sha256 over the file and the content of its index files; independent of where they lie."""
        hasher = hashlib.sha256(self.file_sha256.encode("ascii"))
        for entry in self.entries:
            hasher.update(f"\n{self._content_of(entry)}".encode())
        return hasher.hexdigest()

    def _content_of(self, entry: ReleaseEntry) -> str:
        if entry.integrity is not None:
            return entry.integrity.sha256  # verified when the entry is selected
        try:
            if is_url(entry.obs_path) and isinstance(path_of(entry.obs_path, self.origin.profiles), RemotePath):
                # Not downloaded for this: entries that are not selected may be large.
                info = stat_object(entry.obs_path, profiles=self.origin.profiles)
                return f"{info.size} bytes, ETag {info.etag}"
            return sha256_of(self.locate(entry).path)
        except DataReleaseError as error:
            if error.code == "E403":  # a store that does not answer says nothing about the content
                raise
            # Not on this machine, so not selected either; its path is covered by the file's hash.
            return "absent"

    def _served(self, entry: ReleaseEntry, requested: frozenset[str]) -> frozenset[str]:
        served = self.tasks_of(entry)
        return requested if served is None else served

    def _refuse_unserved(self, requested: frozenset[str], served: frozenset[str]) -> None:
        missing = sorted(requested - served)
        if requested and not missing:
            return
        unknown = [task for task in missing if task not in self.tasks]
        if unknown:
            raise DataReleaseError(
                f"the release does not know task {unknown[0]!r}",
                where=self.where,
                expected=f"some of {', '.join(sorted(self.tasks))}",
                got=", ".join(unknown),
                remedy=_LACKS_TASK if unknown[0] in TASKS else nearest(unknown[0], self.tasks),
                code="E301",
            )
        raise DataReleaseError(
            f"no entry serves {', '.join(missing)}" if missing else "no task was requested",
            where=self.where,
            expected="at least one entry for every requested task",
            remedy="tag an entry with the task, or do not request it" if missing else f"choose from {sorted(self.tasks)}",
            code="E302",
        )


def open_release(
    *,
    root: str | Path | None = None,
    repo: str | Path | None = None,
    ref: str | None = None,
    kind: Kind = "regular",
    on_bad_line: str = "raise",
    max_bad: int | None = None,
) -> TrainingRelease:
    """Open a data release.

    Args:
        root: Folder that holds ``training_dataset.json``; for data that is not under version control.
        repo: Folder of a git repository; with ``ref``.
        ref: Tag (``multi_task/v1.0.0``), commit or branch. The working tree is never read.
        kind: ``"dagger"`` reads ``training_dataset.dagger.json``, which is never read otherwise.
        on_bad_line: ``"raise"``: a line of an index file that is no valid record is an error. ``"quarantine"``: it is left out,
            counted, and written down.
        max_bad: How many lines of one index file may be left out; with ``"quarantine"``.

    Returns:
        The release; its file is checked, its index files are not opened yet.

    Raises:
        DataReleaseError: Neither or both of root and repo; no such folder, repository, ref or file; or the file is invalid (all
            faults are listed).
        ConfigError: ``on_bad_line`` and ``max_bad`` do not fit.
    """
    if (root is None) == (repo is None) or (repo is None) != (ref is None):
        raise DataReleaseError(
            "a data release needs either a folder or a repository with a ref",
            expected="root='folder', or repo='folder', ref='multi_task/v1.0.0'",
            got=f"root={root!r}, repo={repo!r}, ref={ref!r}",
            remedy="a repository is read at a fixed tag so that the training can be traced" if repo is not None else None,
        )
    if kind not in FILE_OF_KIND:
        raise DataReleaseError(f"unknown kind {kind!r}", expected="regular or dagger", remedy=nearest(str(kind), FILE_OF_KIND))
    limit = limit_of(on_bad_line, max_bad)
    name = FILE_OF_KIND[kind]
    content: bytes | None
    if repo is not None and ref is not None:
        repository = GitRepository.open(repo)
        commit = repository.resolve(ref)
        origin = Origin(repository.base_dir, repository, commit)
        where = f"{repository.path / name} at {ref} ({commit[:12]})"
        content = repository.read(commit, name)
    else:
        folder = Path(str(root)).expanduser().absolute()
        origin = Origin(folder)
        where = str(folder / name)
        content = (folder / name).read_bytes() if (folder / name).is_file() else None
    if content is None:
        raise _no_dataset_file(name, where, origin)
    dataset = read_dataset_file(content, where, kind=kind)
    return TrainingRelease(dataset, origin, where, hashlib.sha256(content).hexdigest(), kind, ref, limit)


def _no_dataset_file(name: str, where: str, origin: Origin) -> DataReleaseError:
    if origin.repository is None and origin.base_dir.is_file():
        remedy = f"give the folder: root='{origin.base_dir.parent}'"
    elif origin.repository is None and not origin.base_dir.is_dir():
        remedy = f"there is no folder {origin.base_dir}"
    elif name == FILE_OF_KIND["regular"]:
        remedy = "for DAgger data say kind='dagger'; to make a release see the data release guide"
    else:
        remedy = f"{FILE_OF_KIND['regular']} is read with kind='regular'"
    return DataReleaseError(f"there is no {name}", where=where, remedy=remedy, code="E201")
