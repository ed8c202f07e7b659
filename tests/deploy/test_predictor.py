"""From an image of any size to results in its own pixels."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny_deployment import BLUE, DET, GREEN, LANE, RED, RESIZE, export_tiny, make_graph, paint

from admlops.datasets.transforms import ExportGeometry
from admlops.deploy import Geometry, Predictor
from admlops.deploy.geometry import to_input
from admlops.errors import ConfigError, ExportError, RecordError
from admlops.models.detectors.original_frame import to_original
from admlops.models.heads import CenterLtrbHead, SegHead


@pytest.fixture(scope="module", params=["onnxruntime", "openvino"])
def predictor(request, tmp_path_factory):
    return Predictor(export_tiny(tmp_path_factory.mktemp("tiny") / "tiny.onnx", flavour=request.param), threads=1)


def noise(hw: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*hw, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("geometry", "steps"),
    [
        (Geometry((940, 1824), (448, 960)), ((470, 912), (22, 0, 448, 912), 48)),
        (Geometry((1080, 1920), (512, 960)), ((540, 960), (28, 0, 512, 960), 0)),
        (Geometry((1080, 2280), (512, 1140)), ((540, 1140), (28, 0, 512, 1140), 0)),
        (Geometry((720, 1280), (448, 1216), 0, (0.5, 0.5)), (None, (136, 32, 448, 1216), 0)),
    ],
    ids=lambda value: "x".join(map(str, value.original_hw)) if isinstance(value, Geometry) else "",
)
def test_the_camera_s_image_becomes_what_the_network_was_tested_on(geometry, steps):
    image = noise(geometry.original_hw)
    found, meta = to_input(image, geometry)
    half_hw, (top, left, height, width), columns = steps
    expected = image if half_hw is None else cv2.resize(image, half_hw[::-1], interpolation=cv2.INTER_AREA)
    expected = expected[top : top + height, left : left + width]
    expected = cv2.copyMakeBorder(expected, 0, 0, 0, columns, cv2.BORDER_CONSTANT, value=(128,) * 3)
    np.testing.assert_array_equal(found, expected)
    results = {"img": image, "ori_shape": image.shape[:2], "img_shape": image.shape[:2], "input_from_original": np.eye(3)}
    transformed = ExportGeometry(geometry.input_hw, geometry.pyramid_step, geometry.place_yx)(results)
    np.testing.assert_array_equal(found, transformed["img"])
    assert meta["img_shape"] == transformed["img_shape"] == (height, width)
    np.testing.assert_array_equal(meta["input_from_original"], transformed["input_from_original"])
    assert found.shape[:2] == geometry.input_hw
    assert found.flags.c_contiguous


@pytest.mark.parametrize(
    ("hw", "shown_hw"), [((100, 100), (32, 32)), ((10, 96), (10, 96)), ((5, 24), (20, 96)), ((2000, 1), (32, 1))]
)
def test_an_image_of_any_other_size_is_scaled_to_fit(hw, shown_hw):
    found, meta = to_input(np.zeros((*hw, 3), np.uint8), RESIZE)
    assert found.shape == (32, 96, 3)
    assert meta["img_shape"] == shown_hw
    assert (found[: shown_hw[0], : shown_hw[1]] == 0).all()
    assert (found[shown_hw[0] :] == 128).all()
    assert (found[:, shown_hw[1] :] == 128).all()


def test_results_are_in_pixels_of_the_original(predictor):
    # Input rows 0..31 show the original's 16..79; the cell of rows 4..7, columns 8..11 its rows 24..31, columns 16..23.
    found = predictor(paint((80, 160), (24, 16, 8, 8, BLUE), (56, 120, 8, 8, RED), (40, 40, 16, 32, GREEN)))
    detections = found.detections[DET.name]
    assert found.image_hw == (80, 160)
    assert sorted(detections.names[:2]) == ["traffic_sign", "vehicle"]
    boxes = {name: box.tolist() for name, box in zip(detections.names, detections.boxes_xyxy_px, strict=True)}
    # 16 px to each side in the input are 32 in the original; the rows above 16 are not seen.
    assert boxes["vehicle"] == pytest.approx([0, 16, 52, 60], abs=1e-3)
    assert boxes["traffic_sign"] == pytest.approx([92, 28, 156, 80], abs=1e-3)
    assert detections.scores[0] == pytest.approx(1 / (1 + np.exp(-8 * 127 / 128)), abs=1e-5)
    lanes = found.masks[LANE.name]
    assert lanes.mask.shape == (80, 160)
    assert lanes.mask.dtype == np.uint8
    assert lanes.classes == ("background", *LANE.classes)
    assert (lanes.mask[:16] == 255).all()
    assert set(np.unique(lanes.mask[16:])) == {0, 1}
    assert (lanes.mask[44:52, 44:68] == 1).all()
    assert (lanes.mask[16:36] == 0).all()


def test_an_image_of_another_size_comes_back_in_its_own_pixels(predictor):
    # 64x64 -> 32x32 in the upper left corner.
    found = predictor(paint((64, 64), (16, 16, 8, 8, BLUE), (32, 0, 16, 64, GREEN)))
    detections = found.detections[DET.name]
    assert detections.names[0] == "vehicle"
    assert detections.boxes_xyxy_px[0] == pytest.approx([0, 0, 52, 52], abs=1e-3)
    mask = found.masks[LANE.name].mask
    assert mask.shape == (64, 64)
    assert (mask[36:44] == 1).all()
    assert (mask[:28] == 0).all()


def test_what_lies_in_the_padding_is_no_detection(predictor):
    # Grey of the padding gives logits of 0, a score of a half, where nothing of the image is.
    for detections in predictor(paint((64, 64))).detections.values():
        assert (detections.boxes_xyxy_px <= 64).all()
        assert (detections.scores < 0.5).all()


def test_results_are_those_of_the_heads(predictor):
    """Sums of pixels are exact in floats, so are the logits."""
    image = noise((80, 160)) // 32 * 32
    planes, meta = to_input(image, RESIZE)
    pixels = (torch.from_numpy(planes).permute(2, 0, 1)[None].float() - 128) / 128
    found = predictor(image)
    graph = make_graph()
    raw = {name: F.conv2d(pixels, graph[node].weight_OIHW, graph[node].bias_O, 4) for name, node in graph.outputs.items()}
    head, allowed = CenterLtrbHead(DET), torch.ones(2, dtype=torch.bool)
    heat, ltrb = raw[f"{DET.name}.heatmap"], raw[f"{DET.name}.ltrb"]
    expected = to_original(head.interpret((heat, ltrb), [meta], (32, 96), allowed)[0], meta, (32, 96))
    detections = found.detections[DET.name]
    assert len(detections) == len(expected.scores) > 20
    np.testing.assert_allclose(detections.scores, expected.scores, atol=1e-6)
    distinct = np.diff(expected.scores, prepend=2, append=-1) < -1e-6
    alone = distinct[:-1] & distinct[1:]
    np.testing.assert_array_equal(detections.labels[alone], expected.labels[alone])
    np.testing.assert_allclose(detections.boxes_xyxy_px[alone], expected.bboxes[alone], atol=1e-4)
    lanes = SegHead(LANE).interpret((raw[f"{LANE.name}.logits"],), [meta], (32, 96), torch.ones(5, dtype=torch.bool))[0]
    np.testing.assert_array_equal(found.masks[LANE.name].mask, to_original(lanes, meta, (32, 96)).data[0])


def test_scores(predictor):
    image = paint((80, 160), (24, 16, 8, 8, BLUE), (56, 120, 8, 8, tuple(value // 2 for value in RED)))
    assert predictor(image, score_threshold=0.9).detections[DET.name].names == ("vehicle",)
    assert len(predictor(image, score_threshold=0.4).detections[DET.name]) == 2
    assert len(predictor(image, score_threshold=1.0).detections[DET.name]) == 0
    # The file's own limit is 0.02, black scores 0.0003.
    assert (predictor(image).detections[DET.name].scores >= 0.02).all()
    assert len(predictor(image, score_threshold=0.0).detections[DET.name]) > 2


def check_equal(a, b):
    assert a.image_hw == b.image_hw
    for name, found in a.detections.items():
        for field in ("boxes_xyxy_px", "scores", "labels"):
            np.testing.assert_array_equal(getattr(found, field), getattr(b.detections[name], field))
        assert found.names == b.detections[name].names
    for name, mask in a.masks.items():
        np.testing.assert_array_equal(mask.mask, b.masks[name].mask)


def test_files_and_lists(predictor, tmp_path):
    image = noise((80, 160))
    cv2.imwrite(str(tmp_path / "a.png"), image)
    alone = predictor(image)
    check_equal(alone, predictor(tmp_path / "a.png"))
    both = predictor([str(tmp_path / "a.png"), paint((64, 64))])
    check_equal(alone, both[0])
    assert [each.image_hw for each in both] == [(80, 160), (64, 64)]
    assert predictor([]) == []


def test_eight_threads_find_what_one_finds(predictor):
    images = [noise((40 + 8 * (i % 8), 64)) for i in range(64)]
    expected = [predictor(image) for image in images]
    with ThreadPoolExecutor(8) as pool:
        for one, other in zip(expected, pool.map(predictor, images), strict=True):
            check_equal(one, other)


def test_the_first_call_is_no_slower(tmp_path):
    predictor = Predictor(export_tiny(tmp_path / "tiny.onnx"), threads=1)
    image, seconds = noise((80, 160)), []
    for _ in range(20):
        start = time.perf_counter()
        predictor(image)
        seconds.append(time.perf_counter() - start)
    # A cold first run takes ten times as long; a busy machine is allowed for.
    assert seconds[0] < 5 * max(seconds[1:])


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8), np.uint8),
        np.zeros((2, 8, 8, 3), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_an_array_that_is_no_image(predictor, array):
    with pytest.raises(RecordError, match="no image") as caught:
        predictor(array)
    assert str(array.shape) in str(caught.value)


def test_a_file_that_is_no_image(predictor, tmp_path):
    (tmp_path / "notes.jpg").write_text("no picture")
    with pytest.raises(RecordError, match="notes.jpg"):
        predictor(tmp_path / "notes.jpg")
    with pytest.raises(RecordError, match="missing.jpg"):
        predictor([tmp_path / "missing.jpg"])


def test_a_file_with_raw_outputs_is_refused(tmp_path):
    with pytest.raises(ExportError, match="raw outputs"):
        Predictor(export_tiny(tmp_path / "raw.onnx", decoded=False))


def test_a_wrong_geometry_shows_when_the_file_is_opened(tmp_path):
    # Half of 80 columns are 40, not 96 at most; of 20 rows 10, not 32 at least.
    with pytest.raises(ConfigError, match="does not fit the export input"):
        Predictor(export_tiny(tmp_path / "tiny.onnx", geometry=Geometry((20, 80), (32, 96))))
