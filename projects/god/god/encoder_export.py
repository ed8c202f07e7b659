"""The pillar encoder in a file of its own: what makes the canvas where the rest runs on a chip that cannot scatter."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from admlops.data_release.lineage import lineage_path
from admlops.deploy.backends import open_backend
from admlops.deploy.contract import Contract
from admlops.deploy.graph_builder import GraphBuilder
from admlops.deploy.input_geometry import MapGeometry
from admlops.deploy.onnx_file import make_metadata, write_model
from admlops.deploy.onnx_writer import CANVAS
from admlops.engine.deploy import Deployment
from admlops.engine.lineage import write_lineage
from admlops.errors import ExportError, MachineError
from god.encoder_graph import CELL, INPUTS, POINTS, EncoderGraph
from god.geometry import BevGrid
from god.pillars import MinMaxPillarEncoder

RUNTIMES = ("onnxruntime", "openvino")
"""What runs an encoder; one file serves both."""
TOLERANCE = 1e-6
"""Relative to the largest value of a canvas; a processor that multiplies and adds in one step rounds once, not twice."""
CHECK_POINTS = 20_000

EncodedSweep = tuple[Mapping[str, npt.NDArray[Any]], Tensor]
"""Points and cells by the names of the graph's inputs, and the canvas that PyTorch makes of them."""


@contextmanager
def checked_encoder(encoder: MinMaxPillarEncoder, of_canvas: Contract, path: Path, backend: str) -> Iterator[Deployment]:
    """Write an encoder, compare it with PyTorch, and give it its name where the body of the ``with`` does not fail.

    Args:
        encoder: The encoder.
        of_canvas: What the export behind it says of itself: both describe one grid, and come from one checkpoint.
        path: The file.
        backend: Runtime of the export behind it; it opens the encoder by default where it can.

    Yields:
        What is written.

    Raises:
        ExportError: A runtime computes something else.
    """
    began = time.monotonic()
    geometry = of_canvas.geometry
    if not isinstance(geometry, MapGeometry):
        raise ExportError("the network behind the encoder reads no canvas", where=path)
    shape = (1, encoder.out_channels, *geometry.map_hw)
    outputs = {CANVAS: f"float32 {shape}: {geometry.frame[CANVAS]}"}
    contract = Contract((), outputs, replace(geometry, inputs=INPUTS), lineage=of_canvas.lineage)
    builder = GraphBuilder()
    builder.output(CANVAS, EncoderGraph(encoder)(builder), np.float32, shape)
    model = builder.model(make_metadata(contract, backend if backend in RUNTIMES else RUNTIMES[0]))
    unchecked = path.with_name(f".{path.name}.unchecked")
    try:
        write_model(model, unchecked)
        said = _compare(unchecked, path, encode_sweeps(encoder))
        num_weights, num_bytes = encoder.linear.weight.numel(), unchecked.stat().st_size
        yield Deployment(path, contract, num_bytes, num_weights, time.monotonic() - began, said)
        # A wrong description is worse than none.
        lineage_path(path).unlink(missing_ok=True)
        unchecked.replace(path)
    finally:
        unchecked.unlink(missing_ok=True)
    write_lineage(path, dict(contract.lineage))


def _compare(written: Path, path: Path, sweeps: Sequence[EncodedSweep]) -> str:
    worst, ran, missing = 0.0, [], []
    for runtime in RUNTIMES:
        try:
            backend = open_backend(written, runtime)
        except MachineError as error:
            missing.append(error.what)
            continue
        ran.append(runtime)
        for given, canvas in sweeps:
            off = float(np.abs(backend.run(given)[CANVAS] - canvas.numpy()).max())
            share = off / float(canvas.max().clamp(min=1e-30))
            if not share <= TOLERANCE:
                raise ExportError(
                    "the exported encoder computes something else than PyTorch's",
                    where=f"{path.name}, {runtime}",
                    expected=f"at most {TOLERANCE:g} of the largest value",
                    got=f"{share:g} of it, with {len(given[POINTS])} points",
                    remedy="nothing was written; this is a fault of the program or of the runtime, please report it",
                )
            worst = max(worst, share)
    if not ran:
        return f"not run here: {'; '.join(missing)}"
    said = f"but for {worst:.1g} of the largest value" if worst else "bit for bit"
    return f"the canvas is that of PyTorch {said}, in {' and '.join(ran)}"


@torch.no_grad()
def encode_sweeps(encoder: MinMaxPillarEncoder) -> list[EncodedSweep]:
    """Encode no point, one point, random points on edges of cells and out of range, and rings of level ground.

    Args:
        encoder: The encoder.

    Returns:
        What a graph is given, and what has to come out.
    """
    grid = encoder.grid
    encoded: list[EncodedSweep] = []
    for points_N4 in _sweeps(grid):
        cell_N = grid.cell_of(points_N4)
        encoded.append(({POINTS: points_N4, CELL: cell_N}, encoder(torch.from_numpy(points_N4), torch.from_numpy(cell_N))))
    return encoded


def _sweeps(grid: BevGrid) -> Iterator[npt.NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    low = np.array([grid.x_min_m, grid.y_min_m, grid.z_min_m, 0.0])
    high = low + (grid.cols * grid.cell_m, grid.rows * grid.cell_m, grid.z_max_m - grid.z_min_m, 1.0)
    margin = 0.05 * (high - low) * (1, 1, 1, 0)
    points = rng.uniform(low - margin, high + margin, (CHECK_POINTS, 4))
    steps = rng.integers(0, (grid.cols + 1, grid.rows + 1), (CHECK_POINTS // 10, 2))
    points[: len(steps), :2] = low[:2] + steps * grid.cell_m
    # What a sensor sees of level ground; sums of equal numbers round in one direction, which random ones hide.
    turn, range_m = np.meshgrid(np.linspace(-np.pi, np.pi, 900), np.geomspace(3, high[0], 40))
    flat = np.full_like(turn, -1.7)
    rings = np.stack([range_m * np.cos(turn), range_m * np.sin(turn), flat, np.full_like(turn, 0.3)], axis=-1)
    for sweep in (points[:0], points[-1:], points, rings.reshape(-1, 4)):
        yield sweep.astype(np.float32)
