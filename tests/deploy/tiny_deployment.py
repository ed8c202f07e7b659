"""A network that anybody can run in their head: a blue or red cell is a vehicle or a sign, a green one a dashed lane."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from admlops.deploy.contract import Contract, make_contract
from admlops.deploy.export import export
from admlops.deploy.input_geometry import Geometry
from admlops.models.heads import CenterLtrbHead, SegHead
from admlops.quantization.network_graph import ConvNode, InputNode, NetworkGraph
from admlops.task_spec import CAMERA_TASKS

DET, LANE = CAMERA_TASKS["det_vehicle_sign"], CAMERA_TASKS["seg_lane"]
BLUE, GREEN, RED = (255, 0, 0), (0, 255, 0), (0, 0, 255)
RESIZE = Geometry((80, 160), (32, 96))
"""Halved to 40x80, 8 rows cut above, 16 columns padded on the right."""


def _mean_of_cells(name: str, colors: list[int | None], bias: list[float]) -> ConvNode:
    """Logit 8 where a cell of 4x4 px is full of the channel's colour, -8 where it has none; without a colour, the bias."""
    weight = torch.zeros(len(colors), 3, 4, 4)
    for channel, color in enumerate(colors):
        if color is not None:
            weight[channel, color] = 8 / 16
    return ConvNode(name, ("image",), None, weight, torch.tensor(bias), None, (4, 4), (0, 0), (1, 1), 1, False)


def make_graph() -> NetworkGraph:
    nodes = (
        InputNode("image", (), None, 3),
        _mean_of_cells("heatmap", [0, 2], [0.0, 0.0]),
        _mean_of_cells("ltrb", [None] * 4, [0.0] * 4),
        _mean_of_cells("lanes", [None, 1, None, None, None], [0.0, 0.0, -9.0, -9.0, -9.0]),
    )
    outputs = {f"{DET.name}.heatmap": "heatmap", f"{DET.name}.ltrb": "ltrb", f"{LANE.name}.logits": "lanes"}
    return NetworkGraph(nodes, outputs)


def make_tiny_contract(geometry: Geometry = RESIZE, decoded: bool = True) -> Contract:
    specs = {DET.name: CenterLtrbHead(DET).output_spec(), LANE.name: SegHead(LANE).output_spec()}
    allowed = {DET.name: [True, True], LANE.name: [True] * 5}
    return make_contract(specs, allowed, geometry, make_graph(), {"version": 1}, decoded=decoded)


def paint(hw: tuple[int, int], *blocks: tuple[int, int, int, int, tuple[int, int, int]]) -> np.ndarray:
    """Black with blocks: top, left, height, width, BGR."""
    image = np.zeros((*hw, 3), np.uint8)
    for top, left, height, width, color in blocks:
        image[top : top + height, left : left + width] = color
    return image


def export_tiny(path: Path, geometry: Geometry = RESIZE, flavour: str = "onnxruntime", decoded: bool = True) -> Path:
    export(make_graph(), make_tiny_contract(geometry, decoded), path, flavour)
    return path
