"""A photo of a source, PNG or JPEG: its size, and that it is all there; decoders let many cut files pass."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from admlops.conversion.png_file import read_png
from admlops.errors import ConversionError

_JPEG_START = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"
_PNG_START = b"\x89PNG"
# Frame headers (SOF) hold the size; C4, C8 and CC are tables.
_SOF_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN_MARKER = 0xDA
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD8)})


@dataclass(frozen=True)
class PhotoFile:
    """A photo that is complete.

    Attributes:
        path: Where it lies.
        width: Pixels a row, as stored: a rotation noted in EXIF is not applied.
        height: Rows.
    """

    path: Path
    width: int
    height: int


def read_photo(path: Path) -> PhotoFile:
    """Check a photo and read its size.

    Args:
        path: A PNG file (every chunk's checksum is verified) or a JPEG file (its segments, and its end mark after the scans;
            a JPEG has no checksum, so changed pixels pass).

    Returns:
        Its size.

    Raises:
        ConversionError: Neither PNG nor JPEG, cut short, or damaged.
    """
    with path.open("rb") as file:
        start = file.read(4)
        if start.startswith(_JPEG_START):
            content = start + file.read()
            return PhotoFile(path, *_jpeg_size(path, content))
    if not start.startswith(_PNG_START):
        raise _broken(path, "is no PNG or JPEG", "a PNG or JPEG file", repr(start) if start else "an empty file")
    png = read_png(path)
    return PhotoFile(path, png.width, png.height)


def _jpeg_size(path: Path, content: bytes) -> tuple[int, int]:
    size: tuple[int, int] | None = None
    offset = len(_JPEG_START)
    while True:
        # Fill bytes may precede a marker.
        while content[offset : offset + 2] == b"\xff\xff":
            offset += 1
        if offset + 4 > len(content):
            raise _truncated(path, content)
        if content[offset] != 0xFF:
            raise _broken(f"{path} (byte {offset})", "is damaged", "a JPEG marker", f"0x{content[offset]:02x}")
        marker = content[offset + 1]
        if marker in _BARE_MARKERS:
            offset += 2
            continue
        (length,) = struct.unpack_from(">H", content, offset + 2)
        if offset + 2 + length > len(content):
            raise _truncated(path, content)
        if marker in _SOF_MARKERS:
            if length < 8:
                raise _broken(f"{path} (byte {offset})", "is damaged", "a frame header of 8 bytes or more", f"{length} bytes")
            height, width = struct.unpack_from(">HH", content, offset + 5)
            size = (width, height)
        if marker == _SCAN_MARKER:
            break
        offset += 2 + length
    if size is None or 0 in size:
        raise _broken(path, "is damaged", "a frame header with a size before the pixels", repr(size))
    # Cameras pad with zeros or append a preview; a cut file ends inside of the pixels, where no bare end mark can stand.
    if content.find(_JPEG_END, offset) < 0:
        raise _truncated(path, content)
    return size


def _truncated(path: Path, content: bytes) -> ConversionError:
    return _broken(path, "is truncated", "an end mark (ff d9) after the pixels", f"{len(content)} bytes without one")


def _broken(where: object, what: str, expected: str, got: str) -> ConversionError:
    return ConversionError(
        f"the photo {what}",
        where=where,
        expected=expected,
        got=got,
        remedy="fetch the file again, then run the same command: it continues",
    )
