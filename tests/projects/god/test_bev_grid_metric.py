from __future__ import annotations

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
from grid_sweeps import batch_of, grid_of, make_sweep

from admlops.errors import ConfigError, ModelError
from god.metrics import BevGridMetric

IGNORE = 255


def measure(grid, *sweeps, baseline=False, batch=None):
    metric = BevGridMetric("god_base", grid, baseline)
    metric.process(batch, [sweep.to_dict() for sweep in sweeps])
    metrics = metric.evaluate(len(sweeps))
    assert all(name.startswith("god_base/") for name in metrics)
    return {name.removeprefix("god_base/"): value for name, value in metrics.items()}, metric


def drawing(*lines):
    """Rows of cells: '.' 0, '#' 1, ' ' ignored; other digits as they are. Row 0, the rightmost, comes first."""
    values = {".": 0, "#": 1, " ": IGNORE}
    return np.array([[values[c] if c in values else int(c) for c in line] for line in lines])


def test_cells_by_hand_without_ignored_ones():
    found, metric = measure(grid_of(1, 6), make_sweep(drawing("##..  "), drawing("#.#.#.")))
    assert found["IoU"] == 1 / 3
    assert (found["precision"], found["recall"], found["F1"]) == (0.5, 0.5, 0.5)
    assert (found["num_labelled_cells"], found["num_sweeps"]) == (4, 1)
    assert metric.details.confusion.tolist() == [[1, 1, 0], [1, 1, 0]]


def test_counts_are_summed_over_sweeps_before_the_ratio_and_a_repeated_sweep_counts_once():
    half = make_sweep(drawing("##.."), drawing("#.#."))
    whole = make_sweep(drawing("###."), drawing("###."), sample_id="b")
    found, _ = measure(grid_of(1, 4), half, whole, half)
    assert found["IoU"] == 4 / 6  # not the mean of 1/3 and 1
    assert found["num_sweeps"] == 2


def test_distance_bins_are_of_the_cell_centres_from_the_sensor():
    # Centres at 2.5, 7.5 | 12.5, 17.5 | 22.5, 27.5 | 32.5 ... 47.5 | 52.5, 57.5 m.
    gt, pred = drawing("##  .##..#.#"), drawing("#.  ##....#.")
    found, _ = measure(grid_of(1, 12, 5.0), make_sweep(gt, pred))
    assert found["0-10m/recall"] == 0.5
    assert found["0-10m/precision"] == 1
    assert math.isnan(found["10-20m/IoU"])
    assert found["10-20m/num_labelled_cells"] == 0
    assert found["20-30m/IoU"] == 0.5
    assert found["30-50m/IoU"] == 0
    # What is farther than 50 m counts in no bin, but in the whole: 2 hits, 2 false hits, 4 misses.
    assert found["30-50m/num_labelled_cells"] == 4
    assert (found["num_labelled_cells"], found["IoU"]) == (10, 2 / 8)
    # A sensor at x = 10 m sees the labelled cells 0-10 m away on either side.
    moved, _ = measure(grid_of(1, 12, 5.0), make_sweep(gt, pred, origin=(10.0, 0.0, 1.8)))
    assert moved["0-10m/num_labelled_cells"] == 2
    assert moved["10-20m/num_labelled_cells"] == 2
    # One 9 m beside the row at x = 17.5 m has none nearer than 10 m: 22.5 m is sqrt(5 ** 2 + 9 ** 2) = 10.3 m away.
    beside, _ = measure(grid_of(1, 12, 5.0), make_sweep(gt, pred, origin=(17.5, 9.0, 1.8)))
    assert beside["0-10m/num_labelled_cells"] == 0


def test_best_f1_is_the_highest_over_all_thresholds():
    sweep = make_sweep(drawing("##.. "), drawing("#.#.#"), score=[[1.0, 0.4, 0.6, 0.1, 0.9]])
    found, _ = measure(grid_of(1, 5), sweep)
    # From 0.1 < t <= 0.4 on: two hits, one false. 0.1 * 256 = 25.6, so that 26 / 256 is the first above.
    assert found["best_F1"] == 2 * 2 / (2 * 2 + 1)
    assert found["best_threshold"] == 26 / 256
    without, _ = measure(grid_of(1, 5), make_sweep(drawing("##.. "), drawing("#.#.#")))
    assert math.isnan(without["best_F1"])
    assert math.isnan(without["best_threshold"])


def test_objects_are_instances_where_numbered_and_components_elsewhere():
    gt = drawing("####..", "......", "#...#.", ".#....")
    pred = drawing("#.##..", "......", ".#....", "......")
    components, _ = measure(grid_of(4, 6), make_sweep(gt, pred))
    # Row 0 is one object, found with 3 of 4 cells; the diagonal pair is one, missed; so is the single cell.
    assert components["num_objects"] == 3
    assert components["object_recall_any"] == components["object_recall_50"] == 1 / 3
    # Two cars bumper to bumper: 7 has one of two cells, 9 both; the cells with 0 stay components.
    numbered, _ = measure(grid_of(4, 6), make_sweep(gt, pred, object_id=drawing("779900", *["000000"] * 3)))
    assert numbered["num_objects"] == 4
    assert numbered["object_recall_any"] == numbered["object_recall_50"] == 2 / 4


def test_components_do_not_reach_through_instances():
    found, _ = measure(grid_of(1, 4), make_sweep(drawing("####"), drawing("#..."), object_id=drawing("0770")))
    assert found["num_objects"] == 3
    assert found["object_recall_any"] == 1 / 3


def test_an_object_is_half_found_from_half_of_its_cells_that_count():
    gt, pred = drawing("#### ...", "###.    "), drawing("##.. ...", "#.......")
    found, _ = measure(grid_of(2, 8), make_sweep(gt, pred, object_id=drawing("11111111", "22222222")))
    assert found["object_recall_any"] == 1
    assert found["object_recall_50"] == 0.5
    ignored = gt.copy()
    ignored[1, 1:3] = IGNORE  # leaves one cell of the second object, and that one is found
    found, _ = measure(grid_of(2, 8), make_sweep(ignored, pred, object_id=drawing("11111111", "22222222")))
    assert found["object_recall_50"] == 1


def test_size_classes_and_small_objects_within_25_m():
    # Cells of 0.25 m: extents of 0.5, 1 and 2 m along x or y.
    gt = drawing("##..####..########", *["." * 18] * 7)
    gt[2:, 0] = 1
    gt[2:4, 3] = 1
    found, _ = measure(grid_of(8, 18, 0.25), make_sweep(gt, np.zeros_like(gt)))
    assert [found[f"{size}/num_objects"] for size in ("small", "medium", "large", "small_25m")] == [2, 2, 1, 2]
    assert found["small/object_recall_any"] == 0
    assert found["0-10m/num_objects"] == found["num_objects"] == 5
    # The size that the label lists counts, with the height in it; the others are measured.
    ids = np.where(gt == 1, 0, 0)
    ids[0, :2] = 4
    listed, _ = measure(grid_of(8, 18, 0.25), make_sweep(gt, gt, object_id=ids, sizes_m={4: 2.5, 8: 0.1}))
    assert [listed[f"{size}/num_objects"] for size in ("small", "medium", "large")] == [1, 2, 2]
    # The nearest cell of an object decides, and 25 m are not within 25 m: centres at 24 and 25 m.
    far = drawing("#...#")
    near, _ = measure(grid_of(1, 5, 0.25, x_min_m=23.875), make_sweep(far, far))
    assert (near["small/num_objects"], near["small_25m/num_objects"], near["20-30m/num_objects"]) == (2, 1, 2)


def test_false_objects_are_components_of_two_cells_that_touch_no_dilated_obstacle():
    gt = drawing(
        "#.......",
        "........",
        "........",
        ".... ...",
        "........",
    )
    pred = drawing(
        "........",
        ".##....#",  # touches the obstacle's corner: found late, but not made up
        "........",
        "...###..",  # the ignored cell cuts it into single cells
        "##.....#",  # two cells; a single one
    )
    # Cells that meet at their corners are one component.
    corners, _ = measure(grid_of(2, 4), make_sweep(np.zeros((2, 4)), drawing("#...", ".#..")))
    assert corners["num_false_objects"] == 1
    found, _ = measure(grid_of(5, 8), make_sweep(gt, pred))
    assert found["num_false_objects"] == 1
    # Row 4 lies at y = 2, the corridor is |y| < 1.5 m.
    assert found["num_false_objects_corridor"] == 0
    # One row further right nothing is cut: a component of three at y = 0, and the pair at y = 1.
    second = make_sweep(gt, np.roll(pred, -1, axis=0), sample_id="b")
    found, _ = measure(grid_of(5, 8), make_sweep(gt, pred), second)
    assert found["num_false_objects"] == 3 / 2
    assert found["num_false_objects_corridor"] == 2 / 2


def test_the_corridor_ends_at_its_limits():
    # Rows at y = -1.5, -0.5, 0.5, 1.5 m; column c at x = c - 29 m.
    grid = replace(grid_of(4, 70), x_min_m=-29.5)
    pred = np.zeros(grid.shape, int)
    pred[0, 40:42] = pred[3, 50:52] = 1  # 1.5 m beside is out
    pred[1, 26:28] = pred[2, 59:61] = 1  # behind, and at x = 30 and 31 m
    assert measure(grid, make_sweep(np.zeros(grid.shape), pred))[0]["num_false_objects_corridor"] == 0
    pred[1, 28] = 1  # x = -1 m
    pred[1, 29] = 1  # x = 0 m: one cell is enough
    found, _ = measure(grid, make_sweep(np.zeros(grid.shape), pred))
    assert (found["num_false_objects"], found["num_false_objects_corridor"]) == (4, 1)
    pred[2, 58] = 1  # x = 29 m
    found, _ = measure(grid, make_sweep(np.zeros(grid.shape), pred))
    assert (found["num_false_objects"], found["num_false_objects_corridor"]) == (4, 2)


def test_false_objects_lie_where_their_nearest_cell_lies():
    # Cells of 5 m ahead: centres at 2.5, 7.5, 12.5, ... 57.5 m.
    pred = drawing("##..##.##.##")
    found, _ = measure(grid_of(1, 12, 5.0), make_sweep(np.zeros((1, 12)), pred))
    by_distance = [found[f"{group}/num_false_objects"] for group in ("0-10m", "10-20m", "20-30m", "30-50m")]
    # 2.5 m; 22.5 m; 37.5 m; 52.5 m is beyond the last group, but in the whole.
    assert (by_distance, found["num_false_objects"]) == ([1, 0, 1, 1], 4)


def test_what_a_source_does_not_annotate_does_not_count():
    gt, pred = drawing("##....", "......"), drawing("#..##.", "......")
    grid = grid_of(2, 6)
    # Not every obstacle is annotated: nothing can be said.
    partly, _ = measure(grid, make_sweep(gt, pred, non_exhaustive_categories=["obstacle"]))
    assert (partly["num_labelled_cells"], partly["num_objects"]) == (0, 0)
    assert math.isnan(partly["IoU"])
    assert math.isnan(partly["num_false_objects"])
    # Free cells are not: recall can be told, false objects cannot.
    obstacles, _ = measure(grid, make_sweep(gt, pred, labelled_categories=["obstacle"]))
    assert (obstacles["recall"], obstacles["precision"], obstacles["num_labelled_cells"]) == (0.5, 1, 2)
    assert math.isnan(obstacles["num_false_objects"])
    # Such a sweep does not water down the false objects of others.
    both, _ = measure(grid, make_sweep(gt, pred), make_sweep(gt, pred, labelled_categories=["obstacle"], sample_id="b"))
    assert both["num_false_objects"] == 1


def test_every_key_is_there_without_a_labelled_sweep():
    grid = grid_of(1, 4)
    full, _ = measure(grid, make_sweep(drawing("##.."), drawing("#.#.")), baseline=True, batch=batch_of(grid, []))
    empty, _ = measure(grid, make_sweep(None, drawing("#.#.")), baseline=True)
    assert list(empty) == list(full)
    assert all(value == 0 if "num_" in name and "false" not in name else math.isnan(value) for name, value in empty.items())


def test_the_height_rule_is_measured_on_the_same_cells():
    grid = grid_of(1, 8)
    # Ground under all; something of 0.5 m in cells 1 and 6. Cell 6 is no obstacle, cell 3 is one that does not rise.
    points = [(x + 0.5, 0.0, -1.7) for x in range(8)] + [(1.5, 0.0, -1.2), (6.5, 0.0, -1.2)]
    gt, pred = drawing(".#.#... "), drawing("...#....")
    found, _ = measure(grid, make_sweep(gt, pred), baseline=True, batch=batch_of(grid, points))
    assert (found["IoU"], found["height_rule/IoU"]) == (1 / 2, 1 / 3)
    assert (found["object_recall_any"], found["height_rule/object_recall_any"]) == (0.5, 0.5)
    assert found["height_rule/0-10m/recall"] == 0.5
    assert found["height_rule/medium/num_objects"] == 2
    assert math.isnan(found["height_rule/small_25m/object_recall_any"])
    assert found["height_rule/num_false_objects"] == 0
    assert not any(name.startswith("height_rule/best") for name in found)
    without, _ = measure(grid, make_sweep(gt, pred))
    assert without == {name: pytest.approx(found[name], nan_ok=True) for name in found if "height_rule" not in name}


def test_each_sweep_of_a_batch_meets_its_own_points():
    grid = grid_of(1, 2)
    tall = [(0.5, 0.0, -1.7), (0.5, 0.0, -1.2)]
    gt = drawing("#.")
    sweeps = make_sweep(gt, gt), make_sweep(gt, gt, sample_id="b")
    found, _ = measure(grid, *sweeps, baseline=True, batch=batch_of(grid, [], tall))
    assert found["height_rule/recall"] == 0.5


def test_an_entry_is_small_whatever_the_grid():
    grid = grid_of(64, 64)
    metric = BevGridMetric("god_base", grid)
    noise = np.random.default_rng(0).random((64, 64)) < 0.3
    metric.process(batch_of(grid, []), [make_sweep(noise, noise, score=noise).to_dict()])
    assert len(pickle.dumps(metric.results)) < 8000


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ConfigError, match="two classes"):
        BevGridMetric("drivable_multi", grid_of(1, 4))
    with pytest.raises(ModelError, match="metric's grid"):
        measure(grid_of(2, 4), make_sweep(drawing("...."), drawing("....")))
    with pytest.raises(ConfigError, match="points"):
        measure(grid_of(1, 4), make_sweep(drawing("...."), drawing("....")), baseline=True)
