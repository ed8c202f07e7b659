"""Exports of the lidar network: equal to PyTorch for any points in both runtimes, and bit by bit where it computes integers."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import numpy as np
import onnx
import pytest
import torch
from test_god_net import GRID, network
from torch import nn

from admlops.data_release.lineage import lineage_path
from admlops.deploy import Predictor
from admlops.deploy.backends.backend import open_backend
from admlops.deploy.contract import Contract
from admlops.deploy.export import export
from admlops.deploy.onnx_file import make_metadata, read_model, write_model
from admlops.deploy.onnx_writer import to_onnx
from admlops.engine.deploy import Check, Tolerance, check_export
from admlops.engine.infer import infer
from admlops.engine.rung_model import file_predict
from admlops.engine.rungs import ExportableNetwork
from admlops.errors import ExportError, RecordError
from admlops.quantization import IntegerNetwork, QuantSpec, calibrating, float_graph, integer_graph, prepare
from admlops.structures import MultiTaskDataSample
from god import encoder_export
from god.encoder_export import checked_encoder
from god.encoder_graph import EncoderGraph
from god.export import make_checks, map_geometry
from god.geometry import BevGrid
from god.heads import BevHead
from god.predictor import BevPredictor

RUNTIMES = ("onnxruntime", "openvino")
BEV = BevGrid(**GRID)
SANITIZE = {"min_range_m": 0.5, "max_not_finite": 0.5}


def trained_like(fold=2):
    """Weights, biases and statistics of which no channel is like the next."""
    detector, rng = network(fold), torch.Generator().manual_seed(1)
    for module in detector.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_uniform_(module.weight, nonlinearity="relu", generator=rng)
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.3, 1.2, generator=rng)
            module.bias.data.normal_(0, 0.3, generator=rng)
            module.running_mean.normal_(0, 0.2, generator=rng)
            module.running_var.uniform_(0.5, 2, generator=rng)
    return detector.eval()


def points_of(number, kind="inside", seed=0):
    """Sweeps of every kind that has to come out as in PyTorch."""
    rng = np.random.default_rng(seed)
    points = rng.uniform([-3.4, -3.4, -2.2, 0], [3.4, 3.4, 1, 1], (number, 4))
    if kind == "edges":
        points[:, :2] = -3.2 + 0.2 * rng.integers(0, 33, (number, 2))
    if kind == "out of range":
        points[:, 0] += 100
    points_N4 = points.astype(np.float32)
    return {"points": points_N4, "cell": BEV.cell_of(points_N4)}


@torch.no_grad()
def canvas_of(detector, given):
    return detector.encoder(torch.from_numpy(given["points"]), torch.from_numpy(given["cell"]))


def integer_network(**fields):
    detector = trained_like()
    prepare(detector, QuantSpec(**fields))
    with torch.no_grad(), calibrating(detector):
        detector(canvas_of(detector, points_of(4000, seed=9)), mode="tensor")
    return ExportableNetwork(integer_graph(detector), detector, {})


@pytest.fixture(scope="module")
def floats():
    detector = trained_like()
    return ExportableNetwork(float_graph(detector), detector, {})


@pytest.fixture(scope="module")
def integers():
    return integer_network()


def write(network, path, runtime, canvas=False, decoded=False):
    geometry = map_geometry(network, network.detector, canvas=canvas, sanitize=SANITIZE)
    contract = network.contract(geometry, {"version": 1}, decoded=decoded)
    encode = None if canvas else EncoderGraph(network.detector.encoder)
    return export(network.graph, contract, path, runtime, encode=encode, target_has_vnni=True)


@pytest.fixture(scope="module")
def files(floats, integers, tmp_path_factory):
    """Files by network, runtime, whether they begin with the canvas, and whether they decode."""
    folder = tmp_path_factory.mktemp("files")
    return {
        (name, runtime, canvas, decoded): write(
            net, folder / f"{name}-{runtime}-{canvas}-{decoded}.onnx", runtime, canvas, decoded
        )
        for name, net in (("float", floats), ("int", integers))
        for runtime in RUNTIMES
        for canvas in (False, True)
        for decoded in (False, True)
    }


def contract_of_canvas(network, lineage=None):
    return network.contract(map_geometry(network, network.detector, canvas=True, sanitize=SANITIZE), lineage or {"version": 1})


@pytest.fixture(scope="module")
def encoders(floats, tmp_path_factory):
    """Encoders by the runtime of the network behind; those of ``floats`` and ``integers`` have the same weights."""
    folder, contract = tmp_path_factory.mktemp("encoders"), contract_of_canvas(floats)
    for runtime in (*RUNTIMES, "tensorrt"):
        with checked_encoder(floats.detector.encoder, contract, folder / f"{runtime}.onnx", runtime) as written:
            assert "PyTorch bit for bit, in onnxruntime and openvino" in written.checked
    return {runtime: folder / f"{runtime}.onnx" for runtime in (*RUNTIMES, "tensorrt")}


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("fold", [1, 2, 4])
def test_the_encoder_computes_the_same_floats(runtime, fold, tmp_path):
    net = ExportableNetwork(float_graph(detector := trained_like(fold)), detector, {})
    contract = net.contract(map_geometry(net, detector, canvas=False), decoded=False)
    metadata = make_metadata(contract, runtime)
    size = contract.geometry.map_hw
    taps = [node.name for node in net.graph.nodes if node.kind == "feature_input"]
    model = to_onnx(net.graph, size, runtime, encode=EncoderGraph(detector.encoder), taps=taps, metadata=metadata)
    backend = open_backend(write_model(model, tmp_path / "model.onnx"))
    given = points_of(5000, "edges") if fold == 2 else points_of(5000)
    expected = canvas_of(detector, given).numpy()
    assert (expected > 0).mean() > 0.2
    worst = np.abs(backend.run(given)[taps[0]] - expected).max() / expected.max()
    print(f"{runtime}, fold {fold}: canvas differs by {worst:.1e} of its largest value")
    assert worst <= 1e-6


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    ("number", "kind"), [(0, "inside"), (1, "inside"), (100_000, "inside"), (3000, "edges"), (500, "out of range")]
)
def test_the_whole_network_is_that_of_pytorch(floats, files, runtime, number, kind):
    given = points_of(number, kind)
    found = open_backend(files["float", runtime, False, False], threads=1).run(given)
    with torch.no_grad():
        expected = floats.detector.raw_outputs(canvas_of(floats.detector, given))
    for name, value in expected.items():
        worst = float(np.abs(found[name] - value.numpy()).max() / value.abs().max())
        print(f"{runtime}, {number} points {kind}, {name}: {worst:.1e} of the largest output")
        assert worst <= 1e-6


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_order_of_points_changes_no_bit(files, runtime):
    backend, given = open_backend(files["float", runtime, False, False], threads=1), points_of(20_000)
    order = np.random.default_rng(3).permutation(20_000)
    first, second = backend.run(given), backend.run({name: values[order] for name, values in given.items()})
    assert all(np.array_equal(first[name], second[name]) for name in first)


@torch.no_grad()
@pytest.mark.parametrize("fields", [{}, {"weight_bits": 7, "relu_range": "s8"}], ids=str)
def test_integers_are_equal_everywhere_behind_the_canvas(tmp_path, fields):
    net = integer_network(**fields)
    canvas = canvas_of(net.detector, points_of(4000, seed=5))
    simulated = net.detector(canvas, mode="tensor")
    reference = IntegerNetwork(net.graph)(canvas)
    assert all(len(value.unique()) > 20 for value in simulated.values())
    assert all(torch.equal(reference[name], value) for name, value in simulated.items())
    for runtime in RUNTIMES:
        backend = open_backend(write(net, tmp_path / f"{runtime}.onnx", runtime, canvas=True))
        found = backend.run({"canvas": canvas.numpy()})
        assert all(np.array_equal(found[name], value.numpy()) for name, value in simulated.items())


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", ["float", "int"])
def test_every_file_is_what_it_was_made_of(request, files, runtime, name):
    net = request.getfixturevalue({"float": "floats", "int": "integers"}[name])
    for canvas in (False, True):
        path = files[name, runtime, canvas, True]
        said = check_export(net, read_model(path).contract, path, runtime, make_checks(net, net.detector, canvas=canvas), True)
        assert "what the heads decode" in said


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_graphs_scatter_by_minima_and_maxima_or_not_at_all(files, runtime):
    whole, canvas = (onnx.load(files["int", runtime, begins, True]) for begins in (False, True))
    reductions = [
        attribute.s.decode()
        for node in whole.graph.node
        if node.op_type == "ScatterElements"
        for attribute in node.attribute
        if attribute.name == "reduction"
    ]
    assert reductions == ["min", "max", "max"]
    assert whole.opset_import[0].version >= 18
    assert [each.name for each in whole.graph.input] == ["points", "cell"]
    assert not [node.op_type for node in canvas.graph.node if "Scatter" in node.op_type]
    assert canvas.opset_import[0].version == 13
    assert [each.name for each in canvas.graph.input] == ["canvas"]


def test_a_file_says_where_its_cells_lie(floats, files):
    contract = read_model(files["float", "onnxruntime", False, True]).contract
    assert Contract.from_json(contract.to_json()) == contract
    assert BevGrid(**contract.geometry.frame["grid"]) == BEV
    assert contract.geometry.frame["sanitize"] == SANITIZE
    assert (contract.geometry.input_hw, contract.geometry.map_hw) == ((32, 32), (16, 16))
    assert contract.lineage == {"version": 1}
    assert [branch.spec.task.name for branch in contract.branches] == ["god_base", "drivable_2cls", "drivable_multi"]


@torch.no_grad()
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_predictor_finds_what_the_network_predicts(floats, files, runtime):
    predictor = BevPredictor(files["float", runtime, False, True], threads=1)
    origin = (0.3, -0.2, 1.5)
    sweep = np.random.default_rng(2).uniform([-4, -4, -0.5, 0], [4, 4, 2.4, 255], (3000, 4))
    sweep[:7, 2] = np.nan
    found = predictor(sweep, origin, intensity_max=255)
    kept = sweep[7:].astype(np.float32)
    kept[:, 2] -= np.float32(origin[2])
    kept[:, 3] /= np.float32(255)
    inside = ((kept[:, :2].astype(np.float64) - origin[:2]) ** 2).sum(axis=1) >= 0.25
    given = {"points": kept[inside], "cell": BEV.cell_of(kept[inside])}
    outside = int((given["cell"] == BEV.num_cells).sum())
    assert found.point_counts == {"read": 3000, "not_finite": 7, "ego": int((~inside).sum()), "out_of_range": outside}
    assert min(found.point_counts.values()) > 0
    meta = {"ori_shape": BEV.shape, "img_shape": BEV.shape, "input_from_original": np.eye(3)}
    (sample,) = floats.detector.predict(canvas_of(floats.detector, given), [MultiTaskDataSample(metainfo=meta)])
    for name, segmented in found.masks.items():
        pred = sample.pred.get(name)
        assert (segmented.mask != pred.data[0].numpy()).mean() <= 1e-3
        assert (segmented.score is None) == (name == "drivable_multi")
        if segmented.score is not None:
            np.testing.assert_allclose(segmented.score, pred.score[0].numpy(), atol=1e-5)


@pytest.mark.parametrize("runtime", [*RUNTIMES, "tensorrt"])
def test_an_encoder_says_what_goes_in_and_what_comes_out(floats, encoders, runtime):
    exported = read_model(encoders[runtime])
    assert exported.target == {"tensorrt": "onnxruntime"}.get(runtime, runtime)
    assert (exported.output_names, exported.contract.branches) == (["canvas"], ())
    assert exported.contract.outputs["canvas"].startswith("float32 (1, 16, 16, 16): channel * fold**2")
    assert [each.name for each in exported.contract.geometry.inputs] == ["points", "cell"]
    assert exported.contract.geometry.frame == contract_of_canvas(floats).geometry.frame
    assert lineage_path(encoders[runtime]).is_file()


@torch.no_grad()
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    ("number", "kind"), [(0, "inside"), (1, "inside"), (20_000, "inside"), (3000, "edges"), (500, "out of range")]
)
def test_an_encoder_alone_makes_the_bits_of_pytorch(floats, encoders, runtime, number, kind):
    given = points_of(number, kind)
    found = open_backend(encoders["onnxruntime"], runtime).run(given)["canvas"]
    assert torch.equal(torch.from_numpy(found), canvas_of(floats.detector, given))


@pytest.mark.parametrize("name", ["float", "int"])
@pytest.mark.parametrize(("encoder", "runtime"), [(each, each) for each in RUNTIMES] + [("tensorrt", "openvino")])
def test_encoder_and_rest_predict_what_the_whole_predicts(files, encoders, name, encoder, runtime):
    whole = BevPredictor(files[name, runtime, False, True], threads=1)
    pair = BevPredictor(files[name, runtime, True, True], threads=1, encoder=encoders[encoder])
    assert pair.grid == whole.grid
    for number, kind in ((0, "inside"), (3000, "edges"), (20_000, "inside")):
        sweep = points_of(number, kind)["points"] * (1, 1, 1, 255) + (0, 0, 1.5, 0)
        expected, found = (each(sweep, (0, 0, 1.5), 255) for each in (whole, pair))
        assert found.point_counts == expected.point_counts
        for task, segmented in expected.masks.items():
            assert np.array_equal(found.masks[task].mask, segmented.mask)
            if segmented.score is not None:
                assert np.abs(found.masks[task].score - segmented.score).max() <= (0 if name == "int" else 1e-6)


def test_an_encoder_that_computes_something_else_gets_no_name(floats, tmp_path, monkeypatch):
    def off(encoder):
        return [(given, canvas * 1.00001) for given, canvas in encode_sweeps(encoder)]

    encode_sweeps = encoder_export.encode_sweeps
    monkeypatch.setattr(encoder_export, "encode_sweeps", off)
    path = tmp_path / "encoder.onnx"
    with (
        pytest.raises(ExportError, match=r"(?s)encoder computes something else.*encoder\.onnx, onnxruntime.*1e-06"),
        checked_encoder(floats.detector.encoder, contract_of_canvas(floats), path, "openvino"),
    ):
        pytest.fail("the network behind it would be written")
    assert list(tmp_path.iterdir()) == []


def test_no_encoder_is_left_without_the_network_behind_it(floats, tmp_path):
    def fail_behind(path):
        with checked_encoder(floats.detector.encoder, contract_of_canvas(floats), path, "openvino"):
            assert not path.exists()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_behind(tmp_path / "encoder.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_belong_together_is_refused(floats, files, encoders, tmp_path):
    behind, encoder = files["float", "onnxruntime", True, True], encoders["onnxruntime"]
    with pytest.raises(ExportError, match="(?s)does not begin with points.*float-onnxruntime-True-True-encoder.onnx"):
        BevPredictor(behind)
    with pytest.raises(ExportError, match="(?s)encoder alone.*encoder="):
        BevPredictor(encoder)
    with pytest.raises(ExportError, match="(?s)does not begin with canvas.*holds its own"):
        BevPredictor(files["float", "onnxruntime", False, True], encoder=encoder)
    with pytest.raises(ExportError, match="no encoder"):
        BevPredictor(behind, encoder=files["float", "onnxruntime", False, True])
    geometry = map_geometry(floats, floats.detector, canvas=True, sanitize=SANITIZE)
    frame = {**geometry.frame, "grid": asdict(replace(BEV, x_min_m=-1.6))}
    moved = replace(contract_of_canvas(floats), geometry=replace(geometry, frame=frame))
    other = contract_of_canvas(floats, {"version": 1, "parents": [{"sha256": "f00d"}]})
    for name, contract in (("moved", moved), ("other", other)):
        with checked_encoder(floats.detector.encoder, contract, tmp_path / f"{name}.onnx", "onnxruntime"):
            pass
    with pytest.raises(ExportError, match=r"(?s)of another grid.*moved\.onnx.*-3\.2.*-1\.6"):
        BevPredictor(behind, encoder=tmp_path / "moved.onnx")
    with pytest.raises(ExportError, match=r"(?s)of another checkpoint.*other\.onnx.*f00d"):
        BevPredictor(behind, encoder=tmp_path / "other.onnx")


@torch.no_grad()
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_predictor_keeps_the_threshold_of_a_head(runtime, tmp_path):
    detector = trained_like()
    points = points_of(3000, seed=4)["points"]
    points = points[np.hypot(points[:, 0], points[:, 1]) > SANITIZE["min_range_m"]]
    canvas = canvas_of(detector, {"points": points, "cell": BEV.cell_of(points)})
    meta = {"ori_shape": BEV.shape, "img_shape": BEV.shape, "input_from_original": np.eye(3)}
    (at_half,) = detector.predict(canvas, [MultiTaskDataSample(metainfo=meta)])
    branch = detector.branches["god"]
    threshold = float(at_half.pred.god_base.score.quantile(0.8))
    head = BevHead(branch.task, in_channels=8, threshold=threshold).eval()
    head.load_state_dict(branch.head.state_dict())
    branch.head = head
    path = write(ExportableNetwork(float_graph(detector), detector, {}), tmp_path / "model.onnx", runtime, decoded=True)
    found = BevPredictor(path, threads=1)(points).masks
    above = at_half.pred.god_base.score[0].numpy() > threshold
    assert 0.19 < above.mean() < 0.21
    assert (found["god_base"].mask != above).mean() <= 2e-3
    assert (found["drivable_2cls"].mask != at_half.pred.drivable_2cls.data[0].numpy()).mean() <= 1e-3
    np.testing.assert_allclose(found["god_base"].score, at_half.pred.god_base.score[0].numpy(), atol=1e-5)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_threads_predict_side_by_side(files, runtime):
    predictor = BevPredictor(files["int", runtime, False, True], threads=1)
    sweeps = [points_of(number * 400, seed=number)["points"] for number in range(1, 7)]
    alone = [predictor(sweep) for sweep in sweeps]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(predictor, sweeps * 3))
    for one, other in zip(alone * 3, together, strict=True):
        assert all(np.array_equal(one.masks[name].score, other.masks[name].score) for name in ("god_base", "drivable_2cls"))


def test_a_test_on_another_grid_is_refused(files):
    predict = file_predict(open_backend(files["float", "onnxruntime", False, True], threads=1))
    given = {name: torch.from_numpy(array) for name, array in points_of(100).items()}
    meta = {"sample_id": "a", "ori_shape": BEV.shape, "img_shape": BEV.shape, "input_from_original": np.eye(3)}
    sample = MultiTaskDataSample(metainfo={**meta, "grid": asdict(BEV)})
    predict(given, sample)
    assert set(sample.pred.keys()) == {"god_base", "drivable_2cls", "drivable_multi"}
    shifted = MultiTaskDataSample(metainfo={**meta, "grid": asdict(replace(BEV, x_min_m=BEV.x_min_m + 0.1))})
    with pytest.raises(ExportError, match="(?s)another grid.*sample 'a'.*-3.2.*-3.1"):
        predict(given, shifted)


def test_an_empty_sweep_is_a_sweep(files):
    predictor = BevPredictor(files["int", "onnxruntime", False, True])
    found = predictor(np.zeros((0, 4), np.float32))
    assert found.masks["god_base"].mask.shape == BEV.shape
    assert found.point_counts["read"] == 0


def test_the_tool_for_pictures_says_what_a_lidar_file_reads_and_who_runs_it(files, tmp_path):
    (tmp_path / "sweeps").mkdir()
    with pytest.raises(ExportError, match="reads no pictures") as caught:
        infer(files["float", "onnxruntime", False, True], tmp_path / "sweeps", tmp_path / "out")
    assert caught.value.got == "points, cell"
    assert "plug-in" in caught.value.remedy
    assert not (tmp_path / "out").exists()


def test_what_is_no_use_to_a_predictor_is_refused(files):
    with pytest.raises(ExportError, match="reads no pictures"):
        Predictor(files["float", "onnxruntime", False, True])
    with pytest.raises(ExportError, match="does not begin with points"):
        BevPredictor(files["float", "onnxruntime", True, True])
    with pytest.raises(ExportError, match="gives raw outputs"):
        BevPredictor(files["float", "onnxruntime", False, False])
    with pytest.raises(ExportError, match="written for another runtime"):
        BevPredictor(files["int", "onnxruntime", False, True], backend="openvino")
    predictor = BevPredictor(files["float", "onnxruntime", False, True])
    with pytest.raises(RecordError, match="not finite"):
        predictor(np.full((5, 4), np.nan))


NO_POINTS, NO_PLACE, NO_SCALE = "points: an array holds no points", "origin: not a place", "intensity_max: not a scale"


@pytest.mark.parametrize(
    ("what", "given", "got"),
    [
        (NO_POINTS, {"points": np.zeros((5, 2), np.float32)}, r"float32 of shape \(5, 2\)"),
        (NO_POINTS, {"points": np.zeros((5, 4), np.int16)}, r"int16 of shape \(5, 4\)"),
        (NO_POINTS, {"points": np.zeros(4)}, r"float64 of shape \(4,\)"),
        (NO_POINTS, {"points": [[5.0, 0.0, 0.0, 0.0]]}, "list"),
        (NO_POINTS, {"points": torch.zeros(5, 4)}, "Tensor"),
        (NO_POINTS, {"points": None}, "NoneType"),
        (NO_PLACE, {"origin": (np.nan, 0, 0)}, r"\(nan, 0, 0\)"),
        (NO_PLACE, {"origin": [0, 0, -np.inf]}, r"\[0, 0, -inf\]"),
        (NO_PLACE, {"origin": (0, 0)}, r"\(0, 0\)"),
        (NO_PLACE, {"origin": np.eye(4)}, "array"),
        (NO_PLACE, {"origin": ((0, 0), 0, 0)}, r"\(\(0, 0\), 0, 0\)"),
        (NO_PLACE, {"origin": 1.8}, r"1\.8"),
        (NO_PLACE, {"origin": "0 0 0"}, "'0 0 0'"),
        (NO_PLACE, {"origin": ("0", "0", "0")}, r"\('0', '0', '0'\)"),
        (NO_PLACE, {"origin": None}, "None"),
        (NO_SCALE, {"intensity_max": 0}, "0"),
        (NO_SCALE, {"intensity_max": -255}, "-255"),
        (NO_SCALE, {"intensity_max": np.inf}, "inf"),
        (NO_SCALE, {"intensity_max": np.nan}, "nan"),
        (NO_SCALE, {"intensity_max": "255"}, "'255'"),
        (NO_SCALE, {"intensity_max": (1, 2)}, r"\(1, 2\)"),
        (NO_SCALE, {"intensity_max": None}, "None"),
    ],
)  # fmt: skip
def test_a_call_of_the_predictor_that_makes_no_sense_is_refused(files, what, given, got):
    predictor = BevPredictor(files["float", "onnxruntime", False, True])
    with pytest.raises(RecordError, match=f"(?s)^{what}\n  where: .*call.*  expected: .*  got: +{got}.*  try: "):
        predictor(**{"points": np.full((5, 4), 2.0), **given})


def test_the_sensor_stands_in_any_container(files):
    predictor = BevPredictor(files["float", "onnxruntime", False, True])
    points = points_of(2000)["points"] + np.float32(1)
    expected = predictor(points, (1, 1, 1), 2)
    places = ([1, 1, 1], np.ones(3, np.float32), np.ones(3, int), torch.ones(3))
    for origin, scale in zip(places, (2.0, np.float32(2), np.int8(2), torch.tensor(2)), strict=True):
        found = predictor(points, origin, scale)
        assert found.point_counts == expected.point_counts
        for name, segmented in found.masks.items():
            assert np.array_equal(segmented.mask, expected.masks[name].mask)


def test_a_file_that_computes_something_else_gets_no_name(floats, files):
    path = files["float", "onnxruntime", False, False]
    *_, check = make_checks(floats, floats.detector, canvas=False)
    wrong = {name: value + 0.001 for name, value in check.expected.items()}
    contract = read_model(path).contract
    with pytest.raises(ExportError, match="computes something else") as caught:
        check_export(floats, contract, path, "onnxruntime", [Check(check.given, wrong, Tolerance(1e-6), check.encode)])
    assert "at most 1e-06 of the largest value" in str(caught.value)


def test_tensorrt_is_given_no_points(floats, tmp_path):
    with pytest.raises(ExportError, match=r"(?s)ScatterElements.*model\.onnx.*inputs points, cell.*--canvas"):
        write(floats, tmp_path / "model.onnx", "tensorrt")
    assert list(tmp_path.iterdir()) == []


def test_floats_from_the_canvas_on_are_some_for_tensorrt(floats, tmp_path):
    assert write(floats, tmp_path / "model.onnx", "tensorrt", canvas=True).is_file()


def test_unsigned_integers_are_none_for_tensorrt(integers, tmp_path):
    with pytest.raises(ExportError, match="signed integers only"):
        write(integers, tmp_path / "model.onnx", "tensorrt", canvas=True)
