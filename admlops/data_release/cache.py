"""Where derived files live (``$ADMLOPS_CACHE``, else ``~/.cache/admlops``), and how they are written.

A file appears under its name complete or not at all: written beside it, then renamed. So processes share the cache without
locks; two that make the same file do the work twice and the last rename wins with
the same content.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from admlops.errors import MachineError

_CHUNK_BYTES = 1 << 20
_CLOCK_TICK_NS = 20_000_000
_LOCK_POLL_S = 0.05


def cache_root() -> Path:
    """Folder of the cache, made where it does not exist yet.

    Returns:
        ``$ADMLOPS_CACHE`` where set, else ``~/.cache/admlops``.
    """
    return Path(os.environ.get("ADMLOPS_CACHE") or Path.home() / ".cache" / "admlops").absolute()


@contextlib.contextmanager
def write_atomically(path: Path) -> Iterator[BinaryIO]:
    """Write a file that others see complete or not at all.

    Args:
        path: Its final name; folders are made.

    Yields:
        An open binary file beside it, renamed at the end of the block, deleted where the block raises.

    Raises:
        MachineError: E404, the folder cannot be written or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        with os.fdopen(fd, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """Hash a file; the result is remembered in the cache as long as path, size, and times of change stay.

    Args:
        path: An existing file.

    Returns:
        64 hex digits.
    """
    memo = _memo_of(path)
    known = _read_memo(memo)
    if known is not None:
        return known
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            hasher.update(chunk)
    if _memo_of(path) == memo:
        _remember(memo, hasher.hexdigest())
    return hasher.hexdigest()


def remembered_sha256(path: Path) -> str | None:
    """Give a file's hash where that costs no reading of it.

    Args:
        path: An existing file.

    Returns:
        64 hex digits; None where its present content was not hashed before.
    """
    return _read_memo(_memo_of(path))


def remember_sha256(path: Path, sha256: str) -> None:
    """Spare ``sha256_of`` the reading of a file whose hash was computed while it was written.

    Args:
        path: The file, complete.
        sha256: Its hash, 64 hex digits.
    """
    _remember(_memo_of(path), sha256)


def _memo_of(path: Path) -> Path:
    return cache_root() / "sha256" / identity_of(path)


def _read_memo(memo: Path) -> str | None:
    with contextlib.suppress(OSError):
        digest = memo.read_text("ascii")
        if len(digest) == 64:
            return digest
    return None


def _remember(memo: Path, sha256: str) -> None:
    with write_atomically(memo) as file:
        file.write(sha256.encode("ascii"))


def identity_of(path: Path) -> str:
    """Name a file's present content without reading it.

    Waits until the file is older than the clock's tick, so that a later change cannot carry the same times.

    Args:
        path: An existing file.

    Returns:
        32 hex digits over real path, inode, size, and times of modification and change (a copy that keeps its modification
        time, such as one by rsync, still changes the latter).
    """
    stat = path.stat()
    age_ns = time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns)
    if 0 <= age_ns < _CLOCK_TICK_NS:
        time.sleep((_CLOCK_TICK_NS - age_ns) / 1e9)
        stat = path.stat()
    parts = (os.path.realpath(path), stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]


@contextlib.contextmanager
def only_one_process(path: Path, deadline: float | None = None) -> Iterator[None]:
    """Let processes pass one by one, so that one makes a file and the others find it.

    Args:
        path: The file to be made; ``<path>.lock`` is held. The kernel releases it when a process dies.
        deadline: Time of the monotonic clock until which to wait; None waits as long as it takes.

    Yields:
        While the lock is held.

    Raises:
        MachineError: E404, the folder cannot be written; E403, another process held the lock until the deadline.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        if deadline is None:
            fcntl.flock(fd, fcntl.LOCK_EX)
        else:
            _lock_until(deadline, fd, path)
        yield
    finally:
        os.close(fd)


def _lock_until(deadline: float, fd: int, path: Path) -> None:
    pause_s = _LOCK_POLL_S / 64
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        if time.monotonic() >= deadline:
            raise MachineError(
                "another process is still making a file of the cache",
                where=path,
                remedy="wait for it or stop it, then try again; what it has made so far is kept",
                code="E403",
            )
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LOCK_POLL_S)


def _unwritable(path: Path, error: OSError) -> MachineError:
    return MachineError(
        f"the cache cannot be written: {error.strerror}",
        where=path,
        expected="a writable folder with free space",
        remedy="free some space, or set ADMLOPS_CACHE to a folder on another disk",
        code="E404",
    )
