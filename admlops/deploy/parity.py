"""Counts integers that differ between the simulation, the integer reference and the runtimes, tensor by tensor.

Runtimes are asked twice: as they are deployed, and with every quantized tensor as an output ("tapped"), since asking for a
tensor keeps a runtime from fusing it away. Tapped tensors are compared as floats: both sides are ``q * scale``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from admlops.deploy.backends.backend import Backend, open_backend
from admlops.deploy.contract import Contract, Quantization
from admlops.deploy.input_geometry import Geometry, GraphInput, MapGeometry
from admlops.deploy.onnx_file import make_metadata, write_model
from admlops.deploy.onnx_writer import CANVAS, to_onnx
from admlops.errors import ExportError
from admlops.quantization import IntegerNetwork, NetworkGraph

Tensors = Mapping[str, NDArray[Any]]
"""Values (1, C, H, W) by name: raw outputs, and tapped nodes as ``node:<name>``."""
Input = NDArray[np.uint8] | NDArray[np.float32]
"""What a network reads: a picture, uint8 (H, W, 3); or a map of features, float32 (C, H, W)."""
Run = Callable[[Input], Tensors]

TAP = "node:"


@dataclass(frozen=True)
class Variant:
    """One way to run a network in a runtime.

    Attributes:
        name: For people.
        runtime: The runtime.
        tapped: Whether every quantized tensor is an output.
        options: Of the backend.
    """

    name: str
    runtime: str
    tapped: bool
    options: Mapping[str, Any]


VARIANTS = (
    Variant("onnxruntime", "onnxruntime", False, {}),
    Variant("onnxruntime, tapped", "onnxruntime", True, {}),
    Variant("onnxruntime, not optimized", "onnxruntime", True, {"optimization": "none"}),
    Variant("openvino", "openvino", False, {}),
    Variant("openvino, tapped", "openvino", True, {}),
)
"""Every way that has to give the same integers."""


@dataclass(frozen=True)
class Comparison:
    """One computation against the reference, over all pictures.

    Attributes:
        name: What was compared.
        integers: Values of quantized tensors that were compared; 0 where only raw outputs are seen.
        differing_integers: Those that differ.
        raw: Values of raw outputs.
        differing_raw: Those that differ.
        worst: Count by tensor, of those that differ.
    """

    name: str
    integers: int
    differing_integers: int
    raw: int
    differing_raw: int
    worst: Mapping[str, int]

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not (self.differing_integers or self.differing_raw)


@dataclass(frozen=True)
class ParityReport:
    """What differs from the reference.

    Attributes:
        reference: Name of the computation that the others were compared with.
        pictures: Number of pictures.
        comparisons: One a computation.
    """

    reference: str
    pictures: int
    comparisons: tuple[Comparison, ...]

    @property
    def equal(self) -> bool:
        """Whether nothing differs anywhere."""
        return all(comparison.equal for comparison in self.comparisons)

    def of(self, name: str) -> tuple[Comparison, ...]:
        """Select the comparisons of one backend.

        Args:
            name: ``integer``, or a runtime.

        Returns:
            Those of all its variants.
        """
        return tuple(each for each in self.comparisons if each.name.partition(",")[0] == name)


def compare(
    graph: NetworkGraph,
    pictures: Iterable[Input],
    *,
    simulation: nn.Module | None = None,
    runtimes: Sequence[str] = ("onnxruntime", "openvino"),
) -> ParityReport:
    """Compare all computations of a network on pictures.

    Args:
        graph: The integers.
        pictures: Network inputs: pictures (H, W, 3), BGR, or maps of features (C, H, W).
        simulation: The prepared network that the integers were made of; it is the reference where it is given, else the
            integer reference is.
        runtimes: Which are run.

    Returns:
        The counts.

    Raises:
        ExportError: The graph is in floats, or there is no picture.
        MachineError: A runtime is not installed, or the processor would saturate.
    """
    if not graph.quantized:
        raise ExportError("only integers can be compared bit by bit", got="a network in floats")
    taps = [node.name for node in graph.nodes if node.grid is not None]
    integers = IntegerNetwork(graph)
    runs: dict[str, Run] = {"integer": lambda picture: _run_integers(integers, taps, picture)}
    reference, count = "integer", 0
    counters: dict[str, Counter[str]] = {}
    with TemporaryDirectory(prefix="admlops-") as folder:
        for variant in (each for each in VARIANTS if each.runtime in runtimes):
            runs[variant.name] = _SizedRuns(graph, variant, taps, Path(folder))
        if simulation is not None:
            reference, watched = "qat", simulation
            runs = {"qat": lambda picture: _run_simulation(watched, taps, picture), **runs}
        for picture in pictures:
            expected = runs[reference](picture)
            for name, run in runs.items():
                if name != reference:
                    _count(counters.setdefault(name, Counter()), expected, run(picture))
            count += 1
    if not count:
        raise ExportError("there is no picture to compare on", where="the test data", got="no sample")
    return ParityReport(reference, count, tuple(_summary(name, counter) for name, counter in counters.items()))


def _count(counter: Counter[str], expected: Tensors, found: Tensors) -> None:
    for name, values in found.items():
        counter[f"of {name}"] += values.size
        counter[name] += int(np.count_nonzero(values != expected[name]))


def _summary(name: str, counter: Counter[str]) -> Comparison:
    totals = {"of": [0, 0], "wrong": [0, 0]}
    for key, number in counter.items():
        kind, tensor = ("of", key[3:]) if key.startswith("of ") else ("wrong", key)
        totals[kind][tensor.startswith(TAP)] += number
    worst = {key: number for key, number in counter.most_common() if number and not key.startswith("of ")}
    return Comparison(name, totals["of"][1], totals["wrong"][1], totals["of"][0], totals["wrong"][0], worst)


def _planes(picture: Input) -> Tensor:
    planes = torch.from_numpy(np.ascontiguousarray(picture))
    return (planes.permute(2, 0, 1) if picture.dtype == np.uint8 else planes)[None]


def _run_integers(network: IntegerNetwork, taps: Sequence[str], picture: Input) -> Tensors:
    values = network.run(_planes(picture))
    raw = {name: values[node].to_float().numpy() for name, node in network.graph.outputs.items()}
    return raw | {f"{TAP}{name}": values[name].to_float().numpy() for name in taps}


@torch.no_grad()
def _run_simulation(network: nn.Module, taps: Sequence[str], picture: Input) -> Tensors:
    found: dict[str, NDArray[Any]] = {}

    def note(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(module: nn.Module, given: Any, output: Tensor) -> None:
            found[f"{TAP}{name}"] = output.cpu().numpy()

        return hook

    handles = [network.get_submodule(name).register_forward_hook(note(name)) for name in taps]
    device = next(network.parameters()).device
    planes = _planes(picture).to(device)
    try:
        outputs: Mapping[str, Tensor] = network((planes.float() - 128) / 128 if picture.dtype == np.uint8 else planes)
    finally:
        for handle in handles:
            handle.remove()
    return found | {name: output.cpu().numpy() for name, output in outputs.items()}


class _SizedRuns:
    """Runs one variant; pictures may have several sizes."""

    def __init__(self, graph: NetworkGraph, variant: Variant, taps: Sequence[str], folder: Path) -> None:
        self._graph = graph
        self._variant = variant
        self._taps = taps if variant.tapped else ()
        self._folder = folder
        self._opened: dict[tuple[int, ...], Backend] = {}

    def __call__(self, picture: Input) -> Tensors:
        if picture.shape not in self._opened:
            self._opened[picture.shape] = self._open(picture)
        backend = self._opened[picture.shape]
        (given,) = backend.contract.geometry.inputs
        found = backend.run({given.name: picture[np.newaxis]})
        return {f"{TAP}{name}" if name in self._taps else name: values for name, values in found.items()}

    def _open(self, picture: Input) -> Backend:
        _, _, height, width = _planes(picture).shape
        input_hw = (height, width)
        of_map = (GraphInput(CANVAS, "float32", (1, *picture.shape)),)
        geometry = Geometry(input_hw, input_hw, 0) if picture.dtype == np.uint8 else MapGeometry(input_hw, input_hw, of_map)
        runtime = self._variant.runtime
        outputs = dict.fromkeys(self._graph.outputs, "raw")
        contract = Contract((), outputs, geometry, Quantization.of(self._graph))
        model = to_onnx(self._graph, input_hw, runtime, taps=self._taps, metadata=make_metadata(contract, runtime))
        path = write_model(model, self._folder / f"{self._variant.name}-{input_hw[0]}x{input_hw[1]}.onnx")
        return open_backend(path, runtime, **self._variant.options)
