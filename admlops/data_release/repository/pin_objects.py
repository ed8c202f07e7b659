"""Measure the objects behind entries: downloads in threads; the check of every record, where asked for, in processes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from tqdm import tqdm

from admlops.data_release.cache import identity_of, remember_sha256, remembered_sha256
from admlops.data_release.line_offsets import check_records
from admlops.data_release.problem import Problem, shorten
from admlops.data_release.scan_lines import scan_lines
from admlops.data_release.schema import Integrity, ReleaseEntry
from admlops.data_release.storage.object_store import is_url
from admlops.errors import AdmlopsError, MachineError, RecordError
from admlops.threads import available_cores

_WORTH_A_PROCESS_BYTES = 4 << 20
"""Smaller files are checked sooner than a process starts."""

Obtain = Callable[[ReleaseEntry], tuple[Path, str | None]]
Measured = Integrity | tuple[Problem, ...]


def pin_objects(
    entries: Mapping[int, ReleaseEntry], obtain: Obtain, *, deep: bool, num_parallel: int, show_progress: bool
) -> dict[int, Measured]:
    """Download, hash and count objects.

    Args:
        entries: By position in ``dataset_index``.
        obtain: Brings an entry's object to this machine; gives its file, and its version where its store keeps versions.
        deep: Check every record too.
        num_parallel: Objects that are downloaded at a time.
        show_progress: Draw a progress bar on standard error.

    Returns:
        By position: the object's integrity, or all of its faults.
    """
    found: dict[int, Measured] = {}
    num_workers = max(1, min(available_cores(), len(entries)))
    with _Checkers(num_workers) if deep else contextlib.nullcontext() as checkers, ThreadPoolExecutor(num_parallel) as threads:
        jobs = {threads.submit(_measure, entry, obtain, checkers): i for i, entry in entries.items()}
        try:
            for job in tqdm(as_completed(jobs), total=len(jobs), desc="locking", unit="object", disable=not show_progress):
                i = jobs[job]
                try:
                    found[i] = job.result()
                except AdmlopsError as error:
                    found[i] = (_problem(error, entries[i], i),)
                except _BadObjectError as bad:
                    found[i] = tuple(_problem(error, entries[i], i, bad.path) for error in bad.errors)
        finally:
            threads.shutdown(wait=True, cancel_futures=True)
    return found


class _BadObjectError(Exception):
    def __init__(self, path: Path, errors: tuple[RecordError, ...]) -> None:
        super().__init__()
        self.path = path
        self.errors = errors


class _Checkers:
    """Checks the records of a file, a large one in a process: Python runs only one thread of this one at a time."""

    def __init__(self, num_workers: int) -> None:
        # A fork costs no imports, but it is safe only before there are threads. Spawned processes start with the first job.
        method = "fork" if threading.active_count() == 1 else "spawn"
        context = multiprocessing.get_context(method)
        self._pool = ProcessPoolExecutor(num_workers, mp_context=context, initializer=_start_checker)
        if method == "fork":
            self._pool.submit(os.getpid).result()

    def __enter__(self) -> _Checkers:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def check(self, path: Path) -> tuple[RecordError, ...]:
        if path.stat().st_size < _WORTH_A_PROCESS_BYTES:
            return check_records(path)
        try:
            return self._pool.submit(check_records, path).result()
        except BrokenProcessPool:
            raise MachineError(
                "a process that checks records was killed", where=path, remedy="free some memory, then try again"
            ) from None


def _start_checker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_with, args=(parent,), daemon=True).start()


def _exit_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _measure(entry: ReleaseEntry, obtain: Obtain, checkers: _Checkers | None) -> Integrity:
    path, version_id = obtain(entry)
    before = identity_of(path)
    known = remembered_sha256(path)
    found = scan_lines(path, known)
    errors = (checkers.check(path) if checkers is not None else ()) or found.faults
    if identity_of(path) != before:
        raise RecordError("an index file changes while it is read", where=path, remedy="wait for its writer", code="E406")
    if errors:
        raise _BadObjectError(path, errors)
    if known is None:
        remember_sha256(path, found.sha256)
    return Integrity(sha256=found.sha256, bytes=found.num_bytes, num_samples=found.num_records, version_id=version_id)


def _problem(error: AdmlopsError, entry: ReleaseEntry, i: int, path: Path | None = None) -> Problem:
    # A cached copy has the name of its hash: say where the object is.
    where = str(error.where or entry.obs_path)
    return Problem(
        code=error.code or "E400",
        what=f"entry {entry.name!r}: {error.what}",
        expected=str(error.expected or "an index file of valid records"),
        got=str(error.got or shorten(entry.obs_path)),
        remedy=error.remedy or "correct it and lock again",
        where=where.replace(str(path), entry.obs_path) if path is not None and is_url(entry.obs_path) else where,
        json_path=f"$.dataset_index[{i}]",
    )
