"""Backends run what was exported, equal to the integer reference, from any thread; and say what they cannot run."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from exports import HEIGHT, WIDTH, contract_of, small_network
from random_networks import random_pixels, to_planes

from admlops.deploy import processor
from admlops.deploy.backends import open_backend
from admlops.deploy.backends.backend import import_runtime
from admlops.deploy.backends.tensorrt_backend import check_tensorrt_rules
from admlops.deploy.export import export
from admlops.deploy.onnx_writer import to_onnx
from admlops.errors import ConfigError, ExportError, MachineError
from admlops.quantization.integer_network import IntegerNetwork

RUNTIMES = ("onnxruntime", "openvino")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A network with 7-bit weights, and its file by runtime."""
    graph = small_network(weight_bits=7)
    folder = tmp_path_factory.mktemp("files")
    return graph, {name: export(graph, contract_of(graph), folder / f"{name}.onnx", name) for name in RUNTIMES}


def expected(graph, pixels):
    return {name: value.numpy() for name, value in IntegerNetwork(graph)(to_planes(pixels)).items()}


def assert_equal(results, values):
    assert list(results) == list(values)
    assert all(np.array_equal(results[name], values[name]) for name in values)


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_file_opens_with_the_runtime_that_it_was_written_for(files, name):
    graph, paths = files
    backend = open_backend(paths[name], threads=1)
    assert type(backend).__name__.lower() == f"{name}backend"
    assert backend.contract == contract_of(graph)
    pixels = random_pixels(HEIGHT, WIDTH, seed=1)
    assert_equal(backend(pixels), expected(graph, pixels))


def test_onnxruntime_computes_the_same_without_optimizations(files):
    graph, paths = files
    pixels = random_pixels(HEIGHT, WIDTH, seed=2)
    assert_equal(open_backend(paths["onnxruntime"], optimization="none")(pixels), expected(graph, pixels))


@pytest.mark.parametrize("name", RUNTIMES)
def test_threads_share_a_backend_and_results_stay(files, name):
    graph, paths = files
    backend = open_backend(paths[name], threads=1)
    pictures = [random_pixels(HEIGHT, WIDTH, seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        # All are kept before any is looked at: a buffer of the runtime would be overwritten.
        results = list(pool.map(backend, pictures * 8))
    for index, pixels in enumerate(pictures * 8):
        if index < len(pictures):
            values = expected(graph, pixels)
            for result in results[index :: len(pictures)]:
                assert_equal(result, values)


@pytest.mark.parametrize("name", RUNTIMES)
@pytest.mark.parametrize(
    "image", [np.zeros((HEIGHT, WIDTH, 4), np.uint8), np.zeros((WIDTH, HEIGHT, 3), np.uint8), np.zeros((HEIGHT, WIDTH, 3))]
)
def test_another_image_is_refused(files, name, image):
    backend = open_backend(files[1][name], threads=1)
    with pytest.raises(ExportError, match="not the network's input") as caught:
        backend(image)
    assert str(image.shape) in str(caught.value)


def test_rows_of_a_larger_image_are_fine(files):
    graph, paths = files
    large = random_pixels(HEIGHT, 2 * WIDTH, seed=3)
    assert_equal(open_backend(paths["openvino"])(large[:, ::2]), expected(graph, large[:, ::2].copy()))


def test_integers_for_another_runtime_are_refused(files):
    with pytest.raises(ExportError, match="another runtime") as caught:
        open_backend(files[1]["openvino"], "onnxruntime")
    assert "--backend onnxruntime" in str(caught.value)


def test_unknown_backends_and_options_are_refused(files):
    with pytest.raises(ConfigError, match="no such backend") as caught:
        open_backend(files[1]["openvino"], "openvno")
    assert "'openvino'" in str(caught.value)
    with pytest.raises(ConfigError, match="no such option") as caught:
        open_backend(files[1]["openvino"], thread=1)
    assert "'threads'" in str(caught.value)
    with pytest.raises(ConfigError, match="no such optimization") as caught:
        open_backend(files[1]["onnxruntime"], optimization="everything")
    assert "none" in str(caught.value)


# -- broken files ---------------------------------------------------------------------------------------------------------


def test_a_missing_file(tmp_path):
    with pytest.raises(ExportError, match="no such file"):
        open_backend(tmp_path / "model.onnx")


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file(files, tmp_path, part):
    data = files[1]["openvino"].read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(ExportError) as caught:
        open_backend(path)
    assert str(path) in str(caught.value)


def test_another_kind_of_file(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_text("epoch 1: loss 0.3\n" * 100)
    with pytest.raises(ExportError, match="truncated, or no"):
        open_backend(path)


def test_an_onnx_file_of_somebody_else(files, tmp_path):
    model = onnx.load(files[1]["openvino"])
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(ExportError, match="does not say what it predicts"):
        open_backend(tmp_path / "model.onnx")


# -- what the machine lacks -----------------------------------------------------------------------------------------------


def test_a_missing_runtime_is_named():
    with pytest.raises(MachineError, match="no_such_runtime") as caught:
        import_runtime("no_such_runtime")
    assert "[deploy]" in str(caught.value)


def test_opening_eight_bits_needs_vnni(tmp_path, monkeypatch):
    graph = small_network()
    path = export(graph, contract_of(graph), tmp_path / "model.onnx", "openvino", target_has_vnni=True)
    monkeypatch.setattr(processor, "sums_bytes_exactly", lambda: False)
    with pytest.raises(MachineError, match="VNNI"):
        open_backend(path)


LIMITED = """
import sys
from pathlib import Path
import numpy as np
from runtimes import run_openvino
import onnx
folder = Path(sys.argv[1])
pixels = np.load(folder / "pixels.npy")
for bits in (7, 8):
    results = run_openvino(onnx.load(folder / f"{bits}.onnx"), pixels)
    np.savez(folder / f"{bits}.npz", **results)
"""


@pytest.mark.skipif(not processor.sums_bytes_exactly(), reason="8 bits are not exact here without a limit either")
def test_seven_bits_are_exact_without_vnni_and_eight_are_not(tmp_path):
    pixels = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)  # bright: the largest sums
    pixels[::7, ::5] = random_pixels(HEIGHT, WIDTH)[::7, ::5]
    np.save(tmp_path / "pixels.npy", pixels)
    graphs = {bits: small_network(weight_bits=bits) for bits in (7, 8)}
    for bits, graph in graphs.items():
        onnx.save(to_onnx(graph, (HEIGHT, WIDTH), "openvino"), tmp_path / f"{bits}.onnx")
    environ = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2", "PYTHONPATH": str(Path(__file__).parent)}
    subprocess.run([sys.executable, "-c", LIMITED, tmp_path], env=environ, check=True)

    def is_exact(bits):
        results, values = np.load(tmp_path / f"{bits}.npz"), expected(graphs[bits], pixels)
        return all(np.array_equal(results[name], values[name]) for name in values)

    assert is_exact(7)
    assert not is_exact(8)


# -- TensorRT -------------------------------------------------------------------------------------------------------------


def test_tensorrt_files_are_checked_and_the_rest_is_said(tmp_path):
    graph = small_network(relu_high=127)
    path = export(graph, contract_of(graph), tmp_path / "model.onnx", "tensorrt")
    said = check_tensorrt_rules(onnx.load(path))
    assert "signed, around zero, weights by channel" in said
    assert "no engine is built" in said
    try:
        import_runtime("tensorrt")
    except MachineError:
        with pytest.raises(MachineError, match="tensorrt cannot be imported") as caught:
            open_backend(path)
        assert "weights by channel" in str(caught.value)


def test_a_file_for_another_runtime_breaks_tensorrt_rules(files):
    with pytest.raises(ExportError, match="signed integers around zero only") as caught:
        check_tensorrt_rules(onnx.load(files[1]["onnxruntime"]))
    assert "uint8" in str(caught.value)
    assert "relu_range = 's8'" in str(caught.value)


def test_one_scale_for_all_channels_breaks_tensorrt_rules():
    model = to_onnx(small_network(relu_high=127), (HEIGHT, WIDTH), "tensorrt")
    weights = next(node for node in model.graph.node if node.op_type == "DequantizeLinear" and node.attribute)
    scale = onnx.helper.make_tensor("single", onnx.TensorProto.FLOAT, [1], [0.5])
    model.graph.initializer.append(scale)
    weights.input[1] = "single"
    with pytest.raises(ExportError, match="no scale of each channel"):
        check_tensorrt_rules(model)
