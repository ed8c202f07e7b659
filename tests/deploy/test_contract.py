"""A contract survives its JSON exactly, and one that cannot be understood is refused by what is wrong in it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from admlops.deploy.contract import METADATA_KEY, BranchContract, Contract, Quantization, make_contract
from admlops.deploy.input_geometry import Geometry, GraphInput, MapGeometry
from admlops.errors import ExportError
from admlops.models.heads import CenterLtrbHead, SegHead
from admlops.quantization.network_graph import ConvNode, Grid, InputNode, NetworkGraph
from admlops.task_spec import CAMERA_TASKS

DET, LANE = CAMERA_TASKS["det_rear"], CAMERA_TASKS["seg_lane"]
GEOMETRY = Geometry((720, 1280), (448, 1216), 0, (0.5, 0.1))


def make_graph(weight: int = 100, high: int = 255, power_of_two: bool = True) -> NetworkGraph:
    scale = 2.0**-5 if power_of_two else 0.1
    conv = ConvNode(
        "head.heatmap",
        ("image",),
        Grid(scale, 0, high),
        torch.full((2, 3, 1, 1), weight, dtype=torch.int8),
        torch.zeros(2, dtype=torch.int32),
        torch.ones(2),
        *((1, 1), (0, 0), (1, 1), 1, True),
    )
    image = InputNode("image", (), Grid(2.0**-7, -128, 127), 3)
    return NetworkGraph((image, conv), {"det_rear.heatmap": "head.heatmap"}, "half_even", power_of_two)


def make(graph: NetworkGraph | None = None, decoded: bool = True) -> Contract:
    specs = {"det_rear": CenterLtrbHead(DET).output_spec(), "seg_lane": SegHead(LANE).output_spec()}
    allowed = {"det_rear": torch.tensor([True, False]), "seg_lane": [True] * 5}
    lineage = {"version": 1, "code": {"commit": "c0ffee"}, "parents": [{"path": "straße.pth", "iteration": None}]}
    return make_contract(specs, allowed, GEOMETRY, graph or make_graph(), lineage, decoded=decoded)


@pytest.mark.parametrize("power_of_two", [True, False])
def test_json_gives_the_same_contract_back(power_of_two):
    contract = make(make_graph(power_of_two=power_of_two))
    assert Contract.from_json(contract.to_json()) == contract
    assert Contract.from_metadata({METADATA_KEY: contract.to_json()}, "a.onnx") == contract
    bare = Contract(contract.branches, contract.outputs, Geometry((512, 960), (512, 960), 0))
    assert Contract.from_json(bare.to_json()) == bare


MAP_GEOMETRY = MapGeometry(
    (64, 96),
    (32, 48),
    (GraphInput("points", "float32", ("N", 4)), GraphInput("cell", "int64", ("N",))),
    {"grid": {"cell_m": 0.2, "rows": 64}, "points": "x, y"},
)


def test_a_network_of_maps_says_what_it_is_given():
    contract = replace(make(), geometry=MAP_GEOMETRY)
    assert Contract.from_json(contract.to_json()) == contract
    document = json.loads(contract.to_json())
    assert "image" not in document
    assert document["inputs"][0] == {"name": "points", "dtype": "float32", "shape": ["N", 4]}
    assert document["geometry"]["frame"]["grid"] == {"cell_m": 0.2, "rows": 64}
    with pytest.raises(ExportError, match="reads no pictures") as caught:
        _ = contract.camera
    assert caught.value.got == "points, cell"


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda d: d["inputs"][0].pop("dtype"), r"inputs\[0\] lacks dtype"),
        (lambda d: d["inputs"][1].update(shape=[1.5]), r"inputs\[1\].shape\[0\]: 1.5 instead of int"),
        (lambda d: d["geometry"].pop("map_hw"), "geometry lacks map_hw"),
        (lambda d: d.update(image={}), "contract has unknown image"),
    ],
)
def test_what_cannot_be_understood_of_a_map_is_named(edit, told):
    document = json.loads(replace(make(), geometry=MAP_GEOMETRY).to_json())
    edit(document)
    with pytest.raises(ExportError, match=told):
        Contract.from_json(json.dumps(document), "model.onnx")


def test_json_says_all_that_a_program_in_another_language_needs():
    document = json.loads(make().to_json())
    assert document["image"] == {"name": "image", "dtype": "uint8", "layout": "1HWC", "channels": "BGR"}
    assert document["geometry"] == {
        "original_hw": [720, 1280],
        "input_hw": [448, 1216],
        "pyramid_step": 0,
        "place_yx": [0.5, 0.1],
        "pad_pixel": 128,
    }
    detection, lane = document["branches"]
    assert detection["task"]["classes"] == ["vehicle_rear", "vehicle_head"]
    assert detection["task"]["palette"] == [[213, 0, 249], [124, 77, 255]]
    assert detection["allowed"] == [True, False]
    assert detection["parameters"]["score_threshold"] == 0.02
    assert lane["task"]["kind"] == "lane"
    assert lane["tensors"] == [{"name": "seg_lane.logits", "channels": 5, "stride": 4, "scale": 1.0}]
    assert list(document["outputs"]) == ["det_rear.boxes", "det_rear.scores", "det_rear.labels", "seg_lane.mask"]
    assert document["quantization"]["grids"]["head.heatmap"] == {"exponent": -5, "low": 0, "high": 255}
    assert document["lineage"]["code"] == {"commit": "c0ffee"}


def test_raw_outputs_are_named_as_such():
    contract = make(decoded=False)
    assert list(contract.outputs) == ["det_rear.heatmap", "det_rear.ltrb", "seg_lane.logits"]
    assert not contract.decoded
    assert make().decoded


@pytest.mark.parametrize(("weight", "bits"), [(63, 7), (-63, 7), (64, 8), (-64, 8)])
def test_seven_bits_is_what_no_processor_saturates(weight, bits):
    found = Quantization.of(make_graph(weight))
    assert found is not None
    assert found.weight_bits == bits


def test_range_behind_a_relu_is_read_off_the_grids():
    assert [Quantization.of(make_graph(high=high)).relu_range for high in (255, 127)] == ["u8", "s8"]


def test_a_network_in_floats_has_no_integers():
    assert Quantization.of(NetworkGraph((), {})) is None


def changed(edit) -> str:
    document = json.loads(make().to_json())
    edit(document)
    return json.dumps(document)


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda d: d.update(version=2), "version 2"),
        (lambda d: d.pop("version"), "version None"),
        (lambda d: d.pop("geometry"), "contract lacks geometry"),
        (lambda d: d.update(extra=1), "contract has unknown extra"),
        (lambda d: d["geometry"].pop("place_yx"), "geometry lacks place_yx"),
        (lambda d: d["geometry"].update(pad_pixel=0), "geometry.pad_pixel: 0 instead of 128"),
        (lambda d: d["geometry"].update(input_hw=[512]), "geometry.input_hw: 1 values instead of 2"),
        (lambda d: d["geometry"].update(input_hw=[512, 960.5]), r"geometry.input_hw\[1\]: 960.5 instead of int"),
        (lambda d: d["image"].update(channels="RGB"), "image: .*RGB"),
        (lambda d: d["branches"][1]["task"].pop("classes"), r"branches\[1\].task lacks classes"),
        (lambda d: d["branches"][1]["task"].update(kind="depth"), "depth"),
        (lambda d: d["branches"][1]["task"].update(palette=[]), "palette of the wrong length"),
        (lambda d: d["branches"][0].update(allowed=[True]), "det_rear: it is not known which channels"),
        (lambda d: d["branches"][0].update(allowed=[False, False]), "det_rear: it is not known which channels"),
        (lambda d: d["branches"][0]["tensors"][0].update(stride="4"), r"branches\[0\].tensors\[0\].stride: '4'"),
        (lambda d: d["quantization"]["grids"]["head.heatmap"].pop("low"), "quantization.grids.head.heatmap lacks low"),
        (lambda d: d.update(lineage=None), "lineage: None instead of dict"),
    ],
)
def test_what_cannot_be_understood_is_named(edit, told):
    with pytest.raises(ExportError, match=told) as caught:
        Contract.from_json(changed(edit), "model.onnx")
    assert caught.value.where == "model.onnx"


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_other_text_is_no_contract(text):
    with pytest.raises(ExportError, match="description of itself"):
        Contract.from_json(text)


def test_a_file_of_others_has_none():
    with pytest.raises(ExportError, match="does not say what it predicts"):
        Contract.from_metadata({"author": "somebody"}, "yolo.onnx")


def test_a_branch_needs_to_know_its_channels():
    with pytest.raises(ExportError, match="2 values"):
        BranchContract(CenterLtrbHead(DET).output_spec(), (True,))
