"""Images and masks on this machine: ``$ADMLOPS_CACHE/images``, bounded by bytes, least recently used go first.

Shared by all processes of the machine. ``total`` holds the bytes in it and is the lock that writers take; readers take none. An
image that two ask for at the same time is downloaded once.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from admlops.data_release.cache import cache_root, only_one_process
from admlops.errors import ConfigError, MachineError

_LOGGER = logging.getLogger(__name__)

DEFAULT_LIMIT_GIB = 64.0
_GIB = 1 << 30
_KEPT_SHARE = 0.9
_CRC_BYTES = 4
_LOCK_DIGITS = 3
_ABANDONED_S = 3600


@dataclass(frozen=True)
class ImageCache:
    """A folder of images by key.

    Attributes:
        folder: Of the cache; made where it does not exist.
        limit_bytes: What it never exceeds.
    """

    folder: Path
    limit_bytes: int

    @classmethod
    def of_machine(cls) -> ImageCache:
        """Open the cache that all processes share.

        Returns:
            The cache, of ``$ADMLOPS_IMAGE_CACHE_GIB`` GiB (64 where it is not set).

        Raises:
            ConfigError: The setting is no size.
        """
        text = os.environ.get("ADMLOPS_IMAGE_CACHE_GIB") or str(DEFAULT_LIMIT_GIB)
        try:
            limit_gib = float(text)
        except ValueError:
            limit_gib = -1.0
        if not 0 <= limit_gib < float("inf"):
            raise ConfigError("ADMLOPS_IMAGE_CACHE_GIB is no size", expected="GiB, such as 64", got=text)
        return cls(cache_root() / "images", int(limit_gib * _GIB))

    def holds(self, key: str) -> bool:
        """Tell whether an image is there.

        Args:
            key: Of the image, hex digits.

        Returns:
            Whether it is; it may be gone by the time it is read.
        """
        return self._path(key).is_file()

    def read(self, key: str, download: Callable[[], bytes], deadline: float) -> bytes:
        """Read an image; download it where it is not there.

        Args:
            key: Of the image, hex digits.
            download: Gives its content.
            deadline: Time of the monotonic clock until which to wait for another process that downloads it.

        Returns:
            Its content.

        Raises:
            MachineError: E403, another process downloads it for too long; E404, the cache cannot be written.
        """
        path = self._path(key)
        content = _read(path)
        if content is not None:
            return content
        with only_one_process(self.folder / "downloads" / key[:_LOCK_DIGITS], deadline):
            content = _read(path)
            if content is None:
                content = download()
                self._store(path, content)
        return content

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / key

    def _store(self, path: Path, content: bytes) -> None:
        size = len(content) + _CRC_BYTES
        if size > self.limit_bytes:
            return
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            with only_one_process(self.folder / "total"):
                total = self._total()
                if total is None or total + size > self.limit_bytes:
                    total = self._evict(int(self.limit_bytes * _KEPT_SHARE) - size)
                path.parent.mkdir(parents=True, exist_ok=True)
                # Counted first: a process killed in between leaves room unused, never the limit exceeded.
                (self.folder / "total").write_text(str(total + size), "ascii")
                temporary.write_bytes(content + zlib.crc32(content).to_bytes(_CRC_BYTES, "little"))
                temporary.replace(path)
        except (OSError, MachineError) as error:
            # The image itself is at hand; without its copy it is only downloaded again.
            temporary.unlink(missing_ok=True)
            _LOGGER.warning("an image is not kept in %s: %s", self.folder, error)

    def _total(self) -> int | None:
        try:
            return int((self.folder / "total").read_text("ascii"))
        except (OSError, ValueError):
            return None

    def _evict(self, target_bytes: int) -> int:
        files = []
        for folder in self.folder.iterdir():
            if len(folder.name) == 2 and folder.is_dir():
                with os.scandir(folder) as entries:
                    files += [(entry.stat(), Path(entry.path)) for entry in entries]
        files.sort(key=lambda file: file[0].st_mtime_ns)
        total = 0
        for stat, path in files:
            if path.suffix == ".tmp" and time.time() - stat.st_mtime > _ABANDONED_S:
                path.unlink(missing_ok=True)
            else:
                total += stat.st_size
        for stat, path in files:
            if total <= target_bytes:
                break
            if path.suffix != ".tmp":
                path.unlink(missing_ok=True)
                total -= stat.st_size
        return total


def _read(path: Path) -> bytes | None:
    try:
        stored = path.read_bytes()
    except FileNotFoundError:
        return None
    content, crc = stored[:-_CRC_BYTES], stored[-_CRC_BYTES:]
    # Files are not forced to disk when they are written, so a loss of power may leave anything.
    if len(stored) <= _CRC_BYTES or zlib.crc32(content).to_bytes(_CRC_BYTES, "little") != crc:
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return content
