import numpy as np
import pytest
from tiny_release import make_results

from admlops.datasets import DetectionAnnotation, SegmentationAnnotation
from admlops.datasets.transforms import PackMultiTask, Photometric, RandomCrop, RandomFlip, ResizeMinMax
from admlops.datasets.transforms.geometry import CutBoxRule, crop, mirror
from admlops.errors import ConfigError
from admlops.structures import LabelAvailability
from admlops.task_spec import CAMERA_TASKS

AVAILABLE = LabelAvailability.from_label(CAMERA_TASKS["det_person"], {})


def _boxes(*boxes: list[float], ignore: tuple[int, ...] = ()) -> DetectionAnnotation:
    flags = np.array([i in ignore for i in range(len(boxes))], dtype=bool)
    return DetectionAnnotation(
        np.array(boxes, dtype=np.float32).reshape(-1, 4), np.arange(len(boxes), dtype=np.int64), flags, AVAILABLE
    )


def _noise(hw: tuple[int, int], **entries: object) -> dict:
    return make_results(np.random.default_rng(1).integers(0, 256, (*hw, 3), dtype=np.uint8), **entries)


def test_boxes_at_the_border_of_a_crop() -> None:
    boxes = _boxes(
        [30, 20, 50, 60],  # inside
        [10, 20, 30, 60],  # 10 of 20 columns left: clipped
        [100, 90, 140, 130],  # 20/40 columns x 20/40 rows = 0.25 left: ignored
        [0, 20, 20.5, 60],  # half a column left: dropped
        [0, 0, 20, 10],  # outside: dropped
        [70.0, 70.0, 70.4, 70.4],  # tiny but whole: kept
        [90, 50, 130, 60],  # 30/40 left, marked as ignored by the source
        ignore=(6,),
    )
    results = _noise((200, 200), labels={"det_person": boxes})
    crop(results, (10, 20), (100, 100), CutBoxRule())
    label = results["labels"]["det_person"]
    assert label.labels.tolist() == [0, 1, 2, 5, 6]
    np.testing.assert_allclose(
        label.bboxes,
        [[10, 10, 30, 50], [0, 10, 10, 50], [80, 80, 100, 100], [50, 60, 50.4, 60.4], [70, 40, 100, 50]],
        atol=1e-5,
    )
    assert label.ignore_flags.tolist() == [False, False, True, False, True]
    assert label.bboxes.dtype == np.float32


def test_no_boxes_survive_every_step() -> None:
    results = _noise((100, 120), labels={"det_person": _boxes()})
    for step in (ResizeMinMax((50, 50)), RandomCrop((40, 64)), RandomFlip(1.0)):
        results = step(results)
    assert results["labels"]["det_person"].bboxes.shape == (0, 4)


def test_padding_is_grey_and_ignored() -> None:
    mask = SegmentationAnnotation(np.full((30, 100), 3, dtype=np.uint8), AVAILABLE)
    results = RandomCrop((40, 60))(_noise((30, 100), labels={"seg_default": mask}))
    assert results["img_shape"] == (30, 60)
    assert (results["img"][30:] == 128).all()
    assert np.unique(results["labels"]["seg_default"].mask[30:]).tolist() == [255]
    assert np.unique(results["labels"]["seg_default"].mask[:30]).tolist() == [3]


def test_flip_by_hand_and_twice() -> None:
    results = RandomCrop((4, 8))(_noise((4, 6), labels={"det_person": _boxes([1, 0, 3, 2])}))
    before = results["img"].copy()
    mirror(results)
    # 6 of 8 columns are valid: x -> 6 - x, padding stays on the right.
    np.testing.assert_array_equal(results["labels"]["det_person"].bboxes, [[3, 0, 5, 2]])
    np.testing.assert_array_equal(results["img"][:, :6], before[:, 5::-1])
    np.testing.assert_array_equal(results["img"][:, 6:], 128)
    np.testing.assert_array_equal(results["input_from_original"], [[-1, 0, 6], [0, 1, 0], [0, 0, 1]])
    mirror(results)
    np.testing.assert_array_equal(results["img"], before)
    np.testing.assert_array_equal(results["labels"]["det_person"].bboxes, [[1, 0, 3, 2]])
    np.testing.assert_array_equal(results["input_from_original"], np.eye(3))


def test_flip_probability() -> None:
    rng = np.random.default_rng(0)
    flipped = [RandomFlip(0.25)(_noise((2, 2), rng=rng))["input_from_original"][0, 0] < 0 for _ in range(400)]
    assert 70 < sum(flipped) < 130  # 100, standard deviation 9


class _ExtremeRng:
    """Draws the upper end of every range."""

    def random(self) -> float:
        return 0.0

    def uniform(self, low: float, high: float, size: int) -> np.ndarray:
        return np.full(size, high)


OFF = {"brightness": 0, "contrast": 0, "gamma": 0, "saturation": 0, "hue_rad": 0, "channel_gain": 0}


@pytest.mark.parametrize(
    ("amount", "pixel", "expected"),
    [
        ({"brightness": 24}, (10, 100, 250), (34, 124, 255)),
        ({"contrast": 0.25}, (28, 128, 228), (3, 128, 253)),  # 128 + 1.25 * (value - 128)
        ({"gamma": np.log(2)}, (0, 51, 255), (0, 10, 255)),  # 255 * (51 / 255) ** 2 = 10.2
        ({"saturation": 1.0}, (100, 100, 100), (100, 100, 100)),  # grey has no colour to gain
        ({"saturation": 1.0}, (100, 100, 0), (130, 130, 0)),  # luma 70.1: 2 * 100 - 70.1; 0 - 70.1 is cut off
        ({"hue_rad": np.pi}, (100, 100, 100), (100, 100, 100)),
        ({"hue_rad": np.pi}, (50, 100, 100), (139, 89, 89)),  # half a turn: 2 * luma 94.3 - value
        ({"channel_gain": np.log(1.5)}, (10, 100, 200), (15, 150, 255)),
        ({}, (10, 100, 200), (10, 100, 200)),
    ],
)
def test_photometric_by_hand(amount: dict, pixel: tuple, expected: tuple) -> None:
    image = np.full((2, 2, 3), pixel, dtype=np.uint8)
    results = Photometric(**(OFF | amount))(make_results(image, rng=_ExtremeRng()))
    np.testing.assert_array_equal(results["img"][0, 0], expected)


def test_photometric_leaves_padding_and_the_callers_array() -> None:
    results = RandomCrop((8, 12))(_noise((6, 10)))
    before = results["img"]
    copy = before.copy()
    results = Photometric(prob=1.0)(results)
    np.testing.assert_array_equal(before, copy)
    assert (results["img"][6:] == 128).all()
    assert (results["img"][:, 10:] == 128).all()
    assert not np.array_equal(results["img"][:6, :10], before[:6, :10])


def test_pack() -> None:
    mask = SegmentationAnnotation(np.arange(12, dtype=np.uint8).reshape(3, 4), AVAILABLE)
    meta = {"sample_id": "a", "source": "s", "img_path": "a.jpg"}
    results = _noise((3, 4), labels={"det_person": _boxes([0, 0, 2, 2])}, original_labels={"seg_default": mask}, **meta)
    packed = PackMultiTask()(results)
    sample = packed["data_samples"]
    np.testing.assert_array_equal(packed["inputs"].numpy(), results["img"].transpose(2, 0, 1))
    assert sample.gt.keys() == ["det_person"]
    assert sample.gt.det_person.instances.bboxes.tolist() == [[0, 0, 2, 2]]
    assert sample.gt.det_person.in_metric.tolist() == [True]
    assert sample.gt_original.seg_default.sem_seg.data.shape == (1, 3, 4)
    assert sample.to_dict()["gt_original"]["seg_default"]["sem_seg"]["data"][0, 2, 3] == 11
    assert (sample.sample_id, sample.source, sample.ori_shape, sample.img_shape) == ("a", "s", (3, 4), (3, 4))


def test_unknown_resize_type() -> None:
    with pytest.raises(ConfigError, match="did you mean 'min_max_pairs'"):
        ResizeMinMax((540, 1140), resize_type="min_max_pair")
