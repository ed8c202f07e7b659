"""What one pass over a JSONL file tells without parsing it: number of records, hash, signs of damage."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from admlops.data_release.line_offsets import BLANK
from admlops.errors import RecordError

_CHUNK_BYTES = 1 << 20
_RECORD_START = re.compile(rb"\n[ \t\r]*[^ \t\r\n]")
_SHOWN_BYTES = 80


@dataclass(frozen=True)
class LineScan:
    """A file's bytes, counted.

    Attributes:
        num_bytes: Its size.
        num_records: Lines that are not empty, as an index counts them.
        sha256: 64 hex digits.
        faults: Signs of damage (E405): no record at all, NUL bytes, a last line without its closing brace.
    """

    num_bytes: int
    num_records: int
    sha256: str
    faults: tuple[RecordError, ...]


def scan_lines(path: Path, sha256: str | None = None) -> LineScan:
    """Count a file's records and look for damage. What the records say is not looked at.

    Args:
        path: The JSONL file.
        sha256: Its hash where that is known, to spare its computation.

    Returns:
        What was found.
    """
    hasher = hashlib.sha256()
    num_bytes = num_records = last_end = 0
    last, first_nul = b"", -1
    carry = b"\n"  # while the line that goes on in the next chunk is empty so far
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            if sha256 is None:
                hasher.update(chunk)
            text = carry + chunk
            num_records += len(_RECORD_START.findall(text))
            _, newline, rest = text.rpartition(b"\n")
            carry = b"" if rest.strip(BLANK) else newline
            if first_nul < 0 and (nul := chunk.find(b"\0")) >= 0:
                first_nul = num_bytes + nul
            filled = chunk.rstrip(BLANK)
            if filled:
                last, last_end = filled[-_SHOWN_BYTES:], num_bytes + len(filled)
            num_bytes += len(chunk)
    faults = []
    if not num_records:
        faults.append(RecordError("an index file holds no record", where=path, remedy="write it again", code="E405"))
    if first_nul >= 0:
        what, remedy = "an index file holds a NUL byte", "it was written in part, or is no text: copy it again"
        faults.append(RecordError(what, where=_place(path, first_nul), remedy=remedy, code="E405"))
    if last and not last.endswith(b"}"):
        fault = RecordError(
            "the last line has no closing brace",
            where=_place(path, last_end),
            expected="one JSON object a line",
            got=repr(last.rpartition(b"\n")[2]),
            remedy="the file is cut off, or no index file: copy it again",
            code="E405",
        )
        faults.append(fault)
    return LineScan(num_bytes, num_records, sha256 or hasher.hexdigest(), tuple(faults))


def _place(path: Path, byte: int) -> str:
    number = 1
    with path.open("rb") as file:
        while chunk := file.read(min(_CHUNK_BYTES, byte - file.tell())):
            number += chunk.count(b"\n")
    return f"{path}:{number} (byte {byte})"
