from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from tiny_release import write_image

from admlops.datasets.transforms import LoadImage
from admlops.datasets.transforms.read_file import decode_mask, is_truncated
from admlops.errors import RecordError


def _load(base_dir: Path, path: str, hw: tuple[int, int] = (90, 160)) -> dict:
    image = {"path": path, "width": hw[1], "height": hw[0]}
    return LoadImage()({"base_dir": base_dir, "image": image, "record_where": "index.jsonl:7 (byte 99)"})


def test_pixels_are_bgr(tmp_path: Path) -> None:
    Image.new("RGB", (4, 3), (255, 0, 10)).save(tmp_path / "red.png")
    results = _load(tmp_path, "red.png", (3, 4))
    assert results["img"][2, 3].tolist() == [10, 0, 255]
    assert results["ori_shape"] == results["img_shape"] == (3, 4)
    assert results["img_path"] == str(tmp_path / "red.png")
    np.testing.assert_array_equal(results["input_from_original"], np.eye(3))
    assert _load(Path("/nowhere"), str(tmp_path / "red.png"), (3, 4))["img"].shape == (3, 4, 3)


def test_exif_rotation_is_not_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.new("RGB", (160, 90)).save(tmp_path / "turned.jpg", exif=exif)
    assert _load(tmp_path, "turned.jpg")["img"].shape == (90, 160, 3)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9, 0.999])
def test_truncated_image_names_record_and_path(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"cut{suffix}"
    write_image(path, (90, 160))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(RecordError, match=rf"(?s)image is .*index\.jsonl:7 \(byte 99\).*cut\{suffix}"):
        _load(tmp_path, path.name)


def test_truncated_jpeg_with_a_complete_thumbnail(tmp_path: Path) -> None:
    write_image(tmp_path / "whole.jpg", (90, 160))
    write_image(tmp_path / "small.jpg", (9, 16))
    whole, thumbnail = (tmp_path / "whole.jpg").read_bytes(), (tmp_path / "small.jpg").read_bytes()
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    with_thumbnail = whole[:2] + segment + whole[2:]
    (tmp_path / "a.jpg").write_bytes(with_thumbnail)
    assert _load(tmp_path, "a.jpg")["img"].shape == (90, 160, 3)
    (tmp_path / "b.jpg").write_bytes(with_thumbnail[:-200])
    assert [is_truncated(content) for content in (with_thumbnail, with_thumbnail[:-1], whole[:-200])] == [False, True, True]
    with pytest.raises(RecordError, match="truncated"):
        _load(tmp_path, "b.jpg")


def test_missing_image_names_record_and_path(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"(?s)No such file.*index\.jsonl:7.*gone\.jpg"):
        _load(tmp_path, "images/gone.jpg")
    with pytest.raises(RecordError, match=r"(?s)E124.*no storage profile.*jsonl:7.*obs://bucket/a.jpg\n"):
        _load(tmp_path, "obs://bucket/a.jpg")


def test_wrong_size_is_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", (90, 160))
    with pytest.raises(RecordError, match=r"(?s)recorded size.*expected: +160x90.*got: +90x160"):
        _load(tmp_path, "a.jpg", (160, 90))


def test_mask_with_palette_keeps_its_indices(tmp_path: Path) -> None:
    values = np.array([[0, 1, 2], [3, 255, 4]], dtype=np.uint8)
    image = Image.fromarray(values, mode="P")
    image.putpalette([(7 * i) % 256 for i in range(768)])
    image.save(tmp_path / "palette.png")
    cv2.imwrite(str(tmp_path / "grey.png"), values)
    for name in ("palette.png", "grey.png"):
        path = tmp_path / name
        np.testing.assert_array_equal(decode_mask(path.read_bytes(), path, None), values)


def test_masks_of_another_kind_are_refused(tmp_path: Path) -> None:
    Image.new("1", (4, 3)).save(tmp_path / "bits.png")
    Image.new("RGB", (4, 3)).save(tmp_path / "colour.png")
    cv2.imwrite(str(tmp_path / "deep.png"), np.zeros((3, 4), dtype=np.uint16))
    for name in ("bits.png", "colour.png", "deep.png"):
        with pytest.raises(RecordError, match=r"(?s)not an index PNG.*8-bit"):
            decode_mask((tmp_path / name).read_bytes(), tmp_path / name, None)
    cv2.imwrite(str(tmp_path / "a.jpg"), np.zeros((3, 4), dtype=np.uint8))
    with pytest.raises(RecordError, match="complete PNG"):
        decode_mask((tmp_path / "a.jpg").read_bytes(), tmp_path / "a.jpg", None)
