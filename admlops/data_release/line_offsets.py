"""Where the lines of a JSONL file begin: built once with every record checked, then mapped from the cache.

Cache file ``index/<identity>.u64``, all little endian uint64: format, number of records N, size of the JSONL file, number of
empty lines; then N + 1 offsets (the last is the file's end); then, only where there are empty lines, N line numbers.
"""

from __future__ import annotations

import logging
import os
from array import array
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson

from admlops.data_release.bad_lines import BadLine, read_bad_lines, refuse_more, write_bad_lines
from admlops.data_release.cache import cache_root, identity_of, only_one_process, write_atomically
from admlops.data_release.record import validate_record
from admlops.errors import RecordError, nearest

_LOGGER = logging.getLogger(__name__)

# Raise the last digit when records are checked more strictly: files are then checked again.
_FORMAT = 0x41444D4C_00000002
_HEADER_WORDS = 4
_READ_BYTES = 1 << 20
_MAX_FAULTS = 20
"""Named of one file; a file with more was most often written by a faulty program."""
_REPORTED_BYTES = 1 << 28
BLANK = b" \t\r\n"
"""A line of nothing else is no record."""

U64Array = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class LineOffsets:
    """Where the records of a file stand.

    Attributes:
        starts: (N + 1,) byte at which each record begins; the last is the file's size.
        numbers: (N,) line numbers from 1; None where record i stands in line i + 1.
        version: Of the file: its size and time of modification.
        bad: Lines that are left out; they follow records within ``span``.
        sidecar: Where these are written down; None where there are none.
    """

    starts: U64Array
    numbers: U64Array | None
    version: str
    bad: tuple[BadLine, ...] = ()
    sidecar: Path | None = None

    def __len__(self) -> int:
        return len(self.starts) - 1

    def span(self, position: int) -> tuple[int, int]:
        """First byte and length of a record, its line end (and empty or bad lines after it) included.

        Args:
            position: From 0.

        Returns:
            Start and length in bytes.
        """
        start = int(self.starts[position])
        return start, int(self.starts[position + 1]) - start

    def line_number(self, position: int) -> int:
        """Line of a record.

        Args:
            position: From 0.

        Returns:
            Counted from 1.
        """
        return position + 1 if self.numbers is None else int(self.numbers[position])


def load_offsets(path: Path, max_bad: int = 0) -> LineOffsets:
    """Map a file's line offsets from the cache; build them where they are missing.

    Args:
        path: The JSONL file.
        max_bad: Lines that may be left out because they are no valid records (E405, E410).

    Returns:
        The offsets.

    Raises:
        RecordError: E401, no such file; E405, a malformed line; E406, the file changes meanwhile; E407, a ``sample_id`` that
            appears twice; E410, an invalid record.
        MachineError: E404, the cache cannot be written.
    """
    if not path.is_file():
        raise _missing(path)
    identity = identity_of(path)
    cached = cache_root() / "index" / f"{identity}.u64"
    version = version_of(path.stat())
    offsets = _load(cached, version, max_bad)
    if offsets is None:
        with only_one_process(cached):
            offsets = _load(cached, version, max_bad)
            if offsets is None:
                _build(path, identity, cached, max_bad)
                offsets = _load(cached, version, max_bad)
    if offsets is None:
        raise RecordError("the offsets of an index file vanished from the cache", where=cached, remedy="try again", code="E401")
    refuse_more(offsets.bad, max_bad, path)
    return offsets


def version_of(stat: os.stat_result) -> str:
    """Name the version of a file that a running job reads.

    Weaker than the key of the cache on purpose: a job goes on when someone changes the file's mode or links it.

    Args:
        stat: Of the file.

    Returns:
        Size and time of modification.
    """
    return f"{stat.st_size}-{stat.st_mtime_ns}"


def _load(cached: Path, version: str, max_bad: int) -> LineOffsets | None:
    offsets = _map(cached, version)
    if offsets is None and max_bad:
        # Under a name of its own: who does not ask for it never gets an index that leaves lines out.
        sidecar = cached.with_suffix(".bad.jsonl")
        offsets, bad = _map(_lenient(cached), version), read_bad_lines(sidecar)
        if offsets is not None and bad is not None:
            return replace(offsets, bad=bad, sidecar=sidecar)
        return None
    return offsets


def _lenient(cached: Path) -> Path:
    return cached.with_suffix(".lenient.u64")


def _map(cached: Path, version: str) -> LineOffsets | None:
    try:
        # A plain view: memmap's own indexing costs as much as parsing a short record.
        words: U64Array = np.memmap(cached, dtype="<u8", mode="r").view(np.ndarray)
    except (OSError, ValueError):
        return None
    if len(words) < _HEADER_WORDS or int(words[0]) != _FORMAT:
        return None
    count, size, num_blank = (int(word) for word in words[1:_HEADER_WORDS])
    end = _HEADER_WORDS + count + 1
    if len(words) != end + (count if num_blank else 0) or int(words[end - 1]) != size:
        return None
    return LineOffsets(words[_HEADER_WORDS:end], words[end:] if num_blank else None, version)


def check_records(path: Path) -> tuple[RecordError, ...]:
    """Check every record, as for an index, which is kept where they are valid; but tell of more faults than the first.

    Args:
        path: The JSONL file.

    Returns:
        What is wrong (E401, E405, E406, E407, E410), in the order of the file, at most 20 faults.

    Raises:
        MachineError: E404, the cache cannot be written.
    """
    try:
        load_offsets(path)
    except RecordError as error:
        return (_bad_lines(path) if path.is_file() else ()) or (error,)
    return ()


def _bad_lines(path: Path) -> tuple[RecordError, ...]:
    found: list[RecordError] = []
    start = 0
    with path.open("rb", buffering=_READ_BYTES) as file:
        for number, line in enumerate(file, start=1):
            if len(found) == _MAX_FAULTS:
                break
            if line.strip(BLANK):
                try:
                    _check_line(line, path, number, start)
                except RecordError as error:
                    found.append(error)
            start += len(line)
    return tuple(found)


def _build(path: Path, identity: str, cached: Path, max_bad: int) -> None:
    bad: list[BadLine] = []
    starts, numbers, ids = array("Q"), array("Q"), array("q")
    start = number = 0
    with path.open("rb", buffering=_READ_BYTES) as file:
        if os.fstat(file.fileno()).st_size >= _REPORTED_BYTES:
            _LOGGER.info("checking every record of %s, once", path)
        for line in file:
            number += 1
            if line.strip(BLANK):
                try:
                    sample_id = _check_line(line, path, number, start)
                except RecordError as error:
                    if not max_bad:
                        raise
                    bad.append(BadLine(str(path), number, start, str(error.code), error.what))
                    refuse_more(bad, max_bad, path)
                else:
                    starts.append(start)
                    numbers.append(number)
                    ids.append(sample_id)
            start += len(line)
    if identity_of(path) != identity:
        raise RecordError("an index file changes while it is read", where=path, remedy="wait for its writer", code="E406")
    starts.append(start)
    _refuse_repeated(path, ids, starts, numbers)
    num_blank = number - len(numbers)
    if bad:
        sidecar = cached.with_suffix(".bad.jsonl")
        write_bad_lines(sidecar, bad)
        _LOGGER.warning("%d bad lines of %s are left out, see %s", len(bad), path, sidecar)
    with write_atomically(_lenient(cached) if bad else cached) as out:
        header = np.array([_FORMAT, len(numbers), start, num_blank], dtype="<u8")
        for words in (header, starts, numbers if num_blank else array("Q")):
            out.write(np.asarray(words, dtype="<u8").tobytes())


def _check_line(line: bytes, path: Path, number: int, start: int) -> int:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise _bad_line(line, path, number, start, error) from error
    try:
        validate_record(record)
    except RecordError as error:
        error.where = _where(path, number, start)
        raise
    return hash(record["sample_id"])


def _bad_line(line: bytes, path: Path, number: int, start: int, error: orjson.JSONDecodeError) -> RecordError:
    remedy = "correct or remove this line"
    if line.startswith(b"\xef\xbb\xbf"):
        remedy = "save the file as UTF-8 without a byte order mark"
    elif line.startswith(b"version https://git-lfs"):
        remedy = "the file is a Git LFS pointer: run `git lfs pull`"
    elif not line.endswith(b"\n"):
        remedy = "the last line is cut off: copy the file again"
    shown = line.strip(BLANK)
    try:
        line.decode("utf-8")
        # The parser counts in characters; the text before the fault says how many bytes that is.
        column, offset, reason = error.colno, len(error.doc[: error.pos].encode("utf-8")), error.msg
    except UnicodeDecodeError as not_utf8:
        offset, reason = not_utf8.start, "it is not UTF-8"
        column = len(line[:offset].decode("utf-8")) + 1
    return RecordError(
        f"a line is no JSON: {reason}",
        where=f"{path}:{number}:{column} (byte {start + offset})",
        expected="one JSON object a line",
        got=repr(shown[:80]) + ("..." if len(shown) > 80 else ""),
        remedy=remedy,
        code="E405",
    )


def _refuse_repeated(path: Path, ids: array[int], starts: array[int], numbers: array[int]) -> None:
    # Hashes find candidates in 8 bytes a record; only these are read again and compared.
    hashes = np.asarray(ids)
    order = np.argsort(hashes, kind="stable")
    same = np.flatnonzero(hashes[order[1:]] == hashes[order[:-1]])
    for k in same.tolist():
        first, second = int(order[k]), int(order[k + 1])
        names = [_sample_id(path, starts, position) for position in (first, second)]
        if names[0] == names[1]:
            raise RecordError(
                f"sample_id {names[0]!r} appears twice",
                where=_where(path, numbers[second], starts[second]),
                expected="an id that no other record of the file has",
                got=f"the id of line {numbers[first]}",
                remedy="remove or rename one; to repeat samples use the entry's `duplicate`",
                code="E407",
            )


def _sample_id(path: Path, starts: array[int], position: int) -> str:
    with path.open("rb") as file:
        file.seek(starts[position])
        return str(orjson.loads(file.read(starts[position + 1] - starts[position]))["sample_id"])


def _where(path: Path, number: int, start: int) -> str:
    return f"{path}:{number} (byte {start})"


def _missing(path: Path) -> RecordError:
    siblings = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    remedy = nearest(path.name, siblings) if siblings else f"the folder {path.parent} is missing too; check the path"
    return RecordError("an index file is missing", where=path, remedy=remedy, code="E401")
