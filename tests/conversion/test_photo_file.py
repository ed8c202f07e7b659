from __future__ import annotations

import cv2
import numpy as np
import pytest

from admlops.conversion.photo_file import read_photo
from admlops.errors import ConversionError


@pytest.fixture(params=[False, True], ids=["baseline", "progressive"])
def jpeg(request):
    pixels = np.random.default_rng(0).integers(0, 255, (30, 50, 3), np.uint8)
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_PROGRESSIVE, int(request.param)])[1].tobytes()


def write(tmp_path, content):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    return path


def test_size_of_a_jpeg(tmp_path, jpeg):
    photo = read_photo(write(tmp_path, jpeg))
    assert (photo.width, photo.height) == (50, 30)


def test_bytes_after_the_end_mark_are_no_fault(tmp_path, jpeg):
    assert read_photo(write(tmp_path, jpeg + bytes(64))).width == 50


@pytest.mark.parametrize("kept", [3, 20, 200, 0.5, -2])
def test_a_cut_jpeg_is_refused(tmp_path, jpeg, kept):
    cut = jpeg[: int(len(jpeg) * kept)] if isinstance(kept, float) else jpeg[:kept]
    with pytest.raises(ConversionError, match=r"the photo is truncated[\s\S]*photo.jpg[\s\S]*fetch the file again"):
        read_photo(write(tmp_path, cut))


@pytest.mark.parametrize("content", [b"", b"BM12345678", b"<html>"])
def test_another_kind_of_file_is_refused(tmp_path, content):
    with pytest.raises(ConversionError, match="the photo is no PNG or JPEG"):
        read_photo(write(tmp_path, content))


def test_a_damaged_segment_is_refused(tmp_path, jpeg):
    with pytest.raises(ConversionError, match=r"is damaged[\s\S]*byte 2"):
        read_photo(write(tmp_path, jpeg[:2] + b"\x00" + jpeg[3:]))


def test_png_is_checked_chunk_by_chunk(tmp_path):
    content = cv2.imencode(".png", np.zeros((7, 9, 3), np.uint8))[1].tobytes()
    photo = read_photo(write(tmp_path, content))
    assert (photo.width, photo.height) == (9, 7)
    with pytest.raises(ConversionError, match="PNG file is truncated"):
        read_photo(write(tmp_path, content[:-5]))
