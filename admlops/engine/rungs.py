"""The rungs from a float checkpoint to a runtime: which backends can compute what a checkpoint holds, and what they need of it.

==================  ==============================================================
backend             computes
==================  ==============================================================
``torch``           a float checkpoint
``qat``             a checkpoint that simulates integers
``integer``         its integers, in the reference
a runtime           its integers, or a float checkpoint, exported
==================  ==============================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from admlops.deploy.backends.backend import BACKENDS as RUNTIMES
from admlops.deploy.contract import Contract, make_contract
from admlops.deploy.input_geometry import Geometry, GraphInput, MapGeometry
from admlops.deploy.onnx_writer import CANVAS, IMAGE
from admlops.engine.checkpoint import read_checkpoint
from admlops.engine.steps import NetworkState, build_network, float_state
from admlops.errors import CheckpointError, ConfigError, ExportError, nearest
from admlops.layers import NetworkInput
from admlops.models.detectors import MultiTaskDetector
from admlops.quantization import IntegerNetwork, NetworkGraph, float_graph, integer_graph
from admlops.quantization.layer_kinds import conv_parts, kind_of
from admlops.quantization.network_graph import FeatureInputNode
from admlops.registry import MODELS

TORCH, QAT, INTEGER = "torch", "qat", "integer"
BACKENDS = (TORCH, QAT, INTEGER, *RUNTIMES)
"""All rungs that a metric can be measured on."""
_COMPUTED_BY: Mapping[str, tuple[str, ...]] = {
    TORCH: (TORCH, *RUNTIMES),
    QAT: (QAT, INTEGER, *RUNTIMES),
    INTEGER: (INTEGER, *RUNTIMES),
}


def choose_backend(checkpoint: Mapping[str, Any], path: str | Path, backend: str | None = None) -> str:
    """Choose the backend for a checkpoint, or check the one that was asked for.

    Args:
        checkpoint: Content of the file.
        path: The file, for messages.
        backend: A name in ``BACKENDS``; by default the one that computes the checkpoint as it is.

    Returns:
        The backend.

    Raises:
        ConfigError: There is no such backend.
        CheckpointError: It cannot compute the checkpoint.
    """
    if backend is not None and backend not in BACKENDS:
        raise ConfigError("there is no such backend", got=backend, remedy=nearest(backend, BACKENDS))
    state = NetworkState.of_checkpoint(checkpoint)
    own = INTEGER if "structure" in (checkpoint.get("meta") or {}) else TORCH if state.quantization is None else QAT
    if backend is None:
        return own
    if backend not in _COMPUTED_BY[own]:
        raise CheckpointError(
            f"the backend {backend} cannot compute a checkpoint of step {state.step}",
            where=path,
            expected=f"--backend {' or '.join(_COMPUTED_BY[own])}",
            got=f"--backend {backend}",
            remedy="run the steps of the config's solver up to the one that the backend is for" if own == TORCH else None,
        )
    return backend


@dataclass(frozen=True, eq=False)
class ExportableNetwork:
    """What a checkpoint holds, as plain data.

    Attributes:
        graph: The network: integers, or floats with BN folded.
        detector: Reads its raw outputs, makes its input where that is no picture; of a float graph also the network itself.
        checkpoint: Content of the file.
    """

    graph: NetworkGraph
    detector: MultiTaskDetector
    checkpoint: Mapping[str, Any]

    @property
    def reads_map(self) -> bool:
        """Whether it reads a map of features that the detector makes, and no pictures."""
        return any(isinstance(node, FeatureInputNode) for node in self.graph.nodes)

    @torch.no_grad()
    def read(self, inputs: Any) -> Tensor:
        """Make what the network reads of one sample.

        Args:
            inputs: What the pipeline packed: uint8 picture (3, H, W), or arrays by name.

        Returns:
            The picture (1, 3, H, W) as it is; or the map of features, float32 (1, C, H, W).
        """
        if not self.reads_map:
            picture: Tensor = inputs[None]
            return picture
        packed = {"inputs": {name: [value] for name, value in inputs.items()}, "data_samples": None}
        return self.detector.quantized_input(self.detector.data_preprocessor(packed)["inputs"])

    def arrays(self, given: Tensor) -> dict[str, NDArray[Any]]:
        """Turn what ``read`` gives into what an export of this network is given.

        Args:
            given: Of ``read``.

        Returns:
            Arrays by the names of the graph's inputs.
        """
        if self.reads_map:
            return {CANVAS: given.numpy()}
        return {IMAGE: given.to(torch.uint8).permute(0, 2, 3, 1).numpy()}

    def geometry(self, given: Tensor) -> Geometry | MapGeometry:
        """Describe an export for inputs of this size, as they are.

        Args:
            given: Of ``read``.

        Returns:
            The geometry.
        """
        size = self.detector.input_hw(given)
        if not self.reads_map:
            return Geometry(size, size, 0)
        _, channels, rows, columns = given.shape
        return MapGeometry(size, (rows, columns), (GraphInput(CANVAS, "float32", (1, channels, rows, columns)),))

    def contract(
        self, geometry: Geometry | MapGeometry, lineage: Mapping[str, Any] | None = None, *, decoded: bool = True
    ) -> Contract:
        """Describe an export.

        Args:
            geometry: From the camera's image to the input, or of the map of features.
            lineage: What the export is made of.
            decoded: Whether the graph decodes its raw outputs.

        Returns:
            The description.

        Raises:
            ModelError: A branch has a head of mmdet or mmseg, whose raw outputs nobody else can read.
            ExportError: The geometry is a camera's, and the network reads no pictures.
        """
        if self.reads_map and isinstance(geometry, Geometry):
            raise ExportError(
                "the network reads no pictures, so it has no camera to be exported for",
                expected=f"a network that begins with {NetworkInput.__name__}",
                got=type(self.detector).__name__,
                remedy="export it with the tool of the project that it comes from",
            )
        specs = self.detector.output_specs()
        allowed = {name: self.detector.branches[name].allowed_classes.tolist() for name in specs}
        return make_contract(specs, allowed, geometry, self.graph, lineage, decoded=decoded)


def read_exportable(cfg: Config, path: str | Path) -> ExportableNetwork:
    """Read a checkpoint whose network has no BN left to be absorbed.

    Args:
        cfg: The config that it was trained with.
        path: A checkpoint of the float step, of the last quantized one, or of the conversion.

    Returns:
        The network.

    Raises:
        CheckpointError: Missing, damaged, of another network, or of a step in between.
        QuantizationError: The network cannot be a graph, or its sums could overflow.
        ConfigError: The network has no branches, as one of another package.
    """
    checkpoint = read_checkpoint(path)
    network: Any = build_network(cfg, path)
    if not isinstance(network, (IntegerNetwork, MultiTaskDetector)):
        raise ConfigError(
            f"a {type(network).__name__} can be trained and tested here, not exported or turned into integers",
            where=cfg.filename,
            expected="a MultiTaskDetector: its branches say what their outputs are",
            remedy="export it with mmdeploy or the tools of the package that it comes from",
        )
    if isinstance(network, IntegerNetwork):
        return ExportableNetwork(network.graph, _reader_of(cfg, network.graph, checkpoint, path), checkpoint)
    state = NetworkState.of_checkpoint(checkpoint)
    if state.quantization is None:
        return ExportableNetwork(float_graph(network), network, checkpoint)
    left = [name for name, module in network.named_modules() if isinstance(module, _BatchNorm)]
    if left:
        raise CheckpointError(
            f"the network of step {state.step} still has BN layers, so it has no integers yet",
            where=path,
            expected="a checkpoint of the last step that trains, or of the conversion behind it",
            got=f"{len(left)} BN layers, such as {left[0]}",
            remedy="run the steps that follow in the config's solver; --backend qat measures this one",
        )
    return ExportableNetwork(integer_graph(network), network, checkpoint)


def _reader_of(cfg: Config, graph: NetworkGraph, checkpoint: Mapping[str, Any], path: str | Path) -> MultiTaskDetector:
    """Build the config's network for its heads; integers hold none."""
    with DefaultScope.overwrite_default_scope("admlops"):
        detector: MultiTaskDetector = MODELS.build(cfg.model)
    allowed: Mapping[str, Any] = checkpoint["meta"].get("allowed_classes") or {}
    floats: Mapping[str, Tensor] = checkpoint.get("float_state_dict") or {}
    wanted = float_state(detector)
    misfits = sorted(set(allowed) ^ set(detector.branches))
    misfits += [name for name in sorted({*floats, *wanted}) if _size(floats.get(name)) != _size(wanted.get(name))]
    convs = {name: module for name, module in detector.named_modules() if kind_of(module) == "conv"}
    misfits += [node.name for node in graph.convs() if _shape(convs.get(node.name)) != node.weight_OIHW.shape]
    misfits += [f"classes of {name}" for name, seen in allowed.items() if len(seen) != _num_channels(detector, name)]
    if misfits:
        raise CheckpointError(
            "the checkpoint does not fit the config's network",
            where=path,
            expected="branches, convolutions and parts in floats of the config's model",
            got=f"{len(misfits)} others, such as {misfits[0]}",
            remedy="give the config that the checkpoint was trained with",
        )
    for name, values in allowed.items():
        detector.branches[name].seen.copy_(torch.tensor(values))
    detector.load_state_dict(floats, strict=False)
    detector.eval()
    return detector


def _num_channels(detector: MultiTaskDetector, branch: str) -> int | None:
    return detector.branches[branch].task.num_channels if branch in detector.branches else None


def _size(tensor: Tensor | None) -> object:
    return None if tensor is None else tensor.shape


def _shape(module: nn.Module | None) -> object:
    parts = None if module is None else conv_parts(module)
    return None if parts is None or isinstance(parts, str) else parts.conv.weight.shape
