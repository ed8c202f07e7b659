from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from evaluation_samples import detection_sample, mask_sample
from torch import multiprocessing

from admlops.evaluation import DetectionMetric, LaneMetric, MultiTaskEvaluator, SemanticMetric, summarise
from admlops.registry import EVALUATOR, METRICS

A, B = [0, 0, 10, 10], [20, 0, 30, 10]


def test_registered_under_their_names():
    for metric in (DetectionMetric, SemanticMetric, LaneMetric):
        assert METRICS.get(metric.__name__) is metric
    assert EVALUATOR.get("MultiTaskEvaluator") is MultiTaskEvaluator


def test_summary_is_the_mean_over_defined_classes_not_over_tasks():
    metrics = {"p/AP50": 1.0, "p/person/AP50": 1.0, "v/AP50": 0.25, "v/a/AP50": 0.5, "v/b/AP50": 0.0, "v/c/AP50": math.nan}
    assert summarise({**metrics, "seg/mIoU": 0.3, "seg/road/IoU": 0.3}) == {"det/AP50": 0.5}
    assert summarise({"seg/mIoU": 0.3}) == {}


def test_data_elements_of_several_tasks_through_the_evaluator():
    evaluator = EVALUATOR.build(
        {
            "type": "MultiTaskEvaluator",
            "metrics": [
                {"type": DetectionMetric, "task": "det_person"},
                {"type": SemanticMetric, "task": "seg_default"},
            ],
        }
    )
    evaluator.dataset_meta = {"classes": ("something", "else")}
    detection = detection_sample("a", "det_person", [(0, A)], [(0, A, 0.5)])
    mask = mask_sample("a", "seg_default", [[0, 8]], [[0, 8]])
    both = {**detection, **{key: {**detection[key], **mask[key]} for key in ("gt_original", "pred")}}
    only_person = detection_sample("b", "det_person", [(0, A)], [(0, A, 0.5)])
    only_person["pred"]["seg_default"] = mask["pred"]["seg_default"]
    evaluator.process([both, only_person])
    metrics = evaluator.evaluate(2)
    assert metrics["det/AP50"] == metrics["det_person/AP50"] == metrics["seg_default/mIoU"] == 1.0
    assert set(evaluator.details) == {"det_person", "seg_default"}
    assert evaluator.details["seg_default"].confusion.sum() == 2
    # A second evaluation starts from nothing.
    assert math.isnan(evaluator.evaluate(0)["det_person/AP50"])


def _samples():
    # Found, unlabelled, missed, unlabelled, found: 2 of 3 boxes.
    boxes = {0: [(0, A, 0.9)], 2: [], 4: [(0, B, 0.7)]}
    return [
        detection_sample(i, "det_person", [(0, B if i == 4 else A)] if i in boxes else None, boxes.get(i, [(0, A, 0.99)]))
        for i in range(5)
    ]


def _masks():
    return [mask_sample(i, "seg_default", [[0, 8]] if i % 2 == 0 else None, [[0, 8 if i else 0]]) for i in range(5)]


def _evaluate(indices):
    evaluator = MultiTaskEvaluator([DetectionMetric(task="det_person"), SemanticMetric(task="seg_default")])
    for i in indices:
        detection, mask = _samples()[i], _masks()[i]
        evaluator.process([{**detection, **{key: {**detection[key], **mask[key]} for key in ("gt_original", "pred")}}])
    return evaluator.evaluate(5)


def _rank(rank, shares, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=len(shares))
    torch.save(_evaluate(shares[rank]), f"{folder}/{rank}.pth")
    dist.destroy_process_group()


@pytest.mark.parametrize(
    "shares",
    [
        # DefaultSampler's padding: sample 0 twice; mmengine's collection would keep both and drop sample 4.
        ([0, 2, 4], [1, 3, 0]),
        # Nothing at all on one rank.
        ([0, 1, 2, 3, 4], []),
    ],
)
def test_two_processes_agree_with_one(tmp_path: Path, monkeypatch, shares):
    monkeypatch.chdir(tmp_path)
    alone = _evaluate(range(5))
    assert alone["det_person/AP50"] == pytest.approx(67 / 101)
    assert alone["seg_default/accuracy"] == pytest.approx(5 / 6)
    multiprocessing.spawn(_rank, (shares, str(tmp_path)), nprocs=2)
    for rank in range(2):
        together = torch.load(tmp_path / f"{rank}.pth")
        assert together.keys() == alone.keys()
        for key, value in together.items():
            assert value == alone[key] or (math.isnan(value) and math.isnan(alone[key])), key
    assert not (tmp_path / ".dist_test").exists()


def test_sample_ids_of_two_sources_are_two_samples():
    metric = DetectionMetric(task="det_person")
    here, there = (detection_sample("0001", "det_person", [(0, A)], found) for found in ([(0, A, 0.9)], []))
    there["source"] = "another"
    metric.process(None, [here, there])
    assert metric.evaluate(2)["det_person/AP50"] == pytest.approx(51 / 101)
