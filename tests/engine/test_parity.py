"""The table of all rungs: counts that a reader can check, the budget, missing columns, and the files."""

import csv
import dataclasses
import json
import math
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from stand_in_checkpoints import tiny_options, write_checkpoints

from admlops.deploy.parity import Comparison, ParityReport, compare
from admlops.engine import parity
from admlops.engine.config import load_config
from admlops.engine.parity import BRANCH_MEAN, Budget, Column, ParityTable, run_parity
from admlops.engine.parity_report import draw_parity, format_parity, write_parity
from admlops.engine.rungs import read_exportable
from admlops.engine.steps import build_network
from admlops.errors import ConfigError, ExportError
from admlops.quantization.network_graph import ConvNode

ROOT = Path(__file__).parents[2]
CONFIG = "configs/4pe_resize/det_rear.py"
NAMES = ["with-bn", "fusion-bn-c1", "fusion-bn-c2", "int-inference", "onnxruntime", "openvino"]


@pytest.fixture(scope="module")
def work(tiny_release, tmp_path_factory):
    return write_checkpoints(tmp_path_factory.mktemp("steps"), tiny_release, CONFIG)


def picture():
    return np.random.default_rng(3).integers(0, 256, (64, 96, 3), dtype=np.uint8)


def test_all_computations_of_the_integers_are_equal(work):
    cfg = load_config(CONFIG)
    graph = read_exportable(cfg, work / "int-inference-last.pth").graph
    simulation = build_network(cfg, work / "fusion-bn-c2-last.pth")
    report = compare(graph, [picture()], simulation=simulation)
    assert (report.reference, report.pictures, report.equal) == ("qat", 1, True)
    cells = 64 // 4 * 96 // 4
    for each in report.comparisons:
        assert each.raw == (2 + 4) * cells
        assert (each.integers > 0) == (each.name not in {"onnxruntime", "openvino"})
    assert len(report.of("onnxruntime")) == 3
    assert len(report.of("openvino")) == 2


def test_one_changed_weight_is_seen_in_every_computation(work):
    cfg = load_config(CONFIG)
    graph = read_exportable(cfg, work / "int-inference-last.pth").graph
    simulation = build_network(cfg, work / "fusion-bn-c2-last.pth")
    last = graph[graph.outputs["det_rear.heatmap"]]
    assert isinstance(last, ConvNode)
    bias = last.bias_O.clone()
    bias[1] += 1
    changed = dataclasses.replace(last, bias_O=bias)
    graph = dataclasses.replace(graph, nodes=tuple(changed if node is last else node for node in graph.nodes))
    report = compare(graph, [picture()], simulation=simulation, runtimes=["onnxruntime"])
    # One channel of the heat map, and nothing else.
    for each in report.comparisons:
        assert (each.differing_integers, each.differing_raw) == (0, 16 * 24)
        assert each.worst == {"det_rear.heatmap": 16 * 24}
    assert not report.equal


def test_nothing_to_compare_is_refused(work):
    graph = read_exportable(load_config(CONFIG), work / "fusion-bn-c2-last.pth").graph
    with pytest.raises(ExportError, match="no picture"):
        compare(graph, [], runtimes=[])
    with pytest.raises(ExportError, match="only integers"):
        compare(read_exportable(load_config(CONFIG), work / "with-bn-last.pth").graph, [picture()])


@pytest.fixture(scope="module")
def table(work, tiny_release):
    options = {**tiny_options(tiny_release), "parity.mean_drop": 100, "parity.branch_drop": 100}
    return run_parity(CONFIG, work_dir=work, limit=2, exact=1, options=options)


def test_a_table_of_all_rungs(work, table):
    assert [column.name for column in table.columns] == NAMES
    assert table.rows == ("det_rear/vehicle_rear/AP50", "det_rear/vehicle_head/AP50", "det/AP50", BRANCH_MEAN)
    assert table.faults == ()
    columns = {column.name: column.metrics for column in table.columns}
    assert columns["fusion-bn-c2"] == columns["int-inference"]
    assert table.exact.reference == "qat"
    assert table.exact.equal
    report = json.loads((work / "parity" / "openvino" / "metrics.json").read_text())["lineage"]
    assert table.columns[-1].sha256 == report["checkpoint_sha256"]
    text = format_parity(table)
    assert "differing integers" in text
    assert all(name in text for name in NAMES)


def test_what_is_missing_is_a_fault_unless_it_was_left_out(work, tiny_release, tmp_path):
    (tmp_path / "int-inference-last.pth").symlink_to(work / "int-inference-last.pth")
    options = tiny_options(tiny_release)
    table = run_parity(CONFIG, work_dir=tmp_path, columns=["fusion-bn-c2", "int-inference"], limit=1, options=options)
    assert len(table.faults) == 1
    assert table.faults[0].startswith("fusion-bn-c2: no such checkpoint")
    assert "absent" in format_parity(table)
    alone = run_parity(CONFIG, work_dir=tmp_path, columns=["int-inference"], limit=1, exact=0, options=options)
    assert (alone.faults, alone.exact) == ((), None)
    with pytest.raises(ConfigError, match="no such column"):
        run_parity(CONFIG, work_dir=tmp_path, columns=["int"], options=options)


def column(name, values, **fields):
    branches = {"det_rear/AP50": values[0], "seg_lane/mIoU": values[1]}
    metrics = {**branches, BRANCH_MEAN: sum(values) / 2}
    backend = fields.pop("backend", None)
    return Column(name, Path(f"{name}.pth"), backend, name == "with-bn", name != "with-bn", metrics, **fields)


def by_hand(integer, exact=None, **fields):
    columns = (column("with-bn", (0.5, 0.7)), column("int-inference", integer))
    return ParityTable(columns, ("det_rear/AP50", "seg_lane/mIoU", BRANCH_MEAN), exact, Budget(0.3, 1.0), **fields)


@pytest.mark.parametrize(
    ("integer", "faults"),
    [
        ((0.495, 0.702), []),  # -0.5, +0.2: mean -0.15
        ((0.489, 0.710), ["det_rear/AP50 loses 1.10 points, 1 are allowed"]),
        ((0.496, 0.696), [f"{BRANCH_MEAN} loses 0.40 points, 0.3 are allowed"]),
        ((0.9, math.nan), []),
    ],
)
def test_the_budget(integer, faults):
    assert by_hand(integer).faults == tuple(f"int-inference: {fault}" for fault in faults)


def test_one_differing_value_is_a_fault_where_scales_are_powers_of_two():
    report = ParityReport("qat", 1, (Comparison("openvino, tapped", 100, 1, 10, 0, {"node:a": 1}),))
    (fault,) = by_hand((0.5, 0.7), report).faults
    assert fault == "openvino, tapped: 1 integers and 0 raw values differ from qat, first in node:a"
    assert by_hand((0.5, 0.7), report, power_of_two=False).faults == ()


def test_marks_and_colours():
    text = format_parity(by_hand((0.489, 0.702)))
    assert "48.90 (-1.10)!" in text
    assert "70.20 (+0.20)*" in text
    assert "50.00" in text
    assert "\x1b" not in text
    assert "\x1b[1;31m48.90" in format_parity(by_hand((0.489, 0.702)), color=True)


def test_files(tmp_path):
    table = by_hand((0.489, math.nan))
    assert [file.name for file in write_parity(tmp_path / "out", table)] == ["parity.json", "parity.csv", "parity.png"]
    document = json.loads((tmp_path / "out" / "parity.json").read_text())
    assert document["columns"]["int-inference"]["metrics"]["seg_lane/mIoU"] is None
    assert document["faults"] == list(table.faults)
    rows = list(csv.DictReader((tmp_path / "out" / "parity.csv").open()))
    assert rows[1] == {
        "metric": "det_rear/AP50",
        "column": "int-inference",
        "value": "0.489",
        "points_against_float": "-1.1000",
    }
    assert draw_parity(table).startswith(b"\x89PNG")
    assert not [file for file in (tmp_path / "out").iterdir() if file.name.startswith(".")]


@pytest.mark.parametrize("integer", [(0.5, 0.7), (0.1, 0.7)])
def test_the_tool_exits_with_1_where_something_is_wrong(tmp_path, monkeypatch, capsys, integer):
    monkeypatch.setattr(parity, "run_parity", lambda *given, **named: by_hand(integer, folder=tmp_path / "parity"))
    monkeypatch.setattr(sys, "argv", ["parity.py", CONFIG, "--work-dir", str(tmp_path)])
    wrong = integer[0] < 0.5
    if wrong:
        with pytest.raises(SystemExit, match="det_rear/AP50 loses 40.00 points"):
            runpy.run_path(str(ROOT / "tools/parity.py"), run_name="__main__")
    else:
        runpy.run_path(str(ROOT / "tools/parity.py"), run_name="__main__")
    assert "int-inference" in capsys.readouterr().out
    assert (tmp_path / "parity" / "parity.json").is_file()
