"""From a checkpoint to a file: the network from points on. For chips that cannot scatter to two: encoder, and the rest."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from admlops.deploy.input_geometry import MapGeometry
from admlops.deploy.onnx_writer import CANVAS
from admlops.engine.config import load_config
from admlops.engine.config_check import type_name
from admlops.engine.deploy import Check, Deployment, Tolerance, write_checked
from admlops.engine.lineage import derived_lineage
from admlops.engine.rungs import ExportableNetwork, read_exportable
from admlops.errors import ExportError
from admlops.quantization import IntegerNetwork
from god.detector import GodNet
from god.encoder_export import checked_encoder, encode_sweeps
from god.encoder_graph import CELL, INPUTS, POINTS, EncoderGraph, encoder_path
from god.geometry import BevGrid
from god.trained_cells import require_trained_cells
from god.transforms import SanitizePoints

FLOAT_TOLERANCE = 1e-6
"""Relative to the largest raw output of a sweep."""
FLOAT_SLACK = 4
"""How many times further off float64 than PyTorch in float32 a runtime may be, where that is more."""
INTEGERS_BEHIND_FLOATS = Tolerance(share=1e-3)
"""Of a whole quantized network: a canvas that differs in its last bit may be rounded to the next integer."""


def export_god(
    config: str | Path,
    checkpoint: str | Path,
    backend: str,
    *,
    canvas: bool = False,
    raw_outputs: bool = False,
    out: str | Path | None = None,
    target_has_vnni: bool | None = None,
    options: Mapping[str, Any] | None = None,
) -> list[Deployment]:
    """Export a checkpoint, run what is written where its runtime is installed, and compare sweeps.

    Args:
        config: Config file that it was trained with; or one of other bounds, of the same cells and heights.
        checkpoint: Of the float step, of the last quantized one, or of the conversion; floats stay floats.
        backend: Runtime that shall run it.
        canvas: Begin with the canvas, in the opset of chips, and write the encoder into a file of its own, ``encoder_path``;
            else begin with ``points`` and ``cell``, the encoder in floats.
        raw_outputs: Leave the decoding out of the graph.
        out: The network's file; by default beside the checkpoint, see ``default_path``.
        target_has_vnni: Whether the processor that shall run it has VNNI; None: it is this one.
        options: Config values by dotted path.

    Returns:
        What was written: the network, and with ``canvas`` its encoder. Nothing is where anything failed.

    Raises:
        ConfigError: The config cannot be used.
        CheckpointError: The checkpoint is missing, does not fit, was trained on other cells, or is of a step that has nothing
            to export.
        ExportError: The network is none of this project, or the runtime cannot run it, or computes something else.
        MachineError: The processor would saturate.
    """
    began = time.monotonic()
    cfg = load_config(config, options)
    network = read_exportable(cfg, checkpoint)
    detector = network.detector
    if not isinstance(detector, GodNet):
        raise ExportError(
            "the config's network reads no points",
            where=config,
            expected=GodNet.__name__,
            got=type(detector).__name__,
            remedy="export a camera network with tools/deploy.py",
        )
    require_trained_cells(network.checkpoint, detector.encoder.grid, checkpoint)
    path = default_path(checkpoint, backend, canvas=canvas) if out is None else Path(out)
    geometry = map_geometry(network, detector, canvas=canvas, sanitize=_sanitizing(cfg))
    lineage = derived_lineage("exported", {checkpoint: network.checkpoint}, path)
    contract = network.contract(geometry, lineage, decoded=not raw_outputs)
    checks = make_checks(network, detector, canvas=canvas)
    if not canvas:
        return [write_checked(network, contract, path, backend, checks, began, target_has_vnni)]
    with checked_encoder(detector.encoder, contract, encoder_path(path), backend) as encoder:
        return [write_checked(network, contract, path, backend, checks, began, target_has_vnni), encoder]


def default_path(checkpoint: str | Path, backend: str, *, canvas: bool) -> Path:
    """Name an export after its checkpoint.

    Args:
        checkpoint: Such as ``int-inference-last.pth``.
        backend: The runtime.
        canvas: Whether it begins with the canvas.

    Returns:
        Such as ``int-inference-export-last-openvino-canvas.onnx``, in the same folder.
    """
    step, dash, which = Path(checkpoint).stem.rpartition("-")
    name = f"{step}-export-{which}" if dash else f"{which}-export"
    return Path(checkpoint).with_name(f"{name}-{backend}-{'canvas' if canvas else 'points'}.onnx")


def map_geometry(
    network: ExportableNetwork, detector: GodNet, *, canvas: bool, sanitize: Mapping[str, float] | None = None
) -> MapGeometry:
    """Describe what an export is given.

    Args:
        network: The network.
        detector: Its detector.
        canvas: Whether the file begins with the canvas.
        sanitize: Arguments of ``SanitizePoints`` as tests drop points.

    Returns:
        The geometry, with the grid in ``frame``.
    """
    grid: BevGrid = detector.encoder.grid
    of_canvas = network.geometry(detector.empty_input(grid.shape))
    if not isinstance(of_canvas, MapGeometry):
        raise ExportError("the network does not begin with a map of features", got=", ".join(network.graph.outputs))
    frame = {
        "grid": asdict(grid),
        "fold": detector.encoder.fold,
        "sanitize": dict(sanitize or {}),
        POINTS: "x, y, z in m of the sweep's frame, z minus the sensor's; intensity / intensity_max within 0..1; finite",
        CELL: "row * cols + col in float64, row from y and col from x: floor((coordinate - min) / cell_m); rows * cols outside",
        CANVAS: "channel * fold**2 + row % fold * fold + col % fold of cell (row, col), at (row // fold, col // fold)",
    }
    return MapGeometry(of_canvas.input_hw, of_canvas.map_hw, of_canvas.inputs if canvas else INPUTS, frame)


@torch.no_grad()
def make_checks(network: ExportableNetwork, detector: GodNet, *, canvas: bool) -> list[Check]:
    """Ask for the sweeps of ``encode_sweeps``.

    Args:
        network: The network.
        detector: Its detector.
        canvas: Whether the file begins with the canvas.

    Returns:
        The sweeps or their canvases, and what has to come out.
    """
    checks, encode = [], None if canvas else EncoderGraph(detector.encoder)
    for points, map_BCHW in encode_sweeps(detector.encoder):
        given = network.arrays(map_BCHW) if canvas else points
        if network.graph.quantized:
            expected = IntegerNetwork(network.graph)(map_BCHW)
            tolerance = Tolerance() if canvas else INTEGERS_BEHIND_FLOATS
        else:
            expected, tolerance = _float_reference(detector, map_BCHW)
        checks.append(Check(given, expected, tolerance, encode))
    return checks


def _float_reference(detector: GodNet, map_BCHW: Tensor) -> tuple[dict[str, Tensor], Tolerance]:
    """Compute the raw outputs in float64, and how far float32 is off: a runtime, with sums in another order, may be too."""
    exact = {name: value.float() for name, value in copy.deepcopy(detector).double().raw_outputs(map_BCHW.double()).items()}
    single = detector.raw_outputs(map_BCHW)
    off = [float((single[name] - value).abs().max() / value.abs().max().clamp(min=1e-30)) for name, value in exact.items()]
    return exact, Tolerance(relative=max(FLOAT_TOLERANCE, FLOAT_SLACK * max(off)))


def _sanitizing(cfg: Config) -> dict[str, float]:
    """Read how the config's tests drop points."""
    pipeline = cfg.test_dataloader.dataset.get("pipeline") or ()
    step = next((each for each in pipeline if type_name(each) == SanitizePoints.__name__), None)
    arguments = {"min_range_m": 0.0} if step is None else {key: value for key, value in step.items() if key != "type"}
    made = SanitizePoints(**arguments)
    return {"min_range_m": made.min_range_m, "max_not_finite": made.max_not_finite}
