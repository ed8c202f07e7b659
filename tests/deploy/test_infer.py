"""The tool that runs an exported file on pictures and videos."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_deployment import BLUE, DET, GREEN, LANE, export_tiny, paint

from admlops.data_release.record import validate_record
from admlops.datasets.transforms.read_file import decode_mask
from admlops.deploy import Predictor
from admlops.engine.infer import infer
from admlops.errors import RecordError

ROOT = Path(__file__).parents[2]
IMAGE = paint((80, 160), (24, 16, 8, 8, BLUE), (40, 40, 16, 32, GREEN))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return export_tiny(tmp_path_factory.mktemp("tiny") / "tiny.onnx")


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos" / "night").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "photos" / "a.png"), IMAGE)
    cv2.imwrite(str(tmp_path / "photos" / "night" / "a.png"), IMAGE[:, ::-1])
    (tmp_path / "photos" / "notes.txt").write_text("no picture")
    return tmp_path / "photos"


def read_records(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_folder_becomes_records_masks_and_pictures(model, photos, tmp_path):
    report = infer(model, photos, tmp_path / "out")
    assert (report.num_images, report.unreadable) == (2, ())
    records = read_records(report.records)
    assert [record["sample_id"] for record in records] == ["a.png", "night/a.png"]
    found = Predictor(model)(IMAGE)
    record = records[0]
    assert record["image"] == {"path": str(photos / "a.png"), "width": 160, "height": 80}
    assert record["attributes"] == {"source": "photos"}
    detections = found.detections[DET.name]
    assert record["labels"][DET.name]["categories"] == list(detections.names)
    np.testing.assert_allclose(record["labels"][DET.name]["boxes"], detections.boxes_xyxy_px, atol=0.005)
    np.testing.assert_allclose(record["labels"][DET.name]["scores"], detections.scores, atol=5e-5)
    mask = tmp_path / "out" / record["labels"][LANE.name]["mask"]
    np.testing.assert_array_equal(decode_mask(mask.read_bytes(), mask, None), found.masks[LANE.name].mask)
    for picture in ("a.png.jpg", "night/a.png.jpg"):
        assert cv2.imread(str(tmp_path / "out" / "pictures" / picture)).shape[1] == 640
    # Without scores it is a record that a release takes.
    del record["labels"][DET.name]["scores"]
    validate_record(record)


def test_results_inside_of_the_source_are_no_source(model, photos):
    for _ in range(2):
        assert infer(model, photos, photos / "out").num_images == 2


def test_a_picture_shows_what_was_found(model, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), IMAGE)
    infer(model, tmp_path / "a.png", tmp_path / "out")
    drawn = cv2.imread(str(tmp_path / "out" / "pictures" / "a.png.jpg"))
    title_px = (drawn[:, 0] == drawn[0, 0]).all(axis=1).argmin()
    # Enlarged four times; dashed white lanes are cyan, RGB (0, 229, 255).
    np.testing.assert_allclose(drawn[title_px + 4 * 48, 4 * 56], (255, 229, 0), atol=30)


def test_limits_and_no_pictures(model, photos, tmp_path):
    report = infer(model, photos, tmp_path / "out", score=1.0, pictures=False, backend="openvino")
    assert [record["labels"][DET.name]["boxes"] for record in read_records(report.records)] == [[], []]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["masks", "predictions.jsonl"]


def test_a_video_becomes_one_record_a_frame(model, tmp_path):
    video = tmp_path / "drive.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 80))
    for _ in range(3):
        writer.write(IMAGE)
    writer.release()
    report = infer(model, video, tmp_path / "out")
    records = read_records(report.records)
    assert [record["sample_id"] for record in records] == ["drive_000000", "drive_000001", "drive_000002"]
    assert [record["attributes"] for record in records] == [{"source": "drive", "frame": number} for number in range(3)]
    assert all("vehicle" in record["labels"][DET.name]["categories"] for record in records)
    assert len(list((tmp_path / "out" / "pictures").iterdir())) == 3


def run_tool(*arguments) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "tools" / "infer.py", *arguments]
    return subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_unreadable_files_are_named_and_the_rest_goes_on(model, photos, tmp_path):
    (photos / "broken.jpg").write_bytes(cv2.imencode(".jpg", IMAGE)[1].tobytes()[:200])
    (photos / "empty.png").touch()
    done = run_tool(model, photos, "--out", tmp_path / "out", "--score", "0.5")
    assert done.returncode == 1
    assert f"2 images: {tmp_path / 'out' / 'predictions.jsonl'}" in done.stdout
    assert "broken.jpg: image is truncated" in done.stderr
    assert "empty.png: image is empty" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(read_records(tmp_path / "out" / "predictions.jsonl")) == 2


def test_what_is_no_source_is_refused_before_anything_is_written(model, tmp_path):
    (tmp_path / "nothing").mkdir()
    for source, told in ((tmp_path / "absent", "nothing to predict on"), (tmp_path / "nothing", "no images")):
        with pytest.raises(RecordError, match=told):
            infer(model, source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_neither_image_nor_video_is_named(model, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    report = infer(model, tmp_path / "notes.txt", tmp_path / "out")
    assert report.num_images == 0
    assert report.unreadable == (f"{tmp_path / 'notes.txt'}: neither an image nor a video that OpenCV reads",)


def test_nothing_half_written_stays(model, photos, tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr("admlops.engine.infer.write_picture", fail)
    with pytest.raises(OSError, match="disk full"):
        infer(model, photos, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*predictions*")) + list((tmp_path / "out").glob(".*"))
