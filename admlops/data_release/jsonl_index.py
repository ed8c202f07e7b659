"""Random access to the records of a JSONL file: line offsets, ``pread``, orjson.

The file itself is never converted. The offsets (8 bytes a line) lie in the cache, are mapped read-only and so are shared by all
processes; a record costs one ``pread`` and one parse. ``pread`` rather than ``mmap``: a file cut short while it is read is an
error instead of a crash, and its pages are not counted to the worker's memory.

What counts as a line: records end with LF or CR LF, the last one may lack it, empty lines (spaces only) are skipped.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from admlops.data_release.bad_lines import BadLine
from admlops.data_release.line_offsets import load_offsets, version_of
from admlops.errors import RecordError


class JsonlIndex:
    """The records of a JSONL file, by position.

    Opening builds or reuses the offsets: the first time all records are parsed and checked, so that bad input is refused here
    and not in the middle of training. Pickling keeps the path only; each process opens the file when it reads its first
    record, so the index can be used across fork and spawn.

    Args:
        path: The JSONL file.
        version: What ``version`` said earlier; the file must not have changed since. For copies in other processes.
        max_bad: Lines that may be left out because they are no valid records; without it the first one is an error.

    Raises:
        RecordError: E401, no such file; E405, a malformed line, or more bad ones than ``max_bad``; E407, a ``sample_id`` that
            appears twice; E410, an invalid record; E406, the file is not the one that ``version`` named.
    """

    def __init__(self, path: str | Path, *, version: str | None = None, max_bad: int = 0) -> None:
        self._path = Path(path).absolute()
        self._fd = self._pid = -1
        self._max_bad = max_bad
        self._lines = load_offsets(self._path, max_bad)
        if version not in {None, self._lines.version}:
            raise self._changed(None)

    @property
    def path(self) -> Path:
        """The JSONL file."""
        return self._path

    @property
    def version(self) -> str:
        """Size and time of modification of the file."""
        return self._lines.version

    @property
    def quarantined(self) -> tuple[BadLine, ...]:
        """Lines that are left out."""
        return self._lines.bad

    @property
    def sidecar(self) -> Path | None:
        """Where the lines that are left out are written down; None where there are none."""
        return self._lines.sidecar

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Read a record.

        Args:
            index: From 0, or negative from the end.

        Returns:
            The record.

        Raises:
            RecordError: E406, the file was cut or changed after it was opened.
            IndexError: No such record.
        """
        position = self._position(index)
        start, length = self._lines.span(position)
        line = os.pread(self._descriptor(), length, start)
        if self._lines.bad:
            line = line.partition(b"\n")[0]
        try:
            record = orjson.loads(line)  # a line cut short is never a whole object
        except orjson.JSONDecodeError as error:
            raise self._changed(position) from error
        if type(record) is not dict:
            raise self._changed(position)
        return record

    def where(self, index: int) -> str:
        """Name a record's place for a message.

        Args:
            index: From 0, or negative from the end.

        Returns:
            ``file:line (byte n)``, lines counted from 1.
        """
        position = self._position(index)
        return f"{self._path}:{self._lines.line_number(position)} (byte {self._lines.span(position)[0]})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_reopen, (str(self._path), self.version, self._max_bad))

    def __del__(self) -> None:
        if getattr(self, "_pid", -1) == os.getpid():
            os.close(self._fd)

    def _position(self, index: int) -> int:
        size = len(self._lines)
        if not -size <= index < size:
            raise IndexError(f"record {index} of {size} in {self._path}")
        return index % size

    def _descriptor(self) -> int:
        if self._pid != os.getpid():
            # One descriptor a process: what fork hands down belongs to the parent.
            try:
                fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise self._changed(None) from error
            if version_of(os.fstat(fd)) != self.version:
                os.close(fd)
                raise self._changed(None)
            self._fd, self._pid = fd, os.getpid()
        return self._fd

    def _changed(self, position: int | None) -> RecordError:
        return RecordError(
            "an index file was cut, changed or deleted while it was in use",
            where=self._path if position is None else self.where(position),
            expected="the file that was indexed",
            remedy="restore the file and start again; write changed data to a new file",
            code="E406",
        )


@dataclass(frozen=True)
class RecordPlace:
    """Where a record stands; put into words only when an error needs it, since that counts the lines before it.

    Attributes:
        index: The JSONL file.
        line: Number of the record in it, from 0.
    """

    index: JsonlIndex
    line: int

    def __str__(self) -> str:
        return self.index.where(self.line)


def _reopen(path: str, version: str, max_bad: int) -> JsonlIndex:
    return JsonlIndex(path, version=version, max_bad=max_bad)
