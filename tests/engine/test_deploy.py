"""Export and measure checkpoints of all steps; every wrong combination is named, and nothing is left behind."""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from stand_in_checkpoints import STEPS, build_float_network, tiny_options, write_checkpoints

from admlops.data_release.lineage import lineage_path
from admlops.deploy.backends import open_backend
from admlops.deploy.onnx_file import read_model
from admlops.engine.config import load_config
from admlops.engine.deploy import default_path, deploy, summarise
from admlops.engine.export_geometry import export_geometry, parse_hw
from admlops.engine.rungs import choose_backend
from admlops.engine.test import run_test
from admlops.errors import CheckpointError, ConfigError, ExportError, MachineError, QuantizationError
from admlops.quantization import IntegerNetwork

CONFIG = "configs/4pe_resize/det_rear.py"
CAMERA = (72, 128)


@pytest.fixture(scope="module")
def options(tiny_release):
    return {**tiny_options(tiny_release), "export.pyramid_step": 0, "export.input_hw": (64, 128), "log_level": "WARNING"}


@pytest.fixture(scope="module")
def work(tiny_release, tmp_path_factory):
    return write_checkpoints(tmp_path_factory.mktemp("steps"), tiny_release, CONFIG)


@pytest.fixture(scope="module")
def exported(work, options, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    checkpoint = work / "int-inference-last.pth"
    return {
        name: deploy(CONFIG, checkpoint, name, CAMERA, out=folder / f"{name}.onnx", options=options)
        for name in ("onnxruntime", "openvino")
    }


@pytest.fixture(scope="module")
def measured(work, options, exported, tmp_path_factory):
    """Metrics by rung, in the geometry of the export."""
    folder = tmp_path_factory.mktemp("measured")

    def measure(name, model, backend=None, input_hw=None):
        return run_test(CONFIG, model, backend=backend, input_hw=input_hw, work_dir=folder / name, options=options)

    found = {step: measure(step, work / f"{step}-last.pth", None, CAMERA) for step in STEPS}
    found["converted"] = measure("converted", work / "fusion-bn-c2-last.pth", "integer", CAMERA)
    found["onnx file"] = measure("file", exported["onnxruntime"].path)
    found["openvino"] = measure("openvino", work / "int-inference-last.pth", "openvino", CAMERA)
    return folder, found


def test_integers_measure_what_the_simulation_measures(measured):
    folder, found = measured
    assert found["fusion-bn-c2"] == found["int-inference"] == found["converted"]
    assert found["fusion-bn-c1"] == found["fusion-bn-c2"]  # absorbing changes nothing
    assert found["with-bn"].keys() == found["onnx file"].keys() == found["openvino"].keys()
    report = json.loads((folder / "file" / "metrics.json").read_text())["lineage"]
    assert report["checkpoint"].endswith("onnxruntime.onnx")
    assert report["model"]["parents"][0]["file"].endswith("int-inference-last.pth")
    assert json.loads((folder / "openvino" / "metrics.json").read_text())["lineage"]["backend"] == "openvino"


def test_an_export_computes_the_integers_and_says_what_it_is(work, exported, options):
    image = np.random.default_rng(1).integers(0, 256, (64, 128, 3), dtype=np.uint8)
    checkpoint = torch.load(work / "int-inference-last.pth", weights_only=True)
    reference = IntegerNetwork.from_state(checkpoint["meta"]["structure"], checkpoint["state_dict"])
    expected = reference(torch.from_numpy(image).permute(2, 0, 1)[None])
    for name, done in exported.items():
        assert done.checked.startswith("2 raw outputs are equal to the integer reference")
        contract = read_model(done.path).contract
        assert (contract.geometry.original_hw, contract.geometry.input_hw) == (CAMERA, (64, 128))
        assert contract.lineage["parents"][0]["file"].endswith("int-inference-last.pth")
        assert json.loads(lineage_path(done.path).read_text())["checkpoint"]["file"] == f"{name}.onnx"
        text = summarise(done)
        assert "det_rear.boxes" in text
        assert "int8 (8 bits)" in text
        raw = deploy(
            CONFIG,
            work / "fusion-bn-c2-last.pth",
            name,
            CAMERA,
            raw_outputs=True,
            out=done.path.with_name("raw.onnx"),
            options=options,
        )
        found = open_backend(raw.path)(image)
        assert all(np.array_equal(found[key], expected[key].numpy()) for key in expected)


def test_floats_are_exported_when_they_are_asked_for(work, options, tmp_path):
    done = deploy(
        CONFIG, work / "with-bn-last.pth", "onnxruntime", CAMERA, as_float=True, out=tmp_path / "f.onnx", options=options
    )
    assert "equal to PyTorch" in done.checked
    assert done.contract.quantization is None


def test_default_names():
    path = default_path("w/int-inference-last.pth", "openvino", (1080, 1920))
    assert path == Path("w/int-inference-export-last-openvino-1080x1920.onnx")
    assert default_path("net.pth", "openvino", (2, 3)).name == "net-export-openvino-2x3.onnx"


@pytest.mark.parametrize(
    ("config", "camera", "input_hw"),
    [
        ("4pe_resize/multitask", (940, 1824), (448, 960)),
        ("4pe_resize/multitask", (1080, 1920), (512, 960)),
        ("4pe_resize/multitask", (1080, 2280), (512, 1140)),
        ("4pe_resize/multitask_demo", (1080, 1920), (256, 480)),
        ("4pe_crop/multitask", (720, 1280), (448, 1216)),
    ],
)
def test_configs_know_the_input_of_their_cameras(config, camera, input_hw):
    assert export_geometry(load_config(f"configs/{config}.py"), camera).input_hw == input_hw


def refuse(kind, match, call, folder):
    before = sorted(folder.iterdir())
    with pytest.raises(kind, match=match) as caught:
        call()
    assert sorted(folder.iterdir()) == before
    return str(caught.value)


@pytest.mark.parametrize(
    ("step", "given", "kind", "match"),
    [
        ("with-bn", {}, CheckpointError, "holds floats"),
        ("int-inference", {"as_float": True}, CheckpointError, "holds integers"),
        ("fusion-bn-c1", {}, CheckpointError, "step fusion-bn-c1 still has BN layers"),
        ("missing", {}, CheckpointError, "no such checkpoint"),
        ("int-inference", {"backend": "tensorrt"}, ExportError, "signed integers only"),
        ("int-inference", {"camera": (50, 128)}, ConfigError, "does not fit"),
        ("int-inference", {"config": "configs/4pe_resize/det_person.py"}, CheckpointError, "does not fit"),
        ("int-inference", {"config": "configs/4pe_crop/det_rear.py"}, CheckpointError, "does not fit"),
        ("fusion-bn-c2", {"config": "configs/4pe_resize/det_person.py"}, CheckpointError, "does not fit"),
    ],
)
def test_what_cannot_be_exported_is_named_and_leaves_nothing(work, options, tmp_path, step, given, kind, match):
    backend, camera, config = (given.pop(key, default) for key, default in DEFAULTS.items())

    # The crop network resizes nothing in its tests.
    options = {key: value for key, value in options.items() if not (key.endswith("resize_hw") and "4pe_crop" in config)}

    def call():
        deploy(config, work / f"{step}-last.pth", backend, camera, out=tmp_path / "a.onnx", options=options, **given)

    refuse(kind, match, call, tmp_path)


DEFAULTS = {"backend": "onnxruntime", "camera": CAMERA, "config": CONFIG}


def test_a_stock_head_has_nothing_to_export(tmp_path):
    config = "configs/4pe_resize/multitask_stock_heads.py"
    network = build_float_network(config)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "with-bn-last.pth")
    said = refuse(
        QuantizationError,
        "more than its layers",
        lambda: deploy(config, tmp_path / "with-bn-last.pth", "openvino", (1080, 1920), as_float=True),
        tmp_path,
    )
    assert "branches.det_vehicle_sign.head.stock: torch.Tensor.sigmoid" in said


def test_a_missing_runtime_is_named(work, options, exported, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "onnxruntime"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Blocker("onnxruntime"), *sys.meta_path])
    with pytest.raises(MachineError, match="onnxruntime"):
        run_test(CONFIG, exported["onnxruntime"].path, work_dir=tmp_path / "t", options=options)
    with pytest.raises(MachineError, match="onnxruntime"):
        run_test(CONFIG, work / "int-inference-last.pth", backend="onnxruntime", work_dir=tmp_path / "t", options=options)
    assert not (tmp_path / "t" / "metrics.json").exists()
    # The file can be written all the same; what was not done is said.
    done = deploy(CONFIG, work / "int-inference-last.pth", "onnxruntime", CAMERA, out=tmp_path / "a.onnx", options=options)
    assert done.checked.startswith("not run here: the package onnxruntime")
    assert done.path.is_file()


class Blocker:
    """Makes a package impossible to import."""

    def __init__(self, package):
        self.package = package

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.parametrize("backend", ["qat", "integer"])
def test_floats_are_no_integers(work, options, tmp_path, backend):
    def call():
        run_test(CONFIG, work / "with-bn-last.pth", backend=backend, work_dir=tmp_path / "t", options=options)

    said = refuse(CheckpointError, f"{backend} cannot compute a checkpoint of step with-bn", call, tmp_path)
    assert "torch or onnxruntime" in said


@pytest.mark.parametrize(
    ("step", "backend", "kind", "match"),
    [
        ("fusion-bn-c1", "integer", CheckpointError, "fusion-bn-c1 still has BN layers"),
        ("fusion-bn-c1", "openvino", CheckpointError, "fusion-bn-c1 still has BN layers"),
        ("fusion-bn-c1", "torch", CheckpointError, "torch cannot compute a checkpoint of step fusion-bn-c1"),
        ("int-inference", "qat", CheckpointError, "qat cannot compute a checkpoint of step int-inference"),
        ("int-inference", "opnvino", ConfigError, "no such backend"),
    ],
)
def test_wrong_rungs_are_named(work, options, tmp_path, step, backend, kind, match):
    def call():
        run_test(CONFIG, work / f"{step}-last.pth", backend=backend, work_dir=tmp_path / "t", options=options)

    refuse(kind, match, call, tmp_path)


def test_files_that_cannot_be_measured_are_named(exported, work, options, tmp_path):
    path = exported["onnxruntime"].path
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(path.read_bytes()[:-1000])
    bare = tmp_path / "bare.onnx"
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.save(model, bare)
    person = "configs/4pe_resize/det_person.py"
    for given, kind, match in (
        ((CONFIG, cut), ExportError, "truncated"),
        ((CONFIG, bare), ExportError, "does not say what it predicts"),
        ((CONFIG, tmp_path / "no.onnx"), ExportError, "no such file"),
        ((person, path), ConfigError, "measures 'det_person'"),
    ):
        with pytest.raises(kind, match=match):
            run_test(*given, work_dir=tmp_path / "t", options=options)
    with pytest.raises(ExportError, match="cannot compute an exported file"):
        run_test(CONFIG, path, backend="integer", work_dir=tmp_path / "t", options=options)
    with pytest.raises(ExportError, match="written for another runtime"):
        run_test(CONFIG, path, backend="openvino", work_dir=tmp_path / "t", options=options)
    with pytest.raises(ExportError, match="another camera"):
        run_test(CONFIG, path, input_hw=(1080, 1920), work_dir=tmp_path / "t", options=options)
    assert not (tmp_path / "t").exists()


def test_sizes_on_the_command_line():
    assert parse_hw("1080x1920") == (1080, 1920)
    for text in ("1080", "0x3", "1080x1920x3", "axb"):
        with pytest.raises(ConfigError, match="no size"):
            parse_hw(text)


def test_a_checkpoint_names_its_backend():
    quantized = {"meta": {"step": {"step": "fusion-bn-c1", "quantization": {"weight_bits": 7}}}}
    assert choose_backend({}, "a.pth") == "torch"
    assert choose_backend(quantized, "a.pth") == "qat"
    assert choose_backend({"meta": {"structure": {}}}, "a.pth") == "integer"
    assert choose_backend({}, "a.pth", "openvino") == "openvino"
