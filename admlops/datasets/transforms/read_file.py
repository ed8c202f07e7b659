"""Read the files that a record names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from admlops.data_release.storage import DataPath, StorageProfiles, is_url, path_of
from admlops.errors import DataReleaseError, RecordError

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_START = b"\xff\xd8"
_PNG_BIT_DEPTH, _PNG_COLOR_TYPE = 24, 25
_GREY, _INDEXED = 0, 3


_SENSORS = {"image": ("camera", "{path, width, height}"), "lidar": ("lidar", "{path, dtype, num_features, origin}")}


def recorded(results: Mapping[str, Any], sensor: str) -> Mapping[str, Any]:
    """Look up what a record says of a sensor.

    Args:
        results: Of a sample.
        sensor: ``image`` or ``lidar``.

    Returns:
        What lies under that key of the record.

    Raises:
        RecordError: The record holds nothing of the sensor.
    """
    if sensor not in results:
        kind, shape = _SENSORS[sensor]
        others = " and ".join(other for other in _SENSORS if other in results)
        raise RecordError(
            f"not a {kind} record", where=results["record_where"], expected=f"{sensor} {shape}", got=f"a record of {others}"
        )
    of_sensor: Mapping[str, Any] = results[sensor]
    return of_sensor


def resolve_path(base_dir: DataPath, path: str, profiles: StorageProfiles | None) -> DataPath:
    """Find a file that a record names.

    Args:
        base_dir: Folder of the JSONL file.
        path: Relative to it, absolute, or a URL.
        profiles: Object stores of the release; None where it knows none.

    Returns:
        The file, or the object in a store; not checked to exist.
    """
    return path_of(path, profiles or StorageProfiles()) if is_url(path) else base_dir / path


def read_bytes(path: DataPath, what: str, where: object, may_be_empty: bool = False) -> bytes:
    """Read a whole file.

    Args:
        path: Of the file.
        what: Word for it in the error, such as ``image``.
        where: The record that names it.
        may_be_empty: A file of no bytes is a valid one.

    Returns:
        Its content.

    Raises:
        RecordError: Missing, unreadable or empty.
        MachineError: E403, E404, the cache of what lies in a store cannot be used.
    """
    try:
        content = path.read_bytes()
    except DataReleaseError as error:
        raise RecordError(
            f"{what} cannot be read: {error.what}",
            where=where,
            got=f"{path}: {error.got}" if error.got else str(path),
            remedy=error.remedy,
            code=error.code,
        ) from error
    except OSError as error:
        raise RecordError(
            f"{what} cannot be read: {error.strerror}", where=where, got=str(path), remedy="fetch it or correct the record"
        ) from error
    if not content and not may_be_empty:
        raise RecordError(f"{what} is empty", where=where, got=str(path), remedy="fetch it again")
    return content


def decode_image(
    content: bytes, path: DataPath, where: object, recorded_hw: tuple[int, int] | None = None, step: int = 1
) -> npt.NDArray[np.uint8]:
    """Decode a colour image.

    Args:
        content: Of the file.
        path: Named in the error.
        where: Named in the error.
        recorded_hw: The image's recorded height and width; not compared where it is ``None``.
        step: 1, 2, 4 or 8, a divisor of both sides. The inverse cosine transform of a JPEG then makes one pixel of each
            ``step`` x ``step``, for less than decoding all of them; other formats come in full.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        RecordError: Truncated, damaged, not an image, or not of the recorded size.
    """
    jpeg_hw = _jpeg_size(content)
    if jpeg_hw is not None:
        check_size(jpeg_hw, recorded_hw, "image", path, where)
        return _decode_jpeg(content, jpeg_hw, step, path, where)
    image = None if is_truncated(content) else cv2.imdecode(np.frombuffer(content, np.uint8), _COLOR_FLAGS)
    if image is None:
        raise _undecodable("image", content, path, where)
    pixels: npt.NDArray[np.uint8] = image
    check_size(pixels.shape[:2], recorded_hw, "image", path, where)
    return pixels


def decode_mask(content: bytes, path: DataPath, where: object) -> npt.NDArray[np.uint8]:
    """Decode an index PNG, grey or with a palette; the values are indices either way.

    Args:
        content: Of the file.
        path: Named in the error.
        where: Named in the error.

    Returns:
        (H, W) uint8.

    Raises:
        RecordError: Truncated, not a PNG, or not of 8 bits and one channel.
    """
    if not content.startswith(_PNG_SIGNATURE) or is_truncated(content):
        raise _undecodable("mask", content, path, where)
    bit_depth, color_type = content[_PNG_BIT_DEPTH], content[_PNG_COLOR_TYPE]
    if color_type == _INDEXED:
        return _decode_indexed_png(content, path, where)
    if color_type != _GREY or bit_depth != 8:
        raise RecordError(
            "mask is not an index PNG",
            where=where,
            expected="8-bit grey or palette PNG",
            got=f"{path}: {bit_depth} bits, PNG colour type {color_type}",
        )
    mask = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if mask is None:
        raise _undecodable("mask", content, path, where)
    values: npt.NDArray[np.uint8] = mask
    return values


# Boxes and masks refer to the stored pixels, so a rotation noted in EXIF must not be applied.
_COLOR_FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION


def check_size(
    decoded_hw: tuple[int, ...], recorded_hw: tuple[int, int] | None, what: str, path: DataPath, where: object
) -> None:
    """Compare the size of a file with the one that its record states.

    Args:
        decoded_hw: Height and width of the file.
        recorded_hw: The image's recorded height and width; not compared where it is ``None``.
        what: Word for the file in the error.
        path: Named in the error.
        where: Named in the error.

    Raises:
        RecordError: They differ.
    """
    if recorded_hw is not None and decoded_hw != recorded_hw:
        raise RecordError(
            f"{what} is not of the recorded size",
            where=where,
            expected=f"{recorded_hw[0]}x{recorded_hw[1]} (h x w)",
            got=f"{decoded_hw[0]}x{decoded_hw[1]}: {path}",
            remedy="correct width and height of the record, or the file",
        )


def is_truncated(content: bytes) -> bool:
    """Tell whether a JPEG or PNG lacks its end. Some versions of OpenCV fill up what is missing instead of failing.

    Args:
        content: Of the file.

    Returns:
        ``False`` also for other formats.
    """
    if content.startswith(_PNG_SIGNATURE):
        return b"IEND" not in content[-64:]
    if content.startswith(_JPEG_START):
        # The end marker must follow the last start of a scan; a thumbnail in the header has both as well.
        return content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda")
    return False


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    if not content.startswith(_JPEG_START):
        return None
    try:
        h, w, _, _ = simplejpeg.decode_jpeg_header(content)
    except ValueError:  # broken, or subsampled in a way that only OpenCV's decoder takes
        return None
    return h, w


def _decode_jpeg(content: bytes, jpeg_hw: tuple[int, int], step: int, path: DataPath, where: object) -> npt.NDArray[np.uint8]:
    try:
        pixels: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(
            content, colorspace="BGR", min_height=jpeg_hw[0] // step, min_width=jpeg_hw[1] // step, min_factor=step
        )
    except ValueError as error:
        raise _undecodable("image", content, path, where, f": {error}") from error
    return pixels


def _decode_indexed_png(content: bytes, path: DataPath, where: object) -> npt.NDArray[np.uint8]:
    import io

    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            return np.array(image, dtype=np.uint8)
    except (OSError, SyntaxError) as error:  # Pillow raises SyntaxError for a broken chunk
        raise _undecodable("mask", content, path, where) from error


def _undecodable(what: str, content: bytes, path: DataPath, where: object, reason: str = "") -> RecordError:
    return RecordError(
        f"{what} is truncated or not a supported format",
        where=where,
        expected="a complete JPEG or PNG" if what == "image" else "a complete PNG",
        got=f"{path}, {len(content)} bytes{reason}",
        remedy="fetch it again",
    )
