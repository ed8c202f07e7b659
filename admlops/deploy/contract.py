"""What an exported file tells whoever runs it: which image goes in, what comes out, and where it is from.

JSON under one key of the ONNX metadata, so that a file needs neither a config nor a checkpoint beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from admlops.deploy.input_geometry import Geometry, MapGeometry, geometry_json, read_geometry, read_map_geometry
from admlops.deploy.json_fields import ShapeError, read_all, read_fields, typed
from admlops.deploy.postprocess import describe_outputs, describe_raw_outputs
from admlops.errors import AdmlopsError, ExportError
from admlops.quantization.network_graph import Grid, NetworkGraph
from admlops.structures import OutputSpec, TensorSpec
from admlops.task_spec import TaskKind, TaskSpec

METADATA_KEY = "admlops"
VERSION = 1

_SEVEN_BITS = 63


@dataclass(frozen=True)
class BranchContract:
    """One task's outputs.

    Attributes:
        spec: The raw outputs and their decoding.
        allowed: (K,) whether a channel may be predicted; one that nobody ever labelled may not.

    Raises:
        ExportError: ``allowed`` has another length than the task's channels, or allows none.
    """

    spec: OutputSpec
    allowed: tuple[bool, ...]

    def __post_init__(self) -> None:
        if len(self.allowed) != self.spec.task.num_channels or not any(self.allowed):
            raise ExportError(
                f"{self.spec.task.name}: it is not known which channels may be predicted",
                expected=f"{self.spec.task.num_channels} values, not all False",
                got=self.allowed,
            )


@dataclass(frozen=True)
class Quantization:
    """In which integers the network computes.

    Attributes:
        weight_bits: 7 where no weight is beyond 63, so that processors without VNNI do not saturate; else 8.
        relu_range: ``u8`` where tensors behind a ReLU reach 255, else ``s8``.
        rounding: A name in ``quantization.rounding.ROUNDINGS``.
        power_of_two: Whether all scales are powers of two.
        grids: Values that each tensor can take, by name of the node that makes it.
    """

    weight_bits: int
    relu_range: str
    rounding: str
    power_of_two: bool
    grids: Mapping[str, Grid]

    @classmethod
    def of(cls, graph: NetworkGraph) -> Quantization | None:
        """Describe a network.

        Args:
            graph: Any.

        Returns:
            The description; None of a network in floats.
        """
        if graph.rounding is None:
            return None
        grids = {node.name: node.grid for node in graph.nodes if node.grid is not None}
        seven = all(int(conv.weight_OIHW.int().abs().max()) <= _SEVEN_BITS for conv in graph.convs())
        unsigned = any(grid.high > 127 for grid in grids.values())
        return cls(7 if seven else 8, "u8" if unsigned else "s8", graph.rounding, graph.power_of_two, grids)


@dataclass(frozen=True)
class Contract:
    """All that a runtime needs to know of a file.

    An image is uint8 (1, H, W, 3) BGR after the geometry, unchanged otherwise: the graph subtracts and divides itself.

    Attributes:
        branches: One a task, in the order of the network.
        outputs: What each output of the graph means, by its name.
        geometry: From the camera's image to the input; or the map of features and where it lies.
        quantization: Its integers; None of a network in floats.
        lineage: What it was made of, see ``engine.lineage.derived_lineage``; JSON values.
    """

    branches: tuple[BranchContract, ...]
    outputs: Mapping[str, str]
    geometry: Geometry | MapGeometry
    quantization: Quantization | None = None
    lineage: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def decoded(self) -> bool:
        """Whether the graph decodes its raw outputs itself."""
        return all(name in self.outputs for branch in self.branches for name in describe_outputs(branch.spec))

    @property
    def camera(self) -> Geometry:
        """The geometry of a network that reads pictures.

        Raises:
            ExportError: It reads something else.
        """
        if isinstance(self.geometry, Geometry):
            return self.geometry
        raise ExportError(
            "the file reads no pictures",
            expected="input image",
            got=", ".join(each.name for each in self.geometry.inputs),
            remedy="run it with the predictor of the plug-in (projects/) that exported it",
        )

    def to_json(self) -> str:
        """Write the contract.

        Returns:
            A JSON object.
        """
        document = {
            "version": VERSION,
            **geometry_json(self.geometry),
            "branches": [_branch_json(branch) for branch in self.branches],
            "outputs": dict(self.outputs),
            "quantization": None if self.quantization is None else _quantization_json(self.quantization),
            "lineage": dict(self.lineage),
        }
        return json.dumps(document, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, where: object = None) -> Contract:
        """Read a contract.

        Args:
            text: What ``to_json`` wrote.
            where: The file, named in the error.

        Returns:
            The contract.

        Raises:
            ExportError: It is no contract, is newer than this code, or lacks something.
        """
        try:
            return _read_contract(json.loads(text))
        except (ShapeError, AdmlopsError, ValueError) as error:
            raise ExportError(
                "the file's description of itself cannot be used",
                where=where,
                expected=f"what version {VERSION} of the format holds",
                got=error.what if isinstance(error, AdmlopsError) else error,
                remedy="export it again, or run it with the version of admlops that wrote it",
            ) from error

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], where: object) -> Contract:
        """Read the contract in an ONNX file's metadata.

        Args:
            metadata: Text by key.
            where: The file, named in the error.

        Returns:
            The contract.

        Raises:
            ExportError: There is none, or it cannot be used.
        """
        if METADATA_KEY not in metadata:
            raise ExportError(
                "the file does not say what it predicts",
                where=where,
                expected=f"ONNX metadata {METADATA_KEY!r}",
                got=", ".join(metadata) or "no metadata",
                remedy="export it with tools/deploy.py",
            )
        return cls.from_json(metadata[METADATA_KEY], where)


def make_contract(
    specs: Mapping[str, OutputSpec],
    allowed: Mapping[str, Sequence[bool]],
    geometry: Geometry | MapGeometry,
    graph: NetworkGraph,
    lineage: Mapping[str, Any] | None = None,
    *,
    decoded: bool = True,
) -> Contract:
    """Describe a network that is to be exported.

    Args:
        specs: Of the branches, by name (``MultiTaskDetector.output_specs``).
        allowed: (K,) channels that may be predicted (``Branch.allowed_classes``), by branch.
        geometry: From the camera's image to the input, or of the map of features.
        graph: The network.
        lineage: What it was made of.
        decoded: Whether the graph shall decode its raw outputs, or give them as they are.

    Returns:
        The contract.
    """
    branches = tuple(BranchContract(spec, tuple(bool(value) for value in allowed[name])) for name, spec in specs.items())
    describe = describe_outputs if decoded else describe_raw_outputs
    outputs = {name: meaning for branch in branches for name, meaning in describe(branch.spec).items()}
    return Contract(branches, outputs, geometry, Quantization.of(graph), dict(lineage or {}))


def _branch_json(branch: BranchContract) -> dict[str, Any]:
    spec = branch.spec
    task = {**asdict(spec.task), "kind": spec.task.kind.value}
    tensors = [asdict(tensor) for tensor in spec.tensors]
    parameters = dict(spec.parameters)
    described = {"task": task, "tensors": tensors, "decoding": spec.decoding, "parameters": parameters}
    return {**described, "allowed": branch.allowed}


def _quantization_json(quantization: Quantization) -> dict[str, Any]:
    def grid_json(grid: Grid) -> dict[str, float]:
        step = {"exponent": grid.exponent} if quantization.power_of_two else {"scale": grid.scale}
        return {**step, "low": grid.low, "high": grid.high}

    return {
        "weight_bits": quantization.weight_bits,
        "relu_range": quantization.relu_range,
        "rounding": quantization.rounding,
        "power_of_two": quantization.power_of_two,
        "grids": {name: grid_json(grid) for name, grid in quantization.grids.items()},
    }


def _read_contract(document: Any) -> Contract:
    version = document.get("version") if isinstance(document, dict) else None
    if version != VERSION:
        raise ShapeError(f"version {version!r}")
    given = "inputs" if "inputs" in document else "image"
    names = ("version", given, "geometry", "branches", "outputs", "quantization", "lineage")
    _, inputs, geometry, branches, outputs, quantization, lineage = read_fields(document, "contract", names)
    return Contract(
        read_all(branches, "branches", _read_branch),
        {name: typed(text, f"outputs.{name}", str) for name, text in typed(outputs, "outputs", dict).items()},
        read_geometry(inputs, geometry) if given == "image" else read_map_geometry(inputs, geometry),
        None if quantization is None else _read_quantization(quantization),
        typed(lineage, "lineage", dict),
    )


def _read_branch(value: Any, path: str) -> BranchContract:
    names = ("task", "tensors", "decoding", "parameters", "allowed")
    task, tensors, decoding, parameters, allowed = read_fields(value, path, names)
    numbers = {
        name: typed(number, f"{path}.parameters.{name}", float)
        for name, number in typed(parameters, f"{path}.parameters", dict).items()
    }
    spec = OutputSpec(
        _read_task(task, f"{path}.task"),
        read_all(tensors, f"{path}.tensors", _read_tensor),
        typed(decoding, f"{path}.decoding", str),
        MappingProxyType(numbers),
    )
    return BranchContract(spec, read_all(allowed, f"{path}.allowed", lambda each, where: typed(each, where, bool)))


def _read_task(value: Any, path: str) -> TaskSpec:
    name, kind, classes, palette = read_fields(value, path, ("name", "kind", "classes", "palette"))

    def read_color(color: Any, where: str) -> tuple[int, int, int]:
        red, green, blue = read_all(color, where, lambda each, at: typed(each, at, int))
        return red, green, blue

    return TaskSpec(
        typed(name, f"{path}.name", str),
        TaskKind(kind),
        read_all(classes, f"{path}.classes", lambda each, where: typed(each, where, str)),
        read_all(palette, f"{path}.palette", read_color),
    )


def _read_tensor(value: Any, path: str) -> TensorSpec:
    name, channels, stride, scale = read_fields(value, path, ("name", "channels", "stride", "scale"))
    return TensorSpec(
        typed(name, f"{path}.name", str),
        typed(channels, f"{path}.channels", int),
        typed(stride, f"{path}.stride", int),
        typed(scale, f"{path}.scale", float),
    )


def _read_quantization(value: Any) -> Quantization:
    names = ("weight_bits", "relu_range", "rounding", "power_of_two", "grids")
    bits, relu_range, rounding, power_of_two, grids = read_fields(value, "quantization", names)
    is_power = typed(power_of_two, "quantization.power_of_two", bool)

    def read_grid(grid: Any, path: str) -> Grid:
        step, low, high = read_fields(grid, path, ("exponent" if is_power else "scale", "low", "high"))
        scale = 2.0 ** typed(step, path, int) if is_power else typed(step, path, float)
        return Grid(scale, typed(low, f"{path}.low", int), typed(high, f"{path}.high", int))

    return Quantization(
        typed(bits, "quantization.weight_bits", int),
        typed(relu_range, "quantization.relu_range", str),
        typed(rounding, "quantization.rounding", str),
        is_power,
        {
            name: read_grid(grid, f"quantization.grids.{name}")
            for name, grid in typed(grids, "quantization.grids", dict).items()
        },
    )
