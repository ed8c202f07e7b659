"""Predictions as records, from a test and from whoever else has some."""

from __future__ import annotations

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData, PixelData

from admlops.data_release.record import validate_record
from admlops.engine.hooks import PredictionDumpHook
from admlops.engine.prediction_writer import PredictionWriter
from admlops.structures import MultiTaskDataSample
from admlops.structures.multi_task_data_sample import TaskElements
from admlops.task_spec import CAMERA_TASKS, TASKS


def make_sample() -> MultiTaskDataSample:
    meta = {"sample_id": "drive/7", "source": "night", "img_path": "s3://bucket/7.jpg", "ori_shape": (4, 6)}
    boxes = InstanceData(
        bboxes=torch.tensor([[1.0, 1.234, 3, 3.336]]), scores=torch.tensor([0.123456]), labels=torch.tensor([1])
    )
    lanes = PixelData(data=torch.arange(24).view(1, 4, 6).to(torch.uint8))
    return MultiTaskDataSample(metainfo=meta, pred=TaskElements(det_rear=boxes, seg_lane=lanes))


EXPECTED = {
    "sample_id": "drive/7",
    "image": {"path": "s3://bucket/7.jpg", "width": 6, "height": 4},
    "labels": {
        "det_rear": {"boxes": [[1.0, 1.23, 3.0, 3.34]], "categories": ["vehicle_head"], "scores": [0.1235]},
        "seg_lane": {"mask": "masks/seg_lane/night_drive_7.png"},
    },
    "attributes": {"source": "night"},
}


def test_a_test_s_predictions_become_records(tmp_path):
    # The data set names one task in its own words; the other is one of the camera's.
    tasks = {"det_rear": {"name": "det_rear", "kind": "detection", "classes": ["vehicle_rear", "vehicle_head"]}}
    dataset = SimpleNamespace(metainfo={"tasks": tasks})
    runner = SimpleNamespace(world_size=1, test_dataloader=SimpleNamespace(dataset=dataset))
    hook = PredictionDumpHook(str(tmp_path / "out"))
    hook.before_test_epoch(runner)
    hook.after_test_iter(runner, 0, outputs=[make_sample()])
    assert not (tmp_path / "out" / "predictions.jsonl").exists()
    hook.after_test_epoch(runner)
    assert json.loads((tmp_path / "out" / "predictions.jsonl").read_text()) == EXPECTED
    mask = cv2.imread(str(tmp_path / "out" / "masks" / "seg_lane" / "night_drive_7.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(mask, np.arange(24).reshape(4, 6))


def test_attributes_stand_beside_the_source(tmp_path):
    with PredictionWriter(tmp_path, "some.jsonl") as writer:
        writer.write(make_sample(), CAMERA_TASKS, {"frame": 3})
        writer.write(make_sample(), CAMERA_TASKS)
    records = [json.loads(line) for line in (tmp_path / "some.jsonl").read_text().splitlines()]
    assert records == [EXPECTED | {"attributes": {"source": "night", "frame": 3}}, EXPECTED]


def test_a_sweep_is_named_as_recorded_with_the_grid_of_its_masks(tmp_path):
    lidar = {"path": "sweeps/7.bin", "dtype": "float32", "num_features": 4, "origin": [0.0, 0.0, 1.73], "intensity_max": 255}
    grid = {"x_min_m": 0.0, "y_min_m": -1.0, "cell_m": 0.5, "rows": 4, "cols": 6}
    meta = {"sample_id": "7", "source": "kitti", "lidar": lidar, "lidar_path": "s3://bucket/sweeps/7.bin", "grid": grid}
    cells = PixelData(data=torch.ones(1, 4, 6, dtype=torch.uint8), score=torch.ones(1, 4, 6))
    sample = MultiTaskDataSample(metainfo=meta | {"ori_shape": (4, 6)}, pred=TaskElements(god_base=cells))
    with PredictionWriter(tmp_path) as writer:
        writer.write(sample, TASKS)
    record = json.loads(writer.path.read_text())
    assert record == {
        "sample_id": "7",
        "lidar": lidar | {"path": "s3://bucket/sweeps/7.bin"},
        "labels": {"god_base": {"mask": "masks/god_base/kitti_7.png"}},
        "attributes": {"source": "kitti", "grid": grid},
    }
    validate_record(record)


def test_a_file_that_is_not_finished_does_not_stay(tmp_path):
    with pytest.raises(KeyError), PredictionWriter(tmp_path) as writer:
        writer.write(make_sample(), {})
    assert list(tmp_path.iterdir()) == []
