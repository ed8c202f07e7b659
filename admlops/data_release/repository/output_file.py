"""Write what a verb was asked to write."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from admlops.errors import MachineError


@contextlib.contextmanager
def output_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file that appears under its name complete or not at all.

    Args:
        path: Its final name; folders are made.

    Yields:
        An open binary file beside it, renamed at the end of the block, deleted where the block raises.

    Raises:
        MachineError: It cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise MachineError(
            f"{path.name} cannot be written: {error.strerror}",
            where=path,
            expected="a writable folder with free space",
            remedy="free some space, or name another place",
            code="E404",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
