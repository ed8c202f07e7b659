"""Lines of an index file that are left out because somebody asked for it: counted, and written down beside the offsets."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from admlops.data_release.cache import write_atomically
from admlops.errors import ConfigError, RecordError


@dataclass(frozen=True)
class BadLine:
    """A line that is no valid record.

    Attributes:
        path: The JSONL file.
        line: Counted from 1.
        byte: Where it begins, from 0.
        code: ``E405``, no JSON; ``E410``, no valid record.
        reason: What is wrong with it.
    """

    path: str
    line: int
    byte: int
    code: str
    reason: str


def limit_of(on_bad_line: str, max_bad: int | None) -> int:
    """Read the two settings of a data release.

    Args:
        on_bad_line: ``"raise"`` or ``"quarantine"``.
        max_bad: Lines of one index file that may be left out; only with ``"quarantine"``, and needed there.

    Returns:
        How many lines may be left out; 0 where none.

    Raises:
        ConfigError: The two do not fit.
    """
    if on_bad_line == "raise" and max_bad is None:
        return 0
    if on_bad_line == "quarantine" and type(max_bad) is int and max_bad > 0:
        return max_bad
    raise ConfigError(
        "bad lines are either refused or left out up to a number",
        where="data_release",
        expected="on_bad_line='raise', or on_bad_line='quarantine', max_bad=10",
        got=f"on_bad_line={on_bad_line!r}, max_bad={max_bad!r}",
    )


def refuse_more(bad: list[BadLine] | tuple[BadLine, ...], max_bad: int, path: Path) -> None:
    """Refuse a file with too many bad lines.

    Args:
        bad: Its bad lines, as many as were found.
        max_bad: How many may be left out.
        path: The JSONL file.

    Raises:
        RecordError: E405, there are more.
    """
    if len(bad) > max_bad:
        raise RecordError(
            f"an index file has more than {max_bad} bad lines",
            where=f"{path}:{bad[max_bad].line} (byte {bad[max_bad].byte})",
            expected=f"at most max_bad={max_bad}",
            got=bad[max_bad].reason,
            remedy="correct the file, or raise max_bad",
            code="E405",
        )


def write_bad_lines(sidecar: Path, bad: list[BadLine]) -> None:
    """Write bad lines down, one JSON object a line.

    Args:
        sidecar: The file to write.
        bad: The lines.

    Raises:
        MachineError: E404, it cannot be written.
    """
    with write_atomically(sidecar) as file:
        file.writelines(orjson.dumps(asdict(line)) + b"\n" for line in bad)


def read_bad_lines(sidecar: Path) -> tuple[BadLine, ...] | None:
    """Read what ``write_bad_lines`` wrote.

    Args:
        sidecar: The file.

    Returns:
        The lines; None where there is no such file or it is damaged.
    """
    try:
        return tuple(BadLine(**orjson.loads(line)) for line in sidecar.read_bytes().splitlines())
    except (OSError, ValueError, TypeError):
        return None
