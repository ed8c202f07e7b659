"""A download that is not complete yet: its bytes, what they are from, their hash."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from pathlib import Path

from admlops.data_release.storage.object_store import ObjectInfo
from admlops.errors import MachineError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_CHUNK_BYTES = 1 << 20


class PartFile:
    """``<path>.part`` and, beside it, the ETag of the object that its bytes are from; left where it is when a download fails.

    To be used by one process at a time.

    Args:
        path: Final name.

    Attributes:
        size: Bytes on disk.
        etag: Of the object that they are from.
    """

    size: int
    etag: str | None

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._note = path.with_name(path.name + ".part.etag")
        self._fd = -1
        self.resumed = False
        self._hasher = hashlib.sha256()
        self.size, self.etag = 0, None

    def __enter__(self) -> PartFile:
        try:
            self._part.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            self.etag = self._note.read_text("utf-8") if self._note.exists() else None
            while chunk := os.read(self._fd, _CHUNK_BYTES):
                self._hasher.update(chunk)
                self.size += len(chunk)
        except OSError as error:
            raise self._unwritable(error) from error
        self.resumed = self.size > 0
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    @property
    def sha256(self) -> str:
        """Hash of the bytes."""
        return self._hasher.hexdigest()

    def begin(self, info: ObjectInfo) -> None:
        """Note what the bytes that follow are from; refuse them where they cannot fit.

        Args:
            info: Of the object.

        Raises:
            MachineError: E404, the disk is full.
        """
        needed = (info.size or 0) - self.size
        free = shutil.disk_usage(self._part.parent).free
        if needed > free:
            raise self._full(f"{free} bytes free", f"{needed} bytes")
        self.etag = info.etag
        try:
            if info.etag is None:
                self._note.unlink(missing_ok=True)
            else:
                self._note.write_text(info.etag, "utf-8")
        except OSError as error:
            raise self._unwritable(error) from error

    def write(self, chunk: bytes) -> None:
        """Append bytes.

        Args:
            chunk: The bytes.

        Raises:
            MachineError: E404, the disk is full or a limit on file sizes is reached.
        """
        view = memoryview(chunk)
        while view:
            try:
                count = os.write(self._fd, view)
            except OSError as error:
                raise self._unwritable(error) from error
            self._hasher.update(view[:count])
            self.size += count
            view = view[count:]

    def restart(self) -> None:
        """Drop all bytes."""
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self._note.unlink(missing_ok=True)
        self._hasher = hashlib.sha256()
        self.size, self.etag, self.resumed = 0, None, False

    def finish(self) -> None:
        """Give the file its final name, on disk to its last byte.

        Raises:
            MachineError: E404, the disk is full.
        """
        try:
            os.fsync(self._fd)
            self._part.replace(self._path)
        except OSError as error:
            raise self._unwritable(error) from error
        self._note.unlink(missing_ok=True)

    def discard(self) -> None:
        """Delete it."""
        with contextlib.suppress(OSError):
            self._part.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)

    def _unwritable(self, error: OSError) -> MachineError:
        if error.errno in _FULL:
            return self._full(f"{error.strerror}, after {self.size} bytes", "room for the object")
        return MachineError(
            f"the cache cannot be written: {error.strerror}",
            where=self._part,
            remedy="set ADMLOPS_CACHE to a folder that can be written",
            code="E404",
        )

    def _full(self, got: str, expected: str) -> MachineError:
        return MachineError(
            "there is no room for an object in the cache",
            where=self._part,
            expected=expected,
            got=got,
            remedy="free some space, raise the limit (ulimit -f), or set ADMLOPS_CACHE to a folder on another disk; "
            "what arrived is kept and completed then",
            code="E404",
        )
