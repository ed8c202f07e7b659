"""A file is written whole or not at all, and says what it is."""

import onnx
import pytest
from exports import contract_of, small_network

from admlops.deploy import export as export_module
from admlops.deploy.contract import Contract
from admlops.deploy.export import export
from admlops.errors import ExportError, MachineError


def test_the_file_holds_its_contract_and_target(tmp_path):
    graph = small_network(weight_bits=7)
    contract = contract_of(graph, decoded=True)
    path = export(graph, contract, tmp_path / "new" / "model.onnx", "openvino")
    assert [each.name for each in path.parent.iterdir()] == ["model.onnx"]
    model = onnx.load(path)
    metadata = {each.key: each.value for each in model.metadata_props}
    assert metadata["admlops.target"] == "openvino"
    assert Contract.from_metadata(metadata, path) == contract
    assert [each.name for each in model.graph.output] == ["det_rear.boxes", "det_rear.scores", "det_rear.labels"]
    assert [each.name for each in model.graph.input] == ["image"]


@pytest.mark.parametrize("target", ["openvino", "onnxruntime"])
def test_eight_bits_need_vnni_where_they_run(tmp_path, target):
    graph = small_network()
    with pytest.raises(MachineError, match="VNNI"):
        export(graph, contract_of(graph), tmp_path / "model.onnx", target, target_has_vnni=False)
    assert list(tmp_path.iterdir()) == []
    assert export(graph, contract_of(graph), tmp_path / "model.onnx", target, target_has_vnni=True).is_file()


def test_unsigned_integers_leave_no_file_for_tensorrt(tmp_path):
    graph = small_network()
    with pytest.raises(ExportError, match="signed integers only"):
        export(graph, contract_of(graph), tmp_path / "model.onnx", "tensorrt")
    assert list(tmp_path.iterdir()) == []


def test_a_fault_keeps_the_older_file(tmp_path, monkeypatch):
    graph = small_network(weight_bits=7)
    path = tmp_path / "model.onnx"
    path.write_text("older")

    def write_broken(*args, **options):
        model = to_onnx(*args, **options)
        model.graph.node[-1].input[0] = "nowhere"
        return model

    to_onnx = export_module.to_onnx
    monkeypatch.setattr(export_module, "to_onnx", write_broken)
    with pytest.raises(ExportError, match="no valid ONNX model"):
        export(graph, contract_of(graph), path, "openvino")
    assert path.read_text() == "older"
    assert [each.name for each in tmp_path.iterdir()] == ["model.onnx"]


def test_the_description_of_another_network_is_refused(tmp_path):
    graph = small_network(weight_bits=7)
    other = graph.with_outputs({"det_vru.heatmap": "heat"})
    with pytest.raises(ExportError, match="do not belong together") as caught:
        export(other, contract_of(graph), tmp_path / "model.onnx", "openvino")
    assert "det_vru.heatmap" in str(caught.value)
    assert list(tmp_path.iterdir()) == []
