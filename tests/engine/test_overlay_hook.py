from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from admlops.engine.hooks import OverlayHook
from admlops.structures import MultiTaskDataSample
from admlops.structures.multi_task_data_sample import TaskElements
from admlops.visualization import MultiTaskVisualizer


@pytest.fixture
def runner(tmp_path):
    drawn = []
    visualizer = MultiTaskVisualizer(tasks=["det_person"], name="overlay_hook")
    visualizer.add_datasample = lambda name, image, sample, out_file, step: drawn.append((name, image, out_file, step))
    return SimpleNamespace(
        val_dataloader=[None] * 4, visualizer=visualizer, iter=7, work_dir=str(tmp_path), drawn=drawn, tmp_path=tmp_path
    )


class Loader(list):
    dataset = SimpleNamespace()


def make_sample(folder, number):
    path = folder / f"{number}.png"
    cv2.imwrite(str(path), np.full((4, 6, 3), (10 * number, 0, 200), np.uint8))
    meta = {"sample_id": f"drive/{number}", "source": "night", "img_path": str(path), "ori_shape": (4, 6)}
    return MultiTaskDataSample(metainfo=meta, pred=TaskElements())


def test_predictions_are_drawn_on_the_original_picture_not_on_the_input(runner):
    runner.val_dataloader = Loader([None])
    samples = [make_sample(runner.tmp_path, number) for number in (1, 2)]
    batch = {"inputs": [torch.zeros(3, 2, 3, dtype=torch.uint8)] * 2}
    OverlayHook(num_pictures=None).after_val_iter(runner, 0, batch, samples)
    names, images, files, steps = zip(*runner.drawn, strict=True)
    assert names == ("drive/1", "drive/2")
    assert [image.shape for image in images] == [(4, 6, 3)] * 2
    assert [image[0, 0].tolist() for image in images] == [[200, 0, 10], [200, 0, 20]]  # RGB
    assert files[0] == str(runner.tmp_path / "overlays" / "night_drive_1.png")
    assert steps == (7, 7)


def test_pictures_are_spread_over_the_batches_one_each(runner):
    runner.val_dataloader = Loader([None] * 4)
    samples = [make_sample(runner.tmp_path, number) for number in (1, 2)]
    hook = OverlayHook(num_pictures=2)
    for index in range(4):
        hook.after_val_iter(runner, index, {"inputs": [None] * 2}, samples)
    assert [name for name, *_ in runner.drawn] == ["drive/1", "drive/1"]


def test_labels_in_input_pixels_are_drawn_on_the_input(runner):
    sample = MultiTaskDataSample(gt=TaskElements())
    image = torch.arange(24, dtype=torch.uint8).view(3, 2, 4)  # BGR, channels first
    background = runner.visualizer.background(sample, image, None)
    assert background[0, 1].tolist() == [17, 9, 1]
