"""All steps of a lidar training: from sweeps to integers, and to files that predict from points on."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from tiny_god_training import GRID, TASKS, write_config, write_release

from admlops.data_release.lineage import lineage_path
from admlops.engine.checkpoint import read_checkpoint, save_checkpoint
from admlops.engine.config import load_config
from admlops.engine.deploy import deploy
from admlops.engine.parity import run_parity
from admlops.engine.rungs import read_exportable
from admlops.engine.test import run_test
from admlops.engine.train import train
from admlops.errors import CheckpointError, ExportError
from admlops.quantization import IntegerNetwork
from admlops.registry import MODELS
from god.export import export_god
from god.geometry import BevGrid
from god.predictor import BevPredictor
from god.thresholds import measure_thresholds
from god.trained_cells import TrainedCellsHook, trained_grid

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("god")
    return write_config(folder / "tiny.py", write_release(folder))


@pytest.fixture(scope="module")
def done(config, tmp_path_factory):
    """A work dir in which all four steps were run."""
    folder = tmp_path_factory.mktemp("done")
    for step in range(4):
        train(config, step=step, work_dir=folder)
    return folder


@torch.no_grad()
def test_points_become_integers_from_the_last_checkpoint_alone(config, done):
    trained, integers = (
        read_exportable(load_config(config), done / f"{name}-last.pth") for name in ("fusion-bn-c2", "int-inference")
    )
    rng = np.random.default_rng(0)
    points = torch.from_numpy(rng.uniform([-3, -3, -2, 0], [3, 3, 0, 1], (2000, 4)).astype(np.float32))
    cell = torch.from_numpy(trained.detector.encoder.grid.cell_of(points.numpy()))
    canvas = integers.read({"points": points, "cell": cell})
    assert float(canvas.max()) > 0
    assert torch.equal(canvas, trained.read({"points": points, "cell": cell}))
    simulated = trained.detector(canvas, mode="tensor")
    computed = IntegerNetwork(integers.graph)(canvas)
    assert set(computed) == {f"{task}.logits" for task in TASKS}
    assert all(torch.equal(computed[name], value) for name, value in simulated.items())
    for name, branch in trained.detector.branches.items():
        assert torch.equal(branch.allowed_classes, integers.detector.branches[name].allowed_classes)


def test_the_encoder_travels_beside_the_integers(done):
    trained, integers = (read_checkpoint(done / f"{name}-last.pth") for name in ("fusion-bn-c2", "int-inference"))
    floats = integers["float_state_dict"]
    assert set(floats) == {"encoder.linear.weight", "encoder.linear.bias", "encoder.scales_F"}
    assert all(torch.equal(value, trained["state_dict"][name]) for name, value in floats.items())
    assert not any(value.is_floating_point() for value in integers["state_dict"].values())
    assert lineage_path(done / "int-inference-last.pth").is_file()


@pytest.mark.parametrize(
    "change",
    [
        lambda floats: floats.pop("encoder.linear.bias"),
        lambda floats: floats.pop("encoder.scales_F"),
        lambda floats: floats.update({"encoder.linear.bias": torch.zeros(7)}),
        lambda floats: floats.update({"encoder.second.bias": torch.zeros(4)}),
    ],
)
def test_another_encoder_is_refused(config, done, tmp_path, change):
    checkpoint = dict(read_checkpoint(done / "int-inference-last.pth"))
    checkpoint["float_state_dict"] = dict(checkpoint["float_state_dict"])
    change(checkpoint["float_state_dict"])
    save_checkpoint(checkpoint, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="does not fit") as caught:
        read_exportable(load_config(config), tmp_path / "other.pth")
    assert "encoder." in str(caught.value)


def test_every_rung_measures_the_same(config, done, tmp_path):
    def measure(model, backend=None, input_hw=None):
        options = {"log_level": "ERROR"}
        return run_test(config, done / model, backend=backend, input_hw=input_hw, work_dir=tmp_path, options=options)

    expected = measure("fusion-bn-c2-last.pth")
    assert expected["god_base/IoU"] > 0
    for backend in ("integer", "onnxruntime", "openvino"):
        found = measure("int-inference-last.pth", backend)
        np.testing.assert_equal(found, expected)
    (file,) = export_god(config, done / "int-inference-last.pth", "onnxruntime", out=tmp_path / "points.onnx")
    np.testing.assert_equal(measure(file.path), expected)
    with pytest.raises(ExportError, match="(?s)reads no pictures.*--input-shape 720x1280"):
        measure(file.path, input_hw=(720, 1280))
    canvas, _ = export_god(config, done / "int-inference-last.pth", "onnxruntime", canvas=True, out=tmp_path / "canvas.onnx")
    with pytest.raises(ExportError, match="begins behind the encoder"):
        measure(canvas.path)


def test_a_threshold_of_a_head_holds_in_every_rung_and_stays_in_the_file(config, done, tmp_path):
    def measure(model, backend=None, options=()):
        return run_test(
            config, done / model, backend=backend, work_dir=tmp_path, options={"log_level": "ERROR", **dict(options)}
        )

    # Two iterations teach no score that low: every cell becomes an obstacle.
    lower = {"model.branches.god.head.threshold": 1e-4}
    at_half, expected = (measure("fusion-bn-c2-last.pth", options=options) for options in ((), lower))
    assert at_half["god_base/recall"] < expected["god_base/recall"] == 1
    assert at_half["god_base/best_F1"] == expected["god_base/best_F1"]
    assert at_half["drivable_2cls/mIoU"] == expected["drivable_2cls/mIoU"]
    for backend in ("integer", "onnxruntime", "openvino"):
        np.testing.assert_equal(measure("int-inference-last.pth", backend, lower), expected)
        if backend != "integer":
            out = tmp_path / f"{backend}.onnx"
            (file,) = export_god(config, done / "int-inference-last.pth", backend, out=out, options=lower)
            # The config that it is measured with names no threshold.
            np.testing.assert_equal(measure(file.path), expected)


def test_thresholds_are_chosen_before_integers(config, done):
    with pytest.raises(CheckpointError, match=r"(?s)holds integers.*int-inference-last\.pth.*a step that trains"):
        measure_thresholds(config, done / "int-inference-last.pth", [0.5])


def on_grid(**changed):
    """Options that give a config another grid everywhere."""
    parts = ("model.encoder.grid", "model.data_preprocessor.grid", "test_evaluator.metrics.0.grid")
    return {part: {**GRID, **changed} for part in parts}


@pytest.mark.parametrize("step", ["with-bn", "int-inference"])
@pytest.mark.parametrize(
    ("changed", "got"),
    [({"cell_m": 0.4}, "cells of 0.4 m, heights from -4 to 3 m"), ({"z_max_m": 2.0}, "cells of 0.2 m, heights from -4 to 2 m")],
)
def test_a_network_is_not_exported_for_other_cells(config, done, tmp_path, step, changed, got):
    with pytest.raises(CheckpointError) as caught:
        export_god(config, done / f"{step}-last.pth", "onnxruntime", out=tmp_path / "god.onnx", options=on_grid(**changed))
    error = caught.value
    assert "other cells" in error.what
    assert f"{step}-last.pth: model.encoder.grid" in error.where
    assert error.expected == "cells of 0.2 m, heights from -4 to 3 m"
    assert error.got.startswith(got)
    assert "--load-from" in error.remedy
    assert list(tmp_path.iterdir()) == []


def test_a_network_is_exported_for_other_bounds_of_the_same_cells(config, done, tmp_path):
    wider = on_grid(x_min_m=-1.6, rows=48)
    (file,) = export_god(config, done / "with-bn-last.pth", "onnxruntime", out=tmp_path / "god.onnx", options=wider)
    found = BevPredictor(file.path)(np.random.default_rng(0).uniform(-3, 1, (100, 4)))
    assert found.masks["god_base"].mask.shape == (48, 32)


@pytest.mark.parametrize("step", ["with-bn", "int-inference"])
def test_a_network_is_not_tested_on_other_cells(config, done, tmp_path, step):
    options = {**on_grid(cell_m=0.4), "log_level": "ERROR"}
    with pytest.raises(CheckpointError, match=rf"(?s)other cells.*{step}-last\.pth.*0\.2 m.*0\.4 m"):
        run_test(config, done / f"{step}-last.pth", work_dir=tmp_path, options=options)


def test_a_training_may_begin_from_other_cells_and_be_tested(config, done):
    """As ``--pipeline-test`` does: the network is no longer that of the file."""
    runner = SimpleNamespace(cfg=load_config(config, on_grid(cell_m=0.4)), loaded_from=str(done / "with-bn-last.pth"))
    TrainedCellsHook().before_test(runner)
    runner.cfg.train_cfg = None
    with pytest.raises(CheckpointError, match="other cells"):
        TrainedCellsHook().before_test(runner)


def test_thresholds_are_not_measured_on_other_cells(config, done):
    with pytest.raises(CheckpointError, match=r"(?s)other cells.*with-bn-last\.pth.*0\.2 m.*0\.4 m"):
        measure_thresholds(config, done / "with-bn-last.pth", [0.5], on_grid(cell_m=0.4))


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "import os",
        "model = dict(",
        "model = dict(type='FCN', backbone=dict(depth=18))",
        "model = dict(encoder=dict(grid=dict(cell_m=open('/etc/passwd').read())))",
        "model = dict(encoder=dict(grid=dict(side=3)))",
    ],
)
def test_a_text_that_tells_of_no_grid_is_parsed_and_never_run(text):
    assert trained_grid({"meta": {"cfg": text}}) is None


@pytest.mark.parametrize("form", ["dict(cell_m=0.4, x_min_m=-6.4)", "{'cell_m': 0.4, 'x_min_m': -6.4}"])
def test_what_a_grid_leaves_out_is_what_it_is_by_default(form):
    meta = {"cfg": f"step = 0\nmodel = dict(encoder=dict(fold=2, grid={form}))"}
    assert trained_grid({"meta": meta}) == BevGrid(x_min_m=-6.4, cell_m=0.4)


def test_the_tool_exports_and_the_file_predicts(config, done, tmp_path):
    out = tmp_path / "god.onnx"
    command = [sys.executable, "projects/god/tools/export.py", str(config), str(done / "with-bn-last.pth")]
    ran = subprocess.run(
        [*command, "--backend", "onnxruntime", "--out", out], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert "points float32 (N, 4), cell int64 (N)" in ran.stdout
    assert "equal to PyTorch" in ran.stdout
    assert lineage_path(out).is_file()
    assert sorted(each.name for each in tmp_path.iterdir()) == [out.name, lineage_path(out).name]
    found = BevPredictor(out)(np.random.default_rng(0).uniform(-3, 1, (100, 4)))
    assert set(found.masks) == set(TASKS)
    assert found.masks["god_base"].mask.shape == (GRID["rows"], GRID["cols"])


def test_behind_the_canvas_an_encoder_lies_beside(config, done, tmp_path):
    integers = done / "int-inference-last.pth"
    (whole,) = export_god(config, integers, "openvino", out=tmp_path / "whole.onnx")
    network, encoder = export_god(config, integers, "openvino", canvas=True, out=tmp_path / "god.onnx")
    files = [encoder.path, network.path, whole.path]
    assert [each.name for each in files] == ["god-encoder.onnx", "god.onnx", "whole.onnx"]
    assert sorted(tmp_path.iterdir()) == sorted([*files, *map(lineage_path, files)])
    assert [parent["file"] for parent in encoder.contract.lineage["parents"]] == [os.path.relpath(integers, tmp_path)]
    sweep = np.random.default_rng(0).uniform([-3, -3, -2, 0], [3, 3, 1, 1], (3000, 4))
    expected, found = BevPredictor(whole.path)(sweep), BevPredictor(network.path, encoder=encoder.path)(sweep)
    assert found.point_counts == expected.point_counts
    for name, segmented in expected.masks.items():
        assert np.array_equal(found.masks[name].mask, segmented.mask)
        assert np.array_equal(found.masks[name].score, segmented.score)


def test_where_the_network_cannot_be_written_no_encoder_is(config, done, tmp_path):
    with pytest.raises(ExportError, match="signed integers only"):
        export_god(config, done / "int-inference-last.pth", "tensorrt", canvas=True, out=tmp_path / "god.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_camera_network_is_refused(tmp_path):
    config = ROOT / "configs/4pe_resize/multitask_demo.py"
    with DefaultScope.overwrite_default_scope("admlops"):
        network = MODELS.build(load_config(config).model)
    torch.save({"state_dict": network.state_dict(), "meta": {}}, tmp_path / "camera.pth")
    with pytest.raises(ExportError, match="reads no points"):
        export_god(config, tmp_path / "camera.pth", "onnxruntime")


def test_the_tool_for_cameras_refuses_it(config, done):
    with pytest.raises(ExportError, match="reads no pictures"):
        deploy(config, done / "with-bn-last.pth", "onnxruntime", (1080, 1920), as_float=True)


def test_the_table_of_all_rungs_finds_no_difference(config, done):
    options = {"parity.mean_drop": 100, "parity.branch_drop": 100}
    table = run_parity(
        config,
        work_dir=done,
        columns=["fusion-bn-c2", "int-inference", "onnxruntime", "openvino"],
        limit=1,
        exact=2,
        options=options,
    )
    assert table.exact.pictures == 2
    assert table.exact.reference == "qat"
    assert len(table.exact.comparisons) == 6
    assert all(each.equal for each in table.exact.comparisons)
    assert {"god_base/IoU", "drivable_2cls/mIoU", "branches/mean"} == set(table.rows)
    assert table.faults == ()
