"""Bring what a release names onto this machine, ahead of training."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from admlops.data_release.jsonl_index import JsonlIndex
from admlops.data_release.locate import Located
from admlops.data_release.record import paths_in
from admlops.data_release.repository.open_at import open_at
from admlops.data_release.schema import ReleaseEntry
from admlops.data_release.storage import RemotePath, is_url, path_of
from admlops.data_release.text_table import text_table
from admlops.data_release.training_release import TrainingRelease
from admlops.errors import DataReleaseError, nearest
from admlops.task_spec import TASKS

_NUM_THREADS = 16
_BATCH = 1024


@dataclass(frozen=True)
class FetchedEntry:
    """What became of an entry.

    Attributes:
        name: Of the entry.
        index: ``local``, ``cached`` (here before), ``fetched``, or ``pending``: it is not produced yet.
        index_bytes: Size of its index file.
        images_cached: Images, sweeps and files of labels in a store that were here before.
        images_fetched: Those that came now.
        image_bytes: Size of the latter.
    """

    name: str
    index: str
    index_bytes: int
    images_cached: int = 0
    images_fetched: int = 0
    image_bytes: int = 0


@dataclass(frozen=True)
class FetchOutcome:
    """What is on this machine now.

    Attributes:
        ref: What was asked for.
        entries: In the order of the release.
    """

    ref: str
    entries: tuple[FetchedEntry, ...]

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        return {"ref": self.ref, "entries": [asdict(entry) for entry in self.entries]}

    def to_text(self) -> str:
        """Lay it out for a terminal."""
        header = ("entry", "index", "bytes", "images cached", "images fetched", "bytes")
        return text_table(header, [tuple(asdict(entry).values()) for entry in self.entries])


def fetch(repo: str | Path, ref: str, tasks: Collection[str] = (), *, images: bool = False) -> FetchOutcome:
    """Bring index files, and on demand images, sweeps and files of labels, of a release into the cache.

    Args:
        repo: The repository.
        ref: Tag, commit, branch, or ``WORKTREE``.
        tasks: Only what serves these; everything where empty.
        images: Also fetch what the records name, as far as it lies in a store.

    Returns:
        What is here now.

    Raises:
        DataReleaseError: The release is invalid (see ``open_release``), a task is unknown, or an object cannot be had (see
            ``fetch_object``).
        RecordError: A line of an index file is no valid record.
        MachineError: E404, no room in the cache.
    """
    release = open_at(repo, ref)
    unknown = sorted(set(tasks) - release.tasks) if release.tasks else []
    if unknown:
        raise DataReleaseError(
            f"the release does not know task {unknown[0]!r}",
            where=release.where,
            remedy="leave it out of --tasks" if unknown[0] in TASKS else nearest(unknown[0], release.tasks),
            code="E301",
        )
    return FetchOutcome(ref, tuple(_fetch_entry(release, entry, images) for entry in _chosen(release, tasks)))


def _chosen(release: TrainingRelease, tasks: Collection[str]) -> Iterator[ReleaseEntry]:
    for entry in release.entries:
        served = release.tasks_of(entry)
        if not tasks or served is None or served & set(tasks):
            yield entry


def _fetch_entry(release: TrainingRelease, entry: ReleaseEntry, images: bool) -> FetchedEntry:
    if not entry.obs_path:
        return FetchedEntry(entry.name, "pending", 0)
    began_ns = time.time_ns()
    located = release.locate(entry)
    stat = located.path.stat()
    state = "local"
    if isinstance(located.base_dir, RemotePath):
        state = "fetched" if stat.st_mtime_ns >= began_ns else "cached"
    counts = _fetch_images(release, located) if images else (0, 0, 0)
    return FetchedEntry(entry.name, state, stat.st_size, *counts)


def _fetch_images(release: TrainingRelease, located: Located) -> tuple[int, int, int]:
    cached = fetched = size = 0
    index = JsonlIndex(located.path)
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        for start in range(0, len(index), _BATCH):
            records = (index[i] for i in range(start, min(start + _BATCH, len(index))))
            paths = {path for record in records for path in _objects(release, located, record)}
            for num_bytes in pool.map(_have, paths):
                cached += num_bytes is None
                fetched += num_bytes is not None
                size += num_bytes or 0
    return cached, fetched, size


def _objects(release: TrainingRelease, located: Located, record: Mapping[str, Any]) -> Iterator[RemotePath]:
    for name in paths_in(record):
        path = path_of(name, release.origin.profiles) if is_url(name) else located.base_dir / name
        if isinstance(path, RemotePath):
            yield path


def _have(path: RemotePath) -> int | None:
    return None if path.is_cached() else len(path.read_bytes())
