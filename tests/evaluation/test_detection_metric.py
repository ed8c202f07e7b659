from __future__ import annotations

import importlib
import math

import numpy as np
import pytest
from evaluation_samples import detection_sample

from admlops.errors import ConfigError
from admlops.evaluation import DetectionMetric

A, B, C = [0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]


def measure(*samples, task="det_vehicle_sign", **kwargs):
    metric = DetectionMetric(task=task, **kwargs)
    metric.process(None, samples)
    return metric.evaluate(len(samples)), metric.details


def test_one_of_two_boxes_found_is_half_of_the_recalls():
    # Precision is 1 up to recall 0.5: the 51 of the 101 recalls 0.00 ... 0.50.
    metrics, details = measure(detection_sample("a", "det_person", [(0, A), (0, B)], [(0, A, 0.9)]), task="det_person")
    assert metrics["det_person/AP50"] == pytest.approx(51 / 101, abs=1e-12)
    assert metrics["det_person/person/AP50"] == metrics["det_person/AP50"]
    assert metrics["det_person/AP"] == pytest.approx(51 / 101, abs=1e-12)
    assert details.num_boxes.tolist() == [2]
    assert details.precision[0, [0, 50, 51]].tolist() == [1, 1, 0]


def test_false_positive_with_the_best_score_halves_precision():
    metrics, _ = measure(detection_sample(7, "det_person", [(0, A)], [(0, C, 0.9), (0, A, 0.8)]), task="det_person")
    assert metrics["det_person/AP50"] == pytest.approx(0.5, abs=1e-12)


def test_iou_of_two_thirds_counts_up_to_065():
    # 8 of 12 columns shared: IoU 2/3 passes 0.50, 0.55, 0.60, 0.65 of the ten thresholds.
    metrics, _ = measure(detection_sample("a", "det_person", [(0, A)], [(0, [2, 0, 12, 10], 0.9)]), task="det_person")
    assert metrics["det_person/AP50"] == pytest.approx(1)
    assert metrics["det_person/AP"] == pytest.approx(0.4)


def test_class_outside_the_metric_is_left_out_with_its_predictions():
    signs_only = {"labelled_categories": ["traffic_sign"]}
    metrics, details = measure(
        detection_sample("a", "det_vehicle_sign", [(0, A)], [(0, A, 0.5)]),
        # A vehicle here would be a false positive with the best score, were the class labelled.
        detection_sample("b", "det_vehicle_sign", [(1, B)], [(0, C, 0.9), (1, B, 0.9)], **signs_only),
    )
    assert metrics["det_vehicle_sign/vehicle/AP50"] == pytest.approx(1)
    assert metrics["det_vehicle_sign/traffic_sign/AP50"] == pytest.approx(1)
    assert details.num_images.tolist() == [1, 2]


@pytest.mark.parametrize(
    "keys",
    [
        {"non_exhaustive_categories": ["traffic_sign"]},
        {"category_sets": {"sign_or_so": ["traffic_sign"]}},
    ],
)
def test_non_exhaustive_class_and_category_set_are_left_out(keys):
    boxes = [(0, A), (1, B), (2, C)] if "category_sets" in keys else [(0, A), (1, B)]
    metrics, _ = measure(detection_sample("a", "det_vehicle_sign", boxes, [(0, A, 0.9), (1, C, 0.9)], **keys))
    assert metrics["det_vehicle_sign/vehicle/AP50"] == pytest.approx(1)
    assert math.isnan(metrics["det_vehicle_sign/traffic_sign/AP50"])
    assert metrics["det_vehicle_sign/AP50"] == pytest.approx(1)


def test_empty_list_is_a_true_negative_and_an_absent_task_is_unknown():
    known = detection_sample("a", "det_person", [(0, A)], [(0, A, 0.8)])
    found_nothing_there = [(0, A, 0.9)]
    negative, _ = measure(known, detection_sample("b", "det_person", [], found_nothing_there), task="det_person")
    unknown, _ = measure(known, detection_sample("b", "det_person", None, found_nothing_there), task="det_person")
    assert negative["det_person/AP50"] == pytest.approx(0.5)
    assert unknown["det_person/AP50"] == pytest.approx(1)


def test_ignored_box_is_neither_missed_nor_found():
    boxes, ignored = [(0, A), (0, [20, 0, 50, 10])], [False, True]
    # Two predictions inside the ignored region cost nothing; not finding it costs nothing.
    metrics, details = measure(
        detection_sample("a", "det_person", boxes, [(0, B, 0.9), (0, C, 0.9), (0, A, 0.8)], ignored=ignored), task="det_person"
    )
    assert metrics["det_person/AP50"] == pytest.approx(1)
    assert details.num_boxes.tolist() == [1]


def test_undefined_is_nan_and_no_prediction_is_zero():
    nothing, details = measure(task="det_person")
    assert list(nothing) == ["det_person/AP50", "det_person/AP", "det_person/person/AP50", "det_person/person/AP"]
    assert all(math.isnan(value) for value in nothing.values())
    assert np.isnan(details.precision).all()
    no_box, _ = measure(detection_sample("a", "det_person", [], [(0, A, 0.5)]), task="det_person")
    assert math.isnan(no_box["det_person/AP50"])
    no_prediction, _ = measure(detection_sample("a", "det_person", [(0, A)], []), task="det_person")
    assert no_prediction["det_person/AP50"] == 0.0


def test_a_sample_seen_twice_counts_once():
    missed = detection_sample("a", "det_person", [(0, A)], [])
    metrics, details = measure(missed, missed, detection_sample("b", "det_person", [(0, A)], [(0, A, 0.9)]), task="det_person")
    assert details.num_boxes.tolist() == [2]
    assert metrics["det_person/AP50"] == pytest.approx(51 / 101)


def test_equals_pycocotools_on_random_boxes():
    coco = importlib.import_module("pycocotools.coco")
    cocoeval = importlib.import_module("pycocotools.cocoeval")
    rng = np.random.default_rng(0)
    samples, truth, found = [], [], []
    for image in range(30):
        corner = rng.uniform(0, 100, (12, 2))
        boxes = np.hstack([corner, corner + rng.uniform(5, 60, (12, 2))]).astype(np.float32)
        labels, ignored = rng.integers(0, 2, 12), rng.random(12) < 0.2
        bboxes = (boxes + rng.normal(0, 5, boxes.shape)).astype(np.float32)
        scores = rng.random(12).round(1).astype(np.float32)  # rounded: ties must break alike
        samples.append(
            detection_sample(
                f"{image:03}",
                "det_vehicle_sign",
                list(zip(labels.tolist(), boxes.tolist(), strict=True)),
                list(zip(labels.tolist(), bboxes.tolist(), scores.tolist(), strict=True)),
                ignored=ignored.tolist(),
            )
        )
        for j in range(12):
            for target, box, extra in (
                (truth, boxes[j], {"iscrowd": int(ignored[j])}),
                (found, bboxes[j], {"score": float(scores[j])}),
            ):
                x1, y1, x2, y2 = map(float, box)
                row = {
                    "id": len(target) + 1,
                    "image_id": image,
                    "category_id": int(labels[j]),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                }
                target.append({**row, "area": (x2 - x1) * (y2 - y1), **extra})
    reference = coco.COCO()
    reference.dataset = {"images": [{"id": i} for i in range(30)], "categories": [{"id": 0}, {"id": 1}], "annotations": truth}
    reference.createIndex()
    evaluation = cocoeval.COCOeval(reference, reference.loadRes(found), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    metrics, _ = measure(*samples)
    assert metrics["det_vehicle_sign/AP"] == pytest.approx(precision.mean(), abs=1e-12)
    assert metrics["det_vehicle_sign/AP50"] == pytest.approx(precision[0].mean(), abs=1e-12)
    assert metrics["det_vehicle_sign/traffic_sign/AP50"] == pytest.approx(precision[0, :, 1].mean(), abs=1e-12)
    assert 0.1 < metrics["det_vehicle_sign/AP50"] < 0.95


def test_wrong_kind_missing_branch_and_wrong_limit_are_refused():
    with pytest.raises(ConfigError, match="cannot measure task 'seg_default'"):
        DetectionMetric(task="seg_default")
    with pytest.raises(ConfigError, match="det_persn"):
        DetectionMetric(task="det_persn")
    with pytest.raises(ConfigError, match="at least one detection"):
        DetectionMetric(task="det_person", max_dets=0)
    sample = detection_sample("a", "det_person", [(0, A)], [])
    sample["pred"] = {"det_rear": {}}
    with pytest.raises(ConfigError, match="which the network does not predict"):
        DetectionMetric(task="det_person").process(None, [sample])
