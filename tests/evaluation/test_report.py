from __future__ import annotations

import csv
import json
import math

import cv2
import numpy as np
import pytest
from evaluation_samples import detection_sample, mask_sample

from admlops.evaluation import DetectionMetric, LaneMetric, SemanticMetric, summarise
from admlops.evaluation.report import format_table, write_report

A = [0, 0, 10, 10]


@pytest.fixture(scope="module")
def measured():
    metrics, details = {}, {}
    for metric, sample in (
        (DetectionMetric(task="det_rear"), detection_sample("a", "det_rear", [(0, A)], [(0, A, 0.9)])),
        (SemanticMetric(task="seg_default"), mask_sample("a", "seg_default", [[0, 0, 8, 8]], [[0, 8, 8, 8]])),
        (LaneMetric(task="seg_lane"), mask_sample("a", "seg_lane", [[0, 1]], [[0, 0]])),
    ):
        metric.process(None, [sample])
        metrics |= metric.evaluate(1)
        details[metric.task.name] = metric.details
    return metrics | summarise(metrics), details


def test_files_hold_every_number_and_null_where_undefined(measured, tmp_path):
    metrics, details = measured
    files = write_report(tmp_path / "out", metrics, details, lineage={"code": "abc"})
    assert [file.name for file in files] == [
        "metrics.json",
        "metrics.csv",
        "pr_det_rear.png",
        "confusion_seg_default.png",
        "confusion_seg_lane.png",
    ]
    # No temporary file is left.
    assert sorted((tmp_path / "out").iterdir()) == sorted(files)
    document = json.loads(files[0].read_text())
    assert document["lineage"] == {"code": "abc"}
    assert document["metrics"]["det_rear/vehicle_head/AP50"] is None
    assert document["metrics"]["det/AP50"] == 1.0
    assert document["metrics"].keys() == metrics.keys()
    rows = list(csv.DictReader(files[1].open()))
    assert rows[0] == {"task": "det_rear", "class": "", "metric": "AP50", "value": "1.0"}
    assert {"task": "det_rear", "class": "vehicle_head", "metric": "AP50", "value": ""} in rows
    assert {"task": "seg_default", "class": "sky", "metric": "IoU", "value": str(2 / 3)} in rows
    assert len(rows) == len(metrics)
    for picture in files[2:]:
        image = cv2.imread(str(picture))
        assert min(image.shape[:2]) > 300
        assert len(np.unique(image)) > 20


def test_failed_write_leaves_the_old_file(measured, tmp_path):
    metrics, _ = measured
    write_report(tmp_path, metrics, {})
    before = (tmp_path / "metrics.json").read_bytes()
    with pytest.raises(TypeError):
        write_report(tmp_path, metrics, {}, lineage={"not json": object()})
    assert (tmp_path / "metrics.json").read_bytes() == before


def test_undefined_curves_can_be_drawn(tmp_path):
    metric = DetectionMetric(task="det_person")
    semantic = SemanticMetric(task="seg_default")
    metrics = metric.evaluate(0) | semantic.evaluate(0)
    assert all(math.isnan(value) for value in metrics.values())
    assert len(write_report(tmp_path, metrics, {"det_person": metric.details, "seg_default": semantic.details})) == 4


def test_table_has_a_row_a_class_and_a_dash_where_undefined(measured):
    lines = format_table(measured[0]).splitlines()
    row = {tuple(cell.strip() for cell in line.split("│")[1:-1]) for line in lines if line.startswith("│")}
    assert ("det_rear", "all", "100.0", "100.0") in row
    assert ("", "vehicle_head", "-", "-") in row
    assert ("seg_default", "all", "58.3", "75.0") in row
    assert ("", "sky", "66.7", "") in row
    assert ("", "dashed_white", "0.0", "0.0", "0.0", "") in row


def cells_of(table):
    return {tuple(cell.strip() for cell in line.split("│")[1:-1]) for line in table.splitlines() if line.startswith("│")}


def test_counts_are_no_percentages():
    table = format_table({"god/IoU": 0.5, "god/num_objects": 1234.0, "god/num_false_objects": 2.345, "god/num_lost": math.nan})
    assert ("god", "all", "50.0", "1234", "2.35", "-") in cells_of(table)
    assert "num" in table.split("objects")[0]
    assert table.count("%") == 1


def test_columns_that_do_not_fit_go_into_a_table_of_their_own_with_the_rows_that_have_them():
    wide = {f"god/{name * 28}": 0.25 for name in "abcd"}
    table = format_table(wide | {"god/near/" + "a" * 28: 0.5, "god/far/" + "d" * 28: 0.75, "other/IoU": 1.0})
    assert max(len(line) for line in table.splitlines()) <= 120
    assert "…" not in table
    above, below, apart = table.split("└")[:3]
    assert cells_of(above) == {("god", "all", "25.0", "25.0", "25.0"), ("", "near", "50.0", "", "")}
    assert cells_of(below) == {("god", "all", "25.0"), ("", "far", "75.0")}
    assert cells_of(apart) == {("other", "all", "100.0")}
