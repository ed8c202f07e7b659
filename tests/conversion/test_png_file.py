from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest

from admlops.conversion.png_file import read_png
from admlops.errors import ConversionError


@pytest.fixture
def png(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(cv2.imencode(".png", np.full((3, 5), 7, np.uint8))[1].tobytes())
    return path


def test_header_and_mask(png):
    file = read_png(png)
    assert (file.width, file.height, file.bit_depth, file.color_type) == (5, 3, 8, 0)
    assert file.read_index_mask().tolist() == [[7] * 5] * 3


@pytest.mark.parametrize("lost_bytes", [1, 12, 20])
def test_every_cut_is_noticed(png, lost_bytes):
    content = png.read_bytes()
    png.write_bytes(content[:-lost_bytes])
    with pytest.raises(ConversionError, match="the PNG file is truncated") as error:
        read_png(png)
    assert error.value.where == png
    assert error.value.got == f"{len(content) - lost_bytes} bytes"


def test_flipped_bit_is_noticed(png):
    content = bytearray(png.read_bytes())
    content[8 + 25 + 10] ^= 1  # signature, IHDR, then within the first chunk after it
    png.write_bytes(content)
    with pytest.raises(ConversionError, match=r"the PNG file is damaged(.|\n)*byte 33\)(.|\n)*its checksum"):
        read_png(png)


@pytest.mark.parametrize(("content", "got"), [(b"", "an empty file"), (b"\xff\xd8\xff\xe0JFIF\0", r"b'\\xff\\xd8")])
def test_other_files_are_refused(png, content, got):
    png.write_bytes(content)
    with pytest.raises(ConversionError, match=f"the eight bytes that open a PNG file(.|\n)*{got}"):
        read_png(png)


def palette_png(indices: np.ndarray, colours: list[tuple[int, int, int]]) -> bytes:
    """Write a palette PNG as the specification has it; OpenCV cannot."""
    height, width = indices.shape
    rows = b"".join(b"\0" + row.tobytes() for row in indices)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", bytes(np.array(colours, np.uint8).tobytes())),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    parts = [struct.pack(">I4s", len(data), kind) + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_palette_mask_gives_indices_where_the_palette_is_known(tmp_path):
    colours = [(128, 64, 128), (244, 35, 232), (0, 0, 142)]
    png = tmp_path / "palette.png"
    png.write_bytes(palette_png(np.array([[0, 1, 2], [2, 1, 0]], np.uint8), colours))
    assert read_png(png).read_index_mask(palette=colours[:2]).tolist() == [[0, 1, 2], [2, 1, 0]]
    with pytest.raises(ConversionError, match=r"another palette(.|\n)*\(0, 0, 0\) for index 1(.|\n)*\(244, 35, 232\)"):
        read_png(png).read_index_mask(palette=[(128, 64, 128), (0, 0, 0)])
    with pytest.raises(ConversionError, match="another palette(.|\n)*no such colour"):
        read_png(png).read_index_mask(palette=[*colours, (1, 1, 1)])
    with pytest.raises(ConversionError, match="not an index PNG"):
        read_png(png).read_index_mask()


def test_instance_map_keeps_16_bits(tmp_path):
    path = tmp_path / "instances.png"
    path.write_bytes(cv2.imencode(".png", np.array([[7, 26001, 65535]], np.uint16))[1].tobytes())
    assert read_png(path).read_instance_map().tolist() == [[7, 26001, 65535]]
