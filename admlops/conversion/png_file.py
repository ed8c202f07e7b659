"""Read a PNG file whole and check it: a cut or damaged one must stop a conversion, and decoders let many pass."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from admlops.errors import ConversionError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _PALETTE = 0, 3
_NUM_CHUNK_BYTES = 12  # length, kind and checksum around a chunk's data


@dataclass(frozen=True)
class PngFile:
    """A PNG file whose every chunk is there with the right checksum.

    Attributes:
        path: Where it lies.
        width: Pixels a row.
        height: Rows.
        bit_depth: Bits a sample.
        color_type: 0 grey, 2 RGB, 3 palette, 4 grey + alpha, 6 RGB + alpha.
        content: The file's bytes.
    """

    path: Path
    width: int
    height: int
    bit_depth: int
    color_type: int
    content: bytes

    def read_index_mask(self, palette: Sequence[tuple[int, int, int]] = ()) -> npt.NDArray[np.uint8]:
        """Decode a mask that holds one class index a pixel.

        Args:
            palette: Where given, a palette PNG is accepted too whose first colours are these: another order of colours would
                mean another order of classes.

        Returns:
            (height, width) uint8.

        Raises:
            ConversionError: Not one 8-bit channel, another palette, or the pixels cannot be decoded.
        """
        if palette and (self.color_type, self.bit_depth) == (_PALETTE, 8):
            self._check_palette(palette)
            return np.asarray(self._decode(_as_grey(self.content)), dtype=np.uint8)
        if (self.color_type, self.bit_depth) != (_GREY, 8):
            raise ConversionError(
                "the mask is not an index PNG",
                where=self.path,
                expected="one channel of 8 bits: the class index of each pixel",
                got=f"PNG colour type {self.color_type}, {self.bit_depth} bits",
                remedy="this is another variant of the data set (colour-coded masks?); convert the index variant",
            )
        return np.asarray(self._decode(self.content), dtype=np.uint8)

    def read_instance_map(self) -> npt.NDArray[np.uint16]:
        """Decode a map that holds one instance number a pixel.

        Returns:
            (height, width) uint16.

        Raises:
            ConversionError: Not one channel of 8 or 16 bits, or the pixels cannot be decoded.
        """
        if self.color_type != _GREY or self.bit_depth not in {8, 16}:
            raise ConversionError(
                "the instance map is not a grey PNG",
                where=self.path,
                expected="one channel of 8 or 16 bits: the instance of each pixel",
                got=f"PNG colour type {self.color_type}, {self.bit_depth} bits",
            )
        return np.asarray(self._decode(self.content), dtype=np.uint16)

    def _decode(self, content: bytes) -> npt.NDArray[Any]:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is None or pixels.shape != (self.height, self.width):
            raise _damaged(self.path, "pixels that decode", "none")
        return np.asarray(pixels)

    def _check_palette(self, palette: Sequence[tuple[int, int, int]]) -> None:
        data = b"".join(data for kind, data in _chunks(self.content) if kind == b"PLTE")
        for index, expected in enumerate(palette):
            got = tuple(data[3 * index : 3 * index + 3])
            if got != tuple(expected):
                raise ConversionError(
                    "the mask has another palette",
                    where=self.path,
                    expected=f"colour {expected} for index {index}",
                    got=got or "no such colour",
                    remedy="convert the index variant of the masks",
                )


def read_png(path: Path) -> PngFile:
    """Read a PNG file and check its structure: signature, length and checksum of each chunk, end mark.

    Args:
        path: The file.

    Returns:
        Its header and bytes.

    Raises:
        ConversionError: Not a PNG file, cut short, or damaged; names the byte.
    """
    content = path.read_bytes()
    if not content.startswith(_SIGNATURE):
        raise _damaged(path, "the eight bytes that open a PNG file", repr(content[:8]) if content else "an empty file")
    offset = len(_SIGNATURE)
    header: tuple[int, int, int, int] | None = None
    while True:
        if offset + _NUM_CHUNK_BYTES > len(content):
            raise _truncated(path, offset + _NUM_CHUNK_BYTES, len(content))
        length, kind = struct.unpack_from(">I4s", content, offset)
        end = offset + _NUM_CHUNK_BYTES + length
        if end > len(content):
            raise _truncated(path, end, len(content))
        (checksum,) = struct.unpack_from(">I", content, end - 4)
        if zlib.crc32(memoryview(content)[offset + 4 : end - 4]) != checksum:
            raise _damaged(f"{path} (byte {offset})", f"chunk {kind!r} to match its checksum", "another checksum")
        if header is None:
            if kind != b"IHDR" or length != 13:
                raise _damaged(f"{path} (byte {offset})", "the header chunk IHDR", repr(kind))
            header = struct.unpack_from(">IIBB", content, offset + 8)
        if kind == b"IEND":
            width, height, bit_depth, color_type = header
            return PngFile(path, width, height, bit_depth, color_type, content)
        offset = end


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    offset = len(_SIGNATURE)
    while offset < len(content):
        length, kind = struct.unpack_from(">I4s", content, offset)
        yield kind, content[offset + 8 : offset + 8 + length]
        offset += _NUM_CHUNK_BYTES + length


def _as_grey(content: bytes) -> bytes:
    """Declare a palette PNG grey: OpenCV gives the colours of a palette, here its indices are wanted."""
    parts = [_SIGNATURE]
    for kind, data in _chunks(content):
        if kind == b"IHDR":
            data = data[:9] + bytes([_GREY]) + data[10:]
        if kind in {b"IHDR", b"IDAT", b"IEND"}:
            parts += [struct.pack(">I", len(data)), kind, data, struct.pack(">I", zlib.crc32(kind + data))]
    return b"".join(parts)


def _truncated(path: Path, expected_bytes: int, got_bytes: int) -> ConversionError:
    return ConversionError(
        "the PNG file is truncated",
        where=path,
        expected=f"{expected_bytes} bytes or more",
        got=f"{got_bytes} bytes",
        remedy="fetch the file again, then run the same command: it continues",
    )


def _damaged(where: object, expected: str, got: str) -> ConversionError:
    return ConversionError(
        "the PNG file is damaged",
        where=where,
        expected=expected,
        got=got,
        remedy="fetch the file again, then run the same command: it continues",
    )
