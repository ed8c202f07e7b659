"""What splits share: equal files, near duplicates, scenes; and what only looks alike."""

import cv2
import numpy as np
import pytest
from tiny_splits import camera, write_index

from admlops.analysis import ScanOptions
from admlops.analysis.near_duplicates import Pictures, correlate, find_overlaps
from admlops.analysis.thumbnail import THUMB_HW, difference_hashes, make_thumbnail
from admlops.errors import RecordError

HW = (90, 160)


def picture(seed, contrast=1.0):
    coarse = np.random.default_rng(seed).integers(0, 256, (18, 32, 3)).astype(np.uint8)
    image = cv2.resize(coarse, (HW[1], HW[0]), interpolation=cv2.INTER_CUBIC)
    return (128 + contrast * (image.astype(float) - 128)).clip(0, 255).astype(np.uint8)


def write(folder, split, pictures, scenes=None):
    """Write pictures ``{sample_id: image or bytes}`` as a split."""
    records = []
    for name, image in pictures.items():
        path = folder / split / "images" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image if isinstance(image, bytes) else cv2.imencode(".png", image)[1].tobytes())
        records.append(camera(name, HW, (scenes or {}).get(name)))
    return write_index(folder / split / "index.jsonl", records)


def test_hash_by_hand():
    rising = np.tile(np.arange(18, dtype=np.uint8), (16, 1))
    half = np.concatenate([rising[:8], rising[:8, ::-1]])
    bits = [int(value).bit_count() for value in difference_hashes(np.stack([rising, rising[:, ::-1], half]))]
    assert bits == [64, 0, 32]


def test_correlation_ignores_brightness_and_contrast_and_refuses_plain_pictures():
    thumb = cv2.resize(picture(0)[..., 0], THUMB_HW[::-1], interpolation=cv2.INTER_AREA)
    darker = (thumb // 2 + 10).astype(np.uint8)
    other = cv2.resize(picture(1)[..., 0], THUMB_HW[::-1], interpolation=cv2.INTER_AREA)
    black = np.zeros(THUMB_HW, np.uint8)
    got = correlate(np.stack([thumb, thumb, thumb, black]), np.stack([thumb, darker, other, black]))
    assert got[0] == pytest.approx(1)
    assert got[1] > 0.99
    assert abs(got[2]) < 0.5
    assert got[3] == 0


def test_each_kind_of_leak_is_counted_once(tmp_path, analyse):
    jpeg = cv2.imencode(".jpg", picture(1), [cv2.IMWRITE_JPEG_QUALITY, 60])[1].tobytes()
    train = write(tmp_path, "train", {"a": picture(0), "b": picture(1), "c": picture(2)}, {"c": "street"})
    brighter = np.clip(picture(0).astype(int) + 12, 0, 255).astype(np.uint8)
    val = write(tmp_path, "val", {"a2": picture(0), "a3": brighter, "b2": jpeg, "d": picture(3)}, {"d": "street"})
    analysis = analyse(ScanOptions(max_masks=0), train=train, val=val)
    between, in_train, in_val = analysis.overlaps
    assert between.splits == (0, 1)
    assert (between.equal_files, between.near_duplicates) == (1, 2)  # a2; a3 and b2
    assert (between.scenes, between.scene_records, between.shared_scenes) == (1, 1, ((2, 6),))
    assert {(pair.first, pair.second) for pair in between.examples} == {(0, 3), (0, 4), (1, 5)}
    assert (in_train.equal_files, in_train.near_duplicates) == (0, 0)
    assert (in_val.equal_files, in_val.near_duplicates) == (0, 2)  # a2 and a3


def test_fog_and_night_of_different_scenes_are_no_duplicates(tmp_path, analyse):
    train = write(tmp_path, "train", {f"t{seed}": picture(seed, contrast=0.04) for seed in range(20)})
    val = write(tmp_path, "val", {f"v{seed}": picture(seed, contrast=0.01) for seed in range(100, 120)})
    assert [overlap.near_duplicates for overlap in analyse(ScanOptions(max_masks=0), a=train, b=val).overlaps] == [0, 0, 0]


def test_black_frames_match_as_equal_files_only(tmp_path, analyse):
    black = np.zeros((*HW, 3), np.uint8)
    train = write(tmp_path, "train", {"t": black})
    val = write(tmp_path, "val", {"v": black, "w": black + 1})
    between = analyse(ScanOptions(max_masks=0), a=train, b=val).overlaps[0]
    assert (between.equal_files, between.near_duplicates) == (1, 0)


def test_hashes_that_are_near_by_chance_are_rejected():
    # Same order of brightness between columns, other pictures: rows of one are shuffled in strength.
    rng = np.random.default_rng(0)
    steps = rng.integers(1, 14, (2, 16, 18))
    thumbs = np.cumsum(steps, axis=2).clip(0, 255).astype(np.uint8)
    assert len(set(difference_hashes(thumbs).tolist())) == 1
    numbers = np.arange(1, 3, dtype=np.uint64)
    pictures = Pictures(np.array([0, 1], np.int16), np.zeros(2, np.uint64), numbers, thumbs)
    between = find_overlaps(pictures, 2, 6)[0]
    assert (between.near_duplicates, between.rejected) == (0, 1)


@pytest.mark.parametrize(
    ("content", "hw", "match"),
    [
        (b"", HW, "truncated or not a supported format"),
        (cv2.imencode(".png", picture(0))[1].tobytes()[:-40], HW, "truncated"),
        (cv2.imencode(".jpg", picture(0))[1].tobytes()[:-40], HW, "truncated"),
        (b"GIF89a", HW, "not a supported format"),
        (cv2.imencode(".jpg", picture(0))[1].tobytes(), (160, 90), "not of the recorded size"),
        (cv2.imencode(".png", picture(0))[1].tobytes(), (180, 320), "not of the recorded size"),
    ],
)
def test_damaged_pictures_are_named(tmp_path, content, hw, match):
    with pytest.raises(RecordError, match=match) as caught:
        make_thumbnail(content, hw, tmp_path / "x.jpg", "index.jsonl:7")
    assert caught.value.where == "index.jsonl:7"


def test_missing_and_remote_pictures_are_named(tmp_path, analyse):
    index = write_index(tmp_path / "x.jsonl", [camera("a")])
    with pytest.raises(RecordError, match="an image cannot be read(.|\n)*--no-images"):
        analyse(ScanOptions(), train=index)
    record = camera("a")
    record["image"]["path"] = "obs://bucket/a.png"
    with pytest.raises(RecordError, match="not on this machine"):
        analyse(ScanOptions(), train=write_index(tmp_path / "y.jsonl", [record]))
