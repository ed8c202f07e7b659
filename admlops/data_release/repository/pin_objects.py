"""Measure the objects behind entries: downloads in threads; the check of every record, where asked for, in processes."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing.connection import Connection
from pathlib import Path

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
    checkers = _Checkers(max(1, min(available_cores(), len(entries)))) if deep else None
    with ThreadPoolExecutor(num_parallel) as threads:
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
        self._turns = threading.BoundedSemaphore(num_workers)

    def check(self, path: Path) -> tuple[RecordError, ...]:
        if path.stat().st_size < _WORTH_A_PROCESS_BYTES:
            return check_records(path)
        with self._turns:
            return check_in_process(path)


def check_in_process(path: Path) -> tuple[RecordError, ...]:
    """Check the records of a file in a process of its own.

    Not in a ``ProcessPoolExecutor``: where one of its processes is killed while another starts, it waits for the other for ever
    (seen with Python 3.11). Spawned, because a fork is not safe beside the threads that download.

    Args:
        path: The file.

    Returns:
        What ``check_records`` finds.

    Raises:
        MachineError: The process was killed.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_check_into, args=(sender, path), daemon=True)
    try:
        process.start()
        sender.close()
        answer = receiver.recv()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise MachineError(
            "a process that checks records was killed", where=path, remedy="free some memory, then try again"
        ) from None
    finally:
        receiver.close()
        if process.pid is not None:
            process.join()
    if isinstance(answer, Exception):
        raise answer
    errors: tuple[RecordError, ...] = answer
    return errors


def _check_into(sender: Connection, path: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    try:
        sender.send(check_records(path))
    except (AdmlopsError, OSError) as error:
        sender.send(error)


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
