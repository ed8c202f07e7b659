from __future__ import annotations

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
