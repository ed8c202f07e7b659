from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from grid_sweeps import batch_of, grid_of, make_label, make_sweep

from admlops.engine.hooks import OverlayHook
from admlops.errors import AdmlopsError
from admlops.structures import MultiTaskDataSample, inputs_of_sample
from admlops.task_spec import LIDAR_TASKS
from god.visualizer import CLASS_ERRORS, ERRORS, MIN_SIDE_PX, BevVisualizer, errors_of, forward_up, paint

SIDE = 8
FACTOR = MIN_SIDE_PX // SIDE
TITLE_PX = 22
"""Rows of text above a panel of 512 px: one line of 18 px and its margin."""


def bgr(spec, class_name):
    return list(spec.palette[spec.classes.index(class_name)][::-1])


def pixel(picture, panel, row, col):
    """Colour at the lower left of a cell, beside rings and their texts; panels are 4 px apart."""
    up, left = SIDE - 1 - col, SIDE - 1 - row
    return picture[TITLE_PX + up * FACTOR + FACTOR - 3, panel * (MIN_SIDE_PX + 4) + left * FACTOR + 2].tolist()


@pytest.fixture
def grid():
    return grid_of(SIDE, SIDE, x_min_m=-4.0)


@pytest.fixture
def sweep(grid):
    """Ahead to the left an obstacle that is found, to the right one that is missed, behind a false alarm and no label."""
    gt, pred = np.zeros((SIDE, SIDE), int), np.zeros((SIDE, SIDE), int)
    gt[6, 7], pred[6, 7] = 1, 1
    gt[1, 6] = 1
    pred[2, 0] = 1
    gt[5, 0], pred[5, 0] = 255, 1
    return make_sweep(gt, pred, grid=grid)


def test_forward_is_up_and_left_is_left():
    # Row = y, column = x: the cell of the largest x and y lies at the upper left.
    assert forward_up(np.array([[1, 2, 3], [4, 5, 6]])).tolist() == [[6, 3], [5, 2], [4, 1]]


def test_points_truth_prediction_and_errors_stand_side_by_side(grid, sweep, tmp_path):
    batch = batch_of(grid, [(3.5, 2.5, -1.7), (3.5, 2.5, 1.0), (2.5, -2.5, -1.7), (-3.5, 1.5, 5.0)])
    visualizer = BevVisualizer(tasks=["god_base"], name="row")
    background = visualizer.background(sweep, inputs_of_sample(batch, 0), None)
    visualizer.add_datasample("a", background, sweep, out_file=tmp_path / "a.png")
    picture = cv2.imread(str(tmp_path / "a.png"))
    assert picture.shape[1] == 4 * MIN_SIDE_PX + 3 * 4
    spec = LIDAR_TASKS["god_base"]
    high, low, empty = (pixel(picture, 0, row, col) for row, col in ((6, 7), (1, 6), (5, 0)))
    assert high[0] > low[0] > 60
    assert empty == [0, 0, 0]  # its point lies above the grid's band
    assert pixel(picture, 1, 6, 7) == pixel(picture, 1, 1, 6) == bgr(spec, "obstacle")
    assert pixel(picture, 1, 2, 0) == bgr(spec, "free")
    assert pixel(picture, 1, 5, 0) == [0, 0, 0]
    assert pixel(picture, 2, 1, 6) == bgr(spec, "free")
    assert pixel(picture, 2, 5, 0) == bgr(spec, "obstacle")
    cells = {"found": (6, 7), "missed": (1, 6), "false alarm": (2, 0), "not labelled": (5, 0), "rightly none": (1, 1)}
    assert {name: pixel(picture, 3, *cell) for name, cell in cells.items()} == {name: bgr(ERRORS, name) for name in cells}


def test_every_task_has_a_row_and_the_unknown_is_said(grid, sweep):
    visualizer = BevVisualizer(tasks=["god_base", "drivable_2cls"], name="rows")
    background = np.zeros((SIDE, SIDE, 3), np.uint8)
    both = visualizer.compose("a", background, sweep, True, True, None, 0.3)
    alone = BevVisualizer(tasks=["god_base"], name="one_row").compose("a", background, sweep, True, True, None, 0.3)
    np.testing.assert_array_equal(both[: len(alone)], alone)
    # One more line of text, for what is unknown and for the branch that is missing.
    assert len(both) > 2 * len(alone)


def test_labels_of_a_training_are_drawn_without_predictions(grid, sweep):
    sample = MultiTaskDataSample(metainfo={"sample_id": "a", "source": "unit", "grid": sweep.grid, "origin": np.zeros(3)})
    sample.gt = sweep.gt_original
    picture = BevVisualizer(tasks=["god_base"], name="truth").compose(
        "a", np.zeros((SIDE, SIDE, 3), np.uint8), sample, True, False, None, 0.3
    )
    assert picture.shape[1] == 2 * MIN_SIDE_PX + 4
    assert pixel(picture, 1, 6, 7) == bgr(LIDAR_TASKS["god_base"], "obstacle")


def test_a_member_of_a_category_set_is_right_and_its_label_white():
    spec = LIDAR_TASKS["drivable_multi"]
    keys = {"category_sets": {"driveable_surface": ["road", "parking"]}}
    gt = np.array([[5, 5, 5, 0, 4, 255]])
    label = make_label("drivable_multi", gt, **keys)
    kinds, meaning = errors_of(gt.astype(np.uint8), np.array([[0, 1, 2, 0, 2, 0]], np.uint8), label.category_sets.numpy(), 5)
    assert meaning is CLASS_ERRORS
    names = [meaning.classes[kind] for kind in kinds[0]]
    assert names == ["right", "right", "wrong", "right", "wrong", "not labelled"]
    # Forward up: the last column comes first.
    painted = paint(gt.astype(np.uint8), spec)[:, 0].tolist()
    assert painted[0] == [0, 0, 0]
    assert painted[1:3] == [bgr(spec, "terrain"), bgr(spec, "road")]
    assert painted[3:] == [[255, 255, 255]] * 3


def test_rings_are_about_the_sensor_where_it_is(grid, sweep):
    free = make_sweep(np.full((SIDE, SIDE), 255), np.zeros((SIDE, SIDE)), origin=(1.0, -2.0, 1.7), grid=grid)
    picture = BevVisualizer(tasks=["god_base"], name="rings").compose(
        "a", np.zeros((SIDE, SIDE, 3), np.uint8), free, True, False, None, 0.3
    )
    panel = picture[TITLE_PX : TITLE_PX + MIN_SIDE_PX, :MIN_SIDE_PX].astype(int)
    # x = 1 m lies 3 m below the upper edge, y = -2 m 6 m right of the left one; 64 px a metre, a ring every 2 m.
    assert panel[3 * 64, 6 * 64 - 2 * 64].max() > 60
    assert panel[3 * 64, 6 * 64 - 1 * 64].max() == 0
    yellow = (panel[..., 2] > 200) & (panel[..., 0] < 60)
    assert np.abs(np.argwhere(yellow).mean(axis=0) - (3 * 64, 6 * 64)).max() < 4


def test_a_mask_of_another_grid_is_refused(grid):
    wrong = make_sweep(np.zeros((SIDE, SIDE + 1)), np.zeros((SIDE, SIDE + 1)), grid=grid)
    with pytest.raises(AdmlopsError, match="sample's grid"):
        BevVisualizer(tasks=["god_base"], name="wrong").compose(
            "a", np.zeros((SIDE, SIDE, 3), np.uint8), wrong, True, True, None, 0.3
        )


def test_the_overlay_hook_draws_each_sweep_on_its_own_points(grid, sweep, tmp_path):
    second = make_sweep(np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE)), sample_id="b/2", grid=grid)
    runner = SimpleNamespace(
        test_dataloader=SimpleNamespace(dataset=SimpleNamespace()),
        visualizer=BevVisualizer(tasks=["god_base"], name="hook"),
        iter=0,
        work_dir=str(tmp_path),
    )
    batch = batch_of(grid, [], [(3.5, 2.5, -1.7)])
    OverlayHook(num_pictures=None).after_test_iter(runner, 0, batch, [sweep, second])
    first, other = (cv2.imread(str(tmp_path / "overlays" / name)) for name in ("unit_a.png", "unit_b_2.png"))
    assert pixel(first, 0, 6, 7) == [0, 0, 0]
    assert pixel(other, 0, 6, 7)[0] > 60
