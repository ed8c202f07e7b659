from __future__ import annotations

import math

import numpy as np
import pytest
from evaluation_samples import mask_sample

from admlops.errors import ModelError
from admlops.evaluation import LaneMetric, SemanticMetric
from admlops.evaluation.confusion import count_pairs

TASK = {"name": "seg", "kind": "semantic", "classes": ("road", "tree", "sky")}
ROAD, TREE, SKY, IGNORE = 0, 1, 2, 255


@pytest.fixture
def seg(monkeypatch):
    """IoU metrics of a three-class task over (label, prediction, keys) triples of one row of pixels each."""
    from admlops.task_spec import TASKS, resolve_task

    monkeypatch.setitem(TASKS, "seg", resolve_task(TASK))

    def measure(*rows):
        metric = SemanticMetric(task="seg")
        samples = [
            mask_sample(f"s{i}", "seg", None if gt is None else [gt], [found], **keys)
            for i, (gt, found, keys) in enumerate(rows)
        ]
        metric.process(None, samples)
        return metric.evaluate(len(samples)), metric.details.confusion

    return measure


def test_iou_by_hand(seg):
    metrics, confusion = seg(([ROAD, ROAD, ROAD, TREE, TREE], [ROAD, ROAD, TREE, TREE, TREE], {}))
    assert metrics["seg/road/IoU"] == pytest.approx(2 / 3)
    assert metrics["seg/tree/IoU"] == pytest.approx(2 / 3)
    assert math.isnan(metrics["seg/sky/IoU"])
    assert metrics["seg/mIoU"] == pytest.approx(2 / 3)
    assert metrics["seg/accuracy"] == pytest.approx(4 / 5)
    assert confusion.tolist() == [[2, 1, 0, 0], [0, 2, 0, 0], [0, 0, 0, 0]]


def test_counts_are_summed_over_samples_before_the_ratio(seg):
    # 1 of 4 and 3 of 3: 4 of 7, where the mean of the samples' ratios would be 5/8.
    metrics, _ = seg(([ROAD] * 4, [ROAD, TREE, TREE, TREE], {}), ([ROAD] * 3, [ROAD] * 3, {}))
    assert metrics["seg/road/IoU"] == pytest.approx(4 / 7)
    assert metrics["seg/tree/IoU"] == 0.0


def test_ignored_labels_and_pixels_the_input_does_not_show_are_left_out(seg):
    metrics, confusion = seg(([ROAD, IGNORE, ROAD, TREE], [ROAD, TREE, 255, TREE], {}))
    assert confusion.sum() == 2
    assert metrics["seg/mIoU"] == 1.0


def test_prediction_of_an_unlabelled_class_misses_the_true_one_but_is_not_its_own_false_positive(seg):
    sky_unknown = {"labelled_categories": ["road", "tree"]}
    metrics, confusion = seg(([ROAD, ROAD, TREE], [ROAD, SKY, TREE], sky_unknown), ([SKY], [SKY], {}))
    assert metrics["seg/road/IoU"] == pytest.approx(1 / 2)
    assert metrics["seg/sky/IoU"] == 1.0
    assert confusion[ROAD].tolist() == [1, 0, 0, 1]


def test_non_exhaustive_class_is_left_out(seg):
    metrics, _ = seg(([ROAD, TREE, TREE], [ROAD, ROAD, TREE], {"non_exhaustive_categories": ["tree"]}))
    assert metrics["seg/road/IoU"] == 1.0
    assert math.isnan(metrics["seg/tree/IoU"])


def test_category_set_takes_its_pixels_and_its_classes_out(seg):
    # 3 = K + 0: road or tree. The first pixel is left out; a road label too; tree on sky misses sky only.
    metrics, confusion = seg(([3, ROAD, SKY, SKY], [ROAD, TREE, TREE, SKY], {"category_sets": {"ground": ["road", "tree"]}}))
    assert metrics["seg/sky/IoU"] == pytest.approx(1 / 2)
    assert math.isnan(metrics["seg/road/IoU"])
    assert confusion.sum() == 2


def test_unlabelled_samples_and_empty_sets_give_nan_under_every_key(seg):
    nothing, _ = seg()
    unlabelled, _ = seg((None, [ROAD], {}))
    assert list(nothing) == ["seg/mIoU", "seg/accuracy", "seg/road/IoU", "seg/tree/IoU", "seg/sky/IoU"]
    assert all(math.isnan(value) for value in [*nothing.values(), *unlabelled.values()])


def test_prediction_of_another_size_is_refused(seg):
    with pytest.raises(ModelError, match="not in pixels of the original image"):
        seg(([ROAD, ROAD], [ROAD], {}))


DASHED, SOLID = 1, 2


def lanes(gt, found, tolerance_px=4.0, **keys):
    metric = LaneMetric(task="seg_lane", tolerance_px=tolerance_px)
    metric.process(None, [mask_sample("a", "seg_lane", gt, found, **keys)])
    return metric.evaluate(1)


def stripe(start, value=DASHED, shape=(720, 40), width=8):
    mask = np.zeros(shape, np.uint8)
    mask[:, start : start + width] = value
    return mask


def test_lane_beside_the_truth_by_hand():
    # 8 px wide, 4 px beside: 4 columns shared of 12 -> IoU 1/3, F1 1/2; every pixel lies within 4 px of the other stripe.
    metrics = lanes(stripe(10), stripe(14))
    assert metrics["seg_lane/dashed_white/IoU"] == pytest.approx(1 / 3)
    assert metrics["seg_lane/dashed_white/F1"] == pytest.approx(1 / 2)
    assert metrics["seg_lane/dashed_white/F1_tol"] == 1.0
    assert metrics["seg_lane/any_lane/IoU"] == pytest.approx(1 / 3)
    assert metrics["seg_lane/accuracy"] == pytest.approx(32 / 40)
    # Background, found to IoU 28/36, is in no mean; the three other classes have neither label nor prediction.
    assert metrics["seg_lane/mIoU"] == pytest.approx(1 / 3)
    assert math.isnan(metrics["seg_lane/solid_white/IoU"])
    # 8 px beside: of 8 columns 4 lie within 4 px, both ways.
    assert lanes(stripe(10), stripe(18))["seg_lane/dashed_white/F1_tol"] == pytest.approx(1 / 2)


def test_tolerance_grows_with_the_image():
    tall = (1440, 60)
    assert lanes(stripe(10, shape=tall), stripe(18, shape=tall))["seg_lane/dashed_white/F1_tol"] == 1.0
    strict = lanes(stripe(10), stripe(14), tolerance_px=0)
    assert strict["seg_lane/dashed_white/F1_tol"] == strict["seg_lane/dashed_white/F1"]


def test_right_place_wrong_class_is_a_lane_but_not_of_the_class():
    metrics = lanes(stripe(10), stripe(10, SOLID))
    assert metrics["seg_lane/any_lane/IoU"] == metrics["seg_lane/any_lane/F1_tol"] == 1.0
    assert metrics["seg_lane/dashed_white/IoU"] == metrics["seg_lane/solid_white/IoU"] == 0.0
    assert metrics["seg_lane/F1_tol"] == 0.0


def test_unlabelled_lane_class_is_no_false_positive():
    dashed_only = {"labelled_categories": ["dashed_white"]}
    found = stripe(10) + stripe(24, SOLID)
    metrics = lanes(stripe(10), found, **dashed_only)
    assert metrics["seg_lane/mIoU"] == metrics["seg_lane/any_lane/IoU"] == metrics["seg_lane/any_lane/F1_tol"] == 1.0
    assert math.isnan(metrics["seg_lane/solid_white/F1_tol"])
    assert metrics["seg_lane/accuracy"] == 1.0
    assert lanes(stripe(10), found)["seg_lane/any_lane/IoU"] == pytest.approx(1 / 2)
    assert lanes(stripe(10), found)["seg_lane/accuracy"] == pytest.approx(32 / 40)


def test_lane_of_a_category_set_is_some_lane():
    # 5 = K + 0: a source that does not tell dashed from solid. Its classes are left out, "any lane" knows.
    white = {"category_sets": {"white": ["dashed_white", "solid_white"]}}
    metrics = lanes(stripe(10, 5), stripe(10), **white)
    assert metrics["seg_lane/any_lane/F1"] == 1.0
    assert math.isnan(metrics["seg_lane/mIoU"])
    assert lanes(stripe(10, 5), stripe(30), **white)["seg_lane/any_lane/F1"] == 0.0


def test_rows_that_the_input_does_not_show_are_left_out():
    found = stripe(10)
    found[:360] = 255
    metrics = lanes(stripe(10), found)
    for name in ("dashed_white", "any_lane"):
        assert [metrics[f"seg_lane/{name}/{number}"] for number in ("IoU", "F1", "F1_tol")] == [1.0, 1.0, 1.0]


def test_lane_predicted_where_nothing_is_labelled_is_left_out():
    metrics = lanes(stripe(10) + stripe(30, 255), stripe(10) + stripe(30))
    for name in ("dashed_white", "any_lane"):
        assert [metrics[f"seg_lane/{name}/{number}"] for number in ("IoU", "F1", "F1_tol")] == [1.0, 1.0, 1.0]


def test_no_lane_at_all_is_undefined_and_a_missed_one_is_zero():
    empty = np.zeros((8, 8), np.uint8)
    nothing = lanes(empty, empty)
    assert math.isnan(nothing["seg_lane/mIoU"])
    assert nothing["seg_lane/accuracy"] == 1.0
    missed = lanes(stripe(10), np.zeros((720, 40), np.uint8))
    assert missed["seg_lane/F1_tol"] == missed["seg_lane/mIoU"] == 0.0


def test_counts_stay_exact_beyond_the_integers_of_float32():
    # 2 ** 24 + 1 is the first integer that float32 lacks.
    ones = np.ones((2**12 + 1, 2**12 + 1), np.uint8)
    pairs = count_pairs(ones, ones)
    assert pairs[1, 1] == pairs.sum() == (2**12 + 1) ** 2
