"""The table of sizes, row by row; every pixel must come from where ``input_from_original`` says."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_release import make_results

from admlops.datasets import DetectionAnnotation, SegmentationAnnotation
from admlops.datasets.transforms import ExportGeometry, PackMultiTask, PadTo, RandomCrop, RandomFlip, ResizeMinMax
from admlops.errors import ConfigError
from admlops.structures import LabelAvailability
from admlops.task_spec import CAMERA_TASKS

DETECTION = CAMERA_TASKS["det_person"]
SEMANTIC = CAMERA_TASKS["seg_default"]
RESIZE = ResizeMinMax((540, 1140), resize_type="min_max_pairs")


def _road(hw: tuple[int, int]) -> dict[str, object]:
    """Blue grows with x, green with y; the mask has 4 x 3 tiles of classes 0..11; the box covers row 2, column 1."""
    h, w = hw
    x, y = np.meshgrid((np.arange(w) + 0.5) / w, (np.arange(h) + 0.5) / h)
    image = np.stack([x * 255, y * 255, np.zeros_like(x)], axis=-1).round().astype(np.uint8)
    mask = ((y * 4).astype(np.uint8) * 3 + (x * 3).astype(np.uint8)).astype(np.uint8)
    box = np.array([[w / 3, h / 2, 2 * w / 3, 3 * h / 4]], dtype=np.float32)
    flags = (np.zeros(1, dtype=np.int64), np.zeros(1, dtype=bool))
    labels = {
        "det_person": DetectionAnnotation(box, *flags, LabelAvailability.from_label(DETECTION, {})),
        "seg_default": SegmentationAnnotation(mask, LabelAvailability.from_label(SEMANTIC, {})),
    }
    return make_results(image, labels=labels)


def _check_pixels(results: dict, original_hw: tuple[int, int]) -> None:
    h, w = results["img_shape"]
    original_from_input = np.linalg.inv(results["input_from_original"])
    u, v = np.meshgrid(np.arange(w) + 0.5, np.arange(h) + 0.5)
    x = original_from_input[0, 0] * u + original_from_input[0, 2]
    y = original_from_input[1, 1] * v + original_from_input[1, 2]
    x, y = x / original_hw[1], y / original_hw[0]
    assert np.abs(results["img"][:h, :w, 0] - x * 255).max() < 1.6  # rounding twice, a pixel's slope at the border
    assert np.abs(results["img"][:h, :w, 1] - y * 255).max() < 1.6
    mask = results["labels"]["seg_default"].mask
    expected = np.floor(y * 4) * 3 + np.floor(x * 3)
    near_edge = (np.abs(y * 4 - np.round(y * 4)) < 0.01) | (np.abs(x * 3 - np.round(x * 3)) < 0.01)
    assert (mask[:h, :w] == expected)[~near_edge].all()
    assert (results["img"][h:] == 128).all()
    assert (results["img"][:, w:] == 128).all()
    assert (mask[h:] == 255).all()
    assert (mask[:, w:] == 255).all()
    # The box encloses class 2 * 3 + 1 = 7 up to the rounding of a pixel.
    rows, columns = np.nonzero(mask == 7)
    if len(rows) and len(results["labels"]["det_person"].bboxes):
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(results["labels"]["det_person"].bboxes[0], seen, atol=0.51)


@pytest.mark.parametrize(
    ("original_hw", "resized_hw", "valid_hw"),
    [
        ((720, 1280), (540, 960), (512, 960)),
        ((1080, 1920), (540, 960), (512, 960)),
        ((940, 1824), (540, 1048), (512, 960)),
        ((1080, 2280), (540, 1140), (512, 960)),
        ((375, 1242), (344, 1140), (344, 960)),  # KITTI: lower than the crop, so padded
    ],
)
def test_training_sizes(original_hw: tuple[int, int], resized_hw: tuple[int, int], valid_hw: tuple[int, int]) -> None:
    results = RESIZE(_road(original_hw))
    assert results["img"].shape == (*resized_hw, 3)
    assert results["img_shape"] == resized_hw
    _check_pixels(results, original_hw)
    results = RandomCrop((512, 960))(results)
    assert results["img"].shape == (512, 960, 3)
    assert results["labels"]["seg_default"].mask.shape == (512, 960)
    assert results["img_shape"] == valid_hw
    assert results["ori_shape"] == original_hw
    _check_pixels(results, original_hw)
    results = RandomFlip(prob=1.0)(results)
    assert results["input_from_original"][0, 0] < 0
    _check_pixels(results, original_hw)


def test_crop_configuration_cuts_from_the_original() -> None:
    results = RandomCrop((448, 1216))(_road((720, 1280)))
    assert results["img"].shape == (448, 1216, 3)
    _check_pixels(results, (720, 1280))


@pytest.mark.parametrize(
    ("original_hw", "halved_hw", "cut_rows", "input_hw"),
    [
        ((940, 1824), (470, 912), 22, (448, 960)),
        ((1080, 1920), (540, 960), 28, (512, 960)),
        ((1080, 2280), (540, 1140), 28, (512, 1140)),
    ],
)
def test_export_sizes(original_hw: tuple, halved_hw: tuple, cut_rows: int, input_hw: tuple) -> None:
    results = ExportGeometry()(_road(original_hw))
    assert results["img"].shape == (*input_hw, 3)
    assert results["img_shape"] == (halved_hw[0] - cut_rows, halved_hw[1])
    np.testing.assert_array_equal(results["input_from_original"], [[0.5, 0, 0], [0, 0.5, -cut_rows], [0, 0, 1]])
    _check_pixels(results, original_hw)


CROP_EXPORT = ExportGeometry((448, 1216), pyramid_step=0, place_yx=(0.5, 0.5))


@pytest.mark.parametrize(
    ("original_hw", "shown_hw", "top_left"),
    [
        ((720, 1280), (448, 1216), (136, 32)),
        ((1080, 1920), (448, 1216), (316, 352)),
        ((375, 1242), (375, 1216), (0, 13)),  # KITTI: lower than the window, so padded
    ],
)
def test_export_of_the_crop_network_is_a_window_around_the_horizon(
    original_hw: tuple, shown_hw: tuple, top_left: tuple
) -> None:
    results = CROP_EXPORT(_road(original_hw))
    assert results["img"].shape == (448, 1216, 3)
    assert results["img_shape"] == shown_hw
    np.testing.assert_array_equal(results["input_from_original"], [[1, 0, -top_left[1]], [0, 1, -top_left[0]], [0, 0, 1]])
    _check_pixels(results, original_hw)


def test_what_the_export_cuts_off_is_in_no_metric() -> None:
    # The window shows rows 136 to 583 and columns 32 to 1247.
    boxes = np.array(
        [[100, 300, 140, 340], [100, 86, 140, 186], [100, 36, 140, 156], [100, 0, 140, 130], [0, 600, 1280, 720]], np.float32
    )
    label = replace(
        _road((720, 1280))["labels"]["det_person"], bboxes=boxes, labels=np.arange(5), ignore_flags=np.zeros(5, bool)
    )
    results = CROP_EXPORT(_road((720, 1280)))
    results |= {"original_labels": {"det_person": label}, "sample_id": "a", "source": "b", "img_path": "c"}
    found = PackMultiTask()(results)["data_samples"].gt_original.det_person.instances
    # Whole; half of it seen: clipped; a sixth: ignored; nothing: gone.
    assert found.bboxes.tolist() == [[100, 300, 140, 340], [100, 136, 140, 186], [100, 136, 140, 156]]
    assert found.labels.tolist() == [0, 1, 2]
    assert found.ignore_flags.tolist() == [False, False, True]


def test_a_whole_image_keeps_every_box() -> None:
    results = RESIZE(_road((940, 1824)))
    boxes = np.array([[0, 0, 1824, 940], [1823.5, 0, 1824, 1]], np.float32)
    label = replace(results["labels"]["det_person"], bboxes=boxes, labels=np.arange(2), ignore_flags=np.zeros(2, bool))
    results |= {"original_labels": {"det_person": label}, "sample_id": "a", "source": "b", "img_path": "c"}
    found = PackMultiTask()(results)["data_samples"].gt_original.det_person.instances
    assert found.bboxes.tolist() == boxes.tolist()
    assert not found.ignore_flags.any()


def test_unknown_export_size_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"(?s)no export input.*940x1824, 1080x1920, 1080x2280.*got: +720x1280"):
        ExportGeometry()(_road((720, 1280)))
    with pytest.raises(ConfigError, match="does not fit"):
        ExportGeometry(input_hw=(512, 960))(_road((720, 1280)))
    with pytest.raises(ConfigError, match="place_yx within 0 and 1"):
        ExportGeometry((448, 1216), pyramid_step=0, place_yx=(136, 32))


def test_padding_for_validation() -> None:
    results = PadTo(divisor=64)(RESIZE(_road((940, 1824))))
    assert results["img"].shape == (576, 1088, 3)
    assert results["img_shape"] == (540, 1048)
    _check_pixels(results, (940, 1824))
    with pytest.raises(ConfigError, match=r"(?s)larger than the padded size.*\(540, 960\)"):
        PadTo(size_hw=(512, 960))(RESIZE(_road((1080, 1920))))
