from __future__ import annotations

import cv2
import numpy as np
import pytest

from admlops.engine.browse import browse
from admlops.synthetic.lidar.lidar_sample import render_lidar_sample

CONFIG = "projects/god/configs/god_base.py"


@pytest.fixture(scope="module")
def lidar_sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browse") / "sample"
    render_lidar_sample(folder, 5, 1, 0, 1)
    return folder


@pytest.mark.parametrize(("split", "folder"), [("train", "train"), ("val", "val")])
def test_a_sweep_is_drawn_with_its_labels_as_the_network_sees_it(lidar_sample, tmp_path, split, folder):
    options = {f"{split}_dataloader.dataset.data_release.root": str(lidar_sample / folder)}
    (path,) = browse(CONFIG, tmp_path, split=split, num_pictures=1, options=options)
    picture = cv2.imread(str(path))
    assert picture.shape[1] == 2 * 512 + 4
    truth = picture[22:534, 516:].reshape(-1, 3)
    shown = {tuple(color) for color in np.unique(truth, axis=0).tolist()}
    assert {(82, 82, 255), (122, 110, 84), (0, 0, 0)} <= shown  # obstacle, free, not labelled
