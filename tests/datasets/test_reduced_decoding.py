"""A JPEG that the decoder shrinks must show everything where, and as, the full picture does once it is resized."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from tiny_release import make_record, write_image

from admlops.datasets.transforms import LoadImage, LoadLabels, ResizeMinMax
from admlops.datasets.transforms.read_file import decode_image
from admlops.errors import RecordError
from admlops.task_spec import CAMERA_TASKS


def _load(path: Path, hw: tuple[int, int], *steps: object, labels: dict | None = None) -> dict:
    record = make_record("a", path.name, hw, labels or {})
    results = {"base_dir": path.parent, "image": record["image"], "record_labels": record["labels"], "record_where": "here"}
    results["task_specs"] = CAMERA_TASKS
    for step in steps:
        results = step(results)
    return results


def _write_blobs(path: Path, hw: tuple[int, int], centres_xy: np.ndarray, radius: int) -> None:
    """White discs on black, no larger than a block of the transform."""
    image = np.zeros((*hw, 3), dtype=np.uint8)
    for x, y in centres_xy:
        # OpenCV's integers name pixel centres, 16 subpixels a px.
        cv2.circle(image, (round((x - 0.5) * 16), round((y - 0.5) * 16)), radius * 16, (255,) * 3, -1, cv2.LINE_AA, shift=4)
    cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 95])


def _centroid(image: np.ndarray, x: float, y: float) -> tuple[float, float]:
    left, top = int(x) - 6, int(y) - 6
    window = image[top : top + 13, left : left + 13].mean(axis=2) ** 2  # squared: JPEG's ripples weigh nothing
    rows, columns = np.indices(window.shape) + 0.5
    return left + (columns * window).sum() / window.sum(), top + (rows * window).sum() / window.sum()


@pytest.mark.parametrize(
    ("hw", "target_hw", "step"),
    [
        ((1080, 1920), (540, 960), 2),
        ((1080, 2280), (540, 1140), 2),
        ((1280, 1920), (540, 810), 2),  # decoded to 640x960
        ((2160, 3840), (540, 960), 4),
        ((1084, 1924), (540, 958), 2),
        ((940, 1824), (540, 1048), 1),  # a half would be too small
        ((1081, 1921), (540, 960), 1),  # half a pixel at the border would be left over
    ],
)
def test_blobs_lie_where_the_full_picture_has_them(tmp_path: Path, hw: tuple, target_hw: tuple, step: int) -> None:
    rng = np.random.default_rng(0)
    cell = 160
    grid = np.stack(np.meshgrid(np.arange(hw[1] // cell), np.arange(hw[0] // cell)), axis=-1).reshape(-1, 2)
    centres = grid * cell + 40 + rng.uniform(0, cell - 80, grid.shape)
    centres = np.concatenate([centres, [[hw[1] - 14.3 * step, hw[0] - 15.6 * step], [hw[1] - 16 * step, 14.25 * step]]])
    _write_blobs(tmp_path / "a.jpg", hw, centres, radius=max(step, 2))
    resize = ResizeMinMax((540, 1140))
    reduced = _load(tmp_path / "a.jpg", hw, LoadImage(resize=resize))
    full = _load(tmp_path / "a.jpg", hw, LoadImage(), resize)
    assert decode_image((tmp_path / "a.jpg").read_bytes(), tmp_path, None, hw, step).shape[0] == hw[0] // step
    assert reduced["img"].shape == full["img"].shape == (*target_hw, 3)
    assert reduced["ori_shape"] == full["ori_shape"] == hw
    assert reduced["img_shape"] == full["img_shape"] == target_hw
    np.testing.assert_array_equal(reduced["input_from_original"], full["input_from_original"])
    if step == 1:
        np.testing.assert_array_equal(reduced["img"], full["img"])
    for x, y in centres:
        u, v, _ = reduced["input_from_original"] @ [x, y, 1]
        np.testing.assert_allclose(_centroid(reduced["img"], u, v), (u, v), atol=0.25)
        np.testing.assert_allclose(_centroid(reduced["img"], u, v), _centroid(full["img"], u, v), atol=0.25)


def test_labels_move_as_they_do_with_a_full_picture(tmp_path: Path) -> None:
    hw = (1080, 1920)
    write_image(tmp_path / "a.jpg", hw)
    mask = cv2.resize(np.arange(12, dtype=np.uint8).reshape(3, 4), hw[::-1], interpolation=cv2.INTER_NEAREST)
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    labels = {
        "det_person": {"boxes": [[10.5, 20, 31, 60.25]], "categories": ["person"]},
        "seg_default": {"mask": "mask.png"},
        "seg_lane": {"polylines": [{"category": "solid_white", "points": [[5, 1000], [900, 300]]}]},
    }
    resize = ResizeMinMax((540, 1140))
    reduced = _load(tmp_path / "a.jpg", hw, LoadLabels(), LoadImage(resize=resize), labels=labels)["labels"]
    full = _load(tmp_path / "a.jpg", hw, LoadImage(), LoadLabels(), resize, labels=labels)["labels"]
    assert reduced.keys() == full.keys() == labels.keys()
    np.testing.assert_array_equal(reduced["det_person"].bboxes, [[5.25, 10, 15.5, 30.125]])
    for task in ("seg_default", "seg_lane"):
        assert reduced[task].mask.shape == (540, 960)
        np.testing.assert_array_equal(reduced[task].mask, full[task].mask)


def test_other_formats_come_in_full(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", (200, 400))
    resize = {"type": "ResizeMinMax", "resize_hw": (60, 100)}
    reduced = _load(tmp_path / "a.png", (200, 400), LoadImage(resize=resize))
    np.testing.assert_array_equal(
        reduced["img"], _load(tmp_path / "a.png", (200, 400), LoadImage(), ResizeMinMax((60, 100)))["img"]
    )


@pytest.mark.parametrize("target_hw", [(90, 160), (60, 100), (45, 80), (40, 71), (20, 40)])
def test_a_reduced_picture_looks_like_the_full_one(tmp_path: Path, target_hw: tuple[int, int]) -> None:
    hw = (180, 320)
    grain = np.random.default_rng(0).normal(128, 40, (*hw, 1)).clip(0, 255).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.jpg"), np.repeat(grain, 3, axis=2), [cv2.IMWRITE_JPEG_QUALITY, 98])
    resize = ResizeMinMax(target_hw)
    reduced = _load(tmp_path / "a.jpg", hw, LoadImage(resize=resize))["img"]
    full = _load(tmp_path / "a.jpg", hw, LoadImage(), resize)["img"]
    # Grain is the worst case; what is left of it (standard deviation) must be alike, and most pixels the same.
    assert reduced.std() == pytest.approx(full.std(), rel=0.15)
    assert np.abs(reduced.astype(int) - full).mean() < 0.25 * full.std()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("step", [1, 2, 4, 8])
def test_colours_of_every_kind_of_jpeg(tmp_path: Path, mode: str, step: int) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (64, 48), (200, 60, 10)).convert(mode).save(path, quality=95)
    image = decode_image(path.read_bytes(), path, None, (48, 64), step)
    assert image.shape == (48 // step, 64 // step, 3)
    expected = (96, 96, 96) if mode == "L" else (10, 60, 200)  # luma 0.299 * 200 + 0.587 * 60 + 0.114 * 10; else BGR
    assert np.abs(image.astype(int) - expected).max() <= 3


@pytest.mark.parametrize("step", [1, 2])
def test_cut_and_damaged_jpegs_are_refused(tmp_path: Path, step: int) -> None:
    path = tmp_path / "a.jpg"
    write_image(path, (96, 160))
    whole = path.read_bytes()
    for content in (whole[:-1], whole[: len(whole) // 2]):
        with pytest.raises(RecordError, match=r"(?s)image is truncated.*index:7.*a\.jpg.*Premature end"):
            decode_image(content, path, "index:7", (96, 160), step)
    damaged = whole[:-200] + b"\xff\xd3" + whole[-198:]  # a restart mark where none belongs
    with pytest.raises(RecordError, match="Corrupt JPEG data"):
        decode_image(damaged, path, "index:7", (96, 160), step)
    with pytest.raises(RecordError, match=r"(?s)recorded size.*expected: +95x159.*got: +96x160"):
        decode_image(whole, path, "index:7", (95, 159), step)


def test_a_jpeg_that_only_opencv_takes_comes_in_full(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    write_image(path, (96, 160))
    whole = path.read_bytes()
    odd = whole[:20] + b"\0\0" + whole[20:]  # stray bytes between two header segments
    np.testing.assert_array_equal(decode_image(odd, path, None, (96, 160), step=2), decode_image(whole, path, None))
    path.write_bytes(odd)
    resized = _load(path, (96, 160), LoadImage(resize=ResizeMinMax((48, 80))))
    assert resized["img"].shape == (48, 80, 3)


def test_full_decoding_equals_opencv() -> None:
    folder = os.environ.get("ADMLOPS_REAL_DATA")
    if not folder:
        pytest.skip("ADMLOPS_REAL_DATA names no folder of real frames")
    paths = sorted(Path(folder).rglob("*.jpg"))[::10]
    assert paths
    for path in paths:
        content = path.read_bytes()
        expected = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        np.testing.assert_array_equal(decode_image(content, path, None), expected)
