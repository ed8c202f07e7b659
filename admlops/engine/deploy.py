"""From a checkpoint to a file that a runtime runs: what ``tools/deploy.py`` calls."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData
from numpy.typing import NDArray

from admlops.data_release.lineage import lineage_path
from admlops.deploy.backends.backend import open_backend
from admlops.deploy.contract import Contract
from admlops.deploy.export import export
from admlops.deploy.input_geometry import Geometry
from admlops.deploy.onnx_writer import IMAGE, Encode
from admlops.deploy.predictor import read_outputs
from admlops.engine.config import load_config
from admlops.engine.export_geometry import export_geometry
from admlops.engine.lineage import derived_lineage, write_lineage
from admlops.engine.rungs import TORCH, ExportableNetwork, choose_backend, read_exportable
from admlops.engine.steps import NetworkState
from admlops.errors import CheckpointError, ExportError, MachineError
from admlops.quantization import IntegerNetwork
from admlops.structures import MultiTaskDataSample

FLOAT_TOLERANCE = 1e-3
"""Relative to the largest raw output: runtimes sum floats in another order."""
SCORE_TOLERANCE = 1e-4
MASK_TOLERANCE = 1e-3
"""Part of the pixels whose best two channels are equal but for the last bit."""


@dataclass(frozen=True)
class Tolerance:
    """How far a runtime may be from what a file was made of; by default nowhere, bit for bit.

    Attributes:
        relative: By which part of the largest raw output any value may differ.
        share: Which part of the values may differ, by anything.
    """

    relative: float = 0.0
    share: float = 0.0

    def __str__(self) -> str:
        if self.relative:
            return f"at most {self.relative:g} of the largest value"
        return f"equality, but for {self.share:g} of the values" if self.share else "equality, bit for bit"


@dataclass(frozen=True, eq=False)
class Check:
    """What a file is asked before it gets its name.

    Attributes:
        given: Inputs of the graph by name.
        expected: Raw outputs by name.
        tolerance: How far they may be apart.
        encode: What the file computes before the network.
    """

    given: Mapping[str, NDArray[Any]]
    expected: Mapping[str, torch.Tensor]
    tolerance: Tolerance
    encode: Encode | None = None


@dataclass(frozen=True)
class Deployment:
    """An exported file.

    Attributes:
        path: The file.
        contract: What it says of itself.
        num_bytes: Its size.
        num_weights: Weights of its convolutions: int8, or float32 in a float export.
        seconds: What writing and checking took.
        checked: What was compared, or why it could not be.
    """

    path: Path
    contract: Contract
    num_bytes: int
    num_weights: int
    seconds: float
    checked: str


def deploy(
    config: str | Path,
    checkpoint: str | Path,
    backend: str,
    input_hw: tuple[int, int],
    *,
    as_float: bool = False,
    raw_outputs: bool = False,
    out: str | Path | None = None,
    target_has_vnni: bool | None = None,
    options: Mapping[str, Any] | None = None,
) -> Deployment:
    """Export a checkpoint, run the file where its runtime is installed, and compare a picture.

    Args:
        config: Config file that it was trained with.
        checkpoint: Of the conversion, of the last quantized step, or (``as_float``) of the float step.
        backend: Runtime that shall run it.
        input_hw: Height and width of the camera's images, px.
        as_float: Export floats.
        raw_outputs: Leave the decoding out of the graph.
        out: The file; by default beside the checkpoint, see ``default_path``.
        target_has_vnni: Whether the processor that shall run it has VNNI; None: it is this one.
        options: Config values by dotted path.

    Returns:
        What was written. Nothing is where anything failed.

    Raises:
        ConfigError: The config cannot be used, or knows no input for such images.
        CheckpointError: The checkpoint is missing, does not fit, or is of a step that has nothing to export.
        ModelError: A head of mmdet or mmseg cannot be exported.
        ExportError: The runtime cannot run the network, or computes something else.
        MachineError: The processor would saturate.
    """
    began = time.monotonic()
    cfg = load_config(config, options)
    network = read_exportable(cfg, checkpoint)
    state = NetworkState.of_checkpoint(network.checkpoint)
    is_float = choose_backend(network.checkpoint, checkpoint) == TORCH
    if is_float != as_float:
        raise CheckpointError(
            "the checkpoint holds floats, integers were asked for" if is_float else "the checkpoint holds integers, not floats",
            where=checkpoint,
            expected="a float checkpoint" if as_float else "a checkpoint of a quantized step",
            got=f"one of step {state.step}",
            remedy="--float exports the floats; tools/quanti_training_2step_fusion_bn.sh makes integers of them"
            if is_float
            else "leave --float away, or give a checkpoint of the float step",
        )
    path = default_path(checkpoint, backend, input_hw) if out is None else Path(out)
    lineage = derived_lineage("exported", {checkpoint: network.checkpoint}, path)
    contract = network.contract(export_geometry(cfg, input_hw), lineage, decoded=not raw_outputs)
    return write_checked(network, contract, path, backend, [camera_check(network, contract)], began, target_has_vnni)


def write_checked(
    network: ExportableNetwork,
    contract: Contract,
    path: Path,
    backend: str,
    checks: Sequence[Check],
    began: float,
    target_has_vnni: bool | None = None,
) -> Deployment:
    """Write a file, and its lineage, once it has proved to compute what it was made of.

    Args:
        network: What it is made of.
        contract: What it says of itself.
        path: The file.
        backend: Its runtime.
        checks: What it is asked; all encode alike.
        began: ``time.monotonic`` of the beginning.
        target_has_vnni: Whether the processor that shall run it has VNNI; None: it is this one.

    Returns:
        What was written. Nothing is where anything failed.

    Raises:
        ExportError: The runtime cannot run the network, or computes something else.
        MachineError: The processor would saturate.
    """
    unchecked = path.with_name(f".{path.name}.unchecked")
    try:
        export(network.graph, contract, unchecked, backend, encode=checks[0].encode, target_has_vnni=target_has_vnni)
        checked = check_export(network, contract, unchecked, backend, checks, target_has_vnni)
        # A wrong description is worse than none.
        lineage_path(path).unlink(missing_ok=True)
        unchecked.replace(path)
    finally:
        unchecked.unlink(missing_ok=True)
    write_lineage(path, dict(contract.lineage))
    num_weights = sum(conv.weight_OIHW.numel() for conv in network.graph.convs())
    return Deployment(path, contract, path.stat().st_size, num_weights, time.monotonic() - began, checked)


def default_path(checkpoint: str | Path, backend: str, input_hw: tuple[int, int]) -> Path:
    """Name an export after its checkpoint.

    Args:
        checkpoint: Such as ``int-inference-last.pth``.
        backend: The runtime.
        input_hw: Height and width of the camera's images, px.

    Returns:
        Such as ``int-inference-export-last-openvino-1080x1920.onnx``, in the same folder.
    """
    step, dash, which = Path(checkpoint).stem.rpartition("-")
    name = f"{step}-export-{which}" if dash else f"{which}-export"
    return Path(checkpoint).with_name(f"{name}-{backend}-{input_hw[0]}x{input_hw[1]}.onnx")


def check_export(
    network: ExportableNetwork,
    contract: Contract,
    path: Path,
    backend: str,
    checks: Sequence[Check],
    target_has_vnni: bool | None = None,
) -> str:
    """Run a file, and compare it with what it was made of.

    Args:
        network: What it was made of.
        contract: What it says of itself.
        path: The file.
        backend: Its runtime.
        checks: What it is asked; all encode alike.
        target_has_vnni: What the file was exported with.

    Returns:
        What was compared, or why it could not be.

    Raises:
        ExportError: The file computes something else, or cannot be run.
    """
    try:
        runner = open_backend(path, backend)
        answers = [runner.run(check.given) for check in checks]
    except MachineError as error:
        return f"not run here: {error.what}" + (f". {error.got}" if backend == "tensorrt" else "")
    raw = answers if not contract.decoded else _raw_outputs(network, contract, backend, checks, target_has_vnni)
    for check, found in zip(checks, raw, strict=True):
        for name, expected in check.expected.items():
            _require_equal(name, expected.numpy(), found[name], path, check.tolerance)
    said = "equal to the integer reference" if network.graph.quantized else "equal to PyTorch but for the order of sums"
    if share := max(check.tolerance.share for check in checks):
        said += f", but for at most {share:.1%} of the values"
    number = len(checks[0].expected)
    if not contract.decoded:
        return f"{number} raw outputs are {said}"
    for check, outputs in zip(checks, answers, strict=True):
        _require_same_predictions(network, contract, check.expected, outputs, path)
    return f"{number} raw outputs are {said}; decoded in the graph they are what the heads decode"


def camera_check(network: ExportableNetwork, contract: Contract) -> Check:
    """Ask for a picture of noise.

    Args:
        network: What a file is made of; it reads pictures.
        contract: What the file says of itself.

    Returns:
        The picture, and what has to come out.
    """
    image_HW3 = np.random.default_rng(0).integers(0, 256, (*contract.camera.input_hw, 3), dtype=np.uint8)
    tolerance = Tolerance() if network.graph.quantized else Tolerance(relative=FLOAT_TOLERANCE)
    return Check({IMAGE: image_HW3[None]}, _reference(network, image_HW3), tolerance)


@torch.no_grad()
def _reference(network: ExportableNetwork, image_HW3: NDArray[np.uint8]) -> dict[str, torch.Tensor]:
    image_BCHW = torch.from_numpy(image_HW3).permute(2, 0, 1)[None]
    if network.graph.quantized:
        return IntegerNetwork(network.graph)(image_BCHW)  # type: ignore[no-any-return]
    return network.detector.raw_outputs((image_BCHW.float() - 128) / 128)


def _raw_outputs(
    network: ExportableNetwork, contract: Contract, backend: str, checks: Sequence[Check], has_vnni: bool | None
) -> list[dict[str, NDArray[Any]]]:
    """Export once more without decoding, which leaves no raw output to look at."""
    with TemporaryDirectory(prefix="admlops-") as folder:
        bare = network.contract(contract.geometry, decoded=False)
        path = Path(folder) / "raw.onnx"
        export(network.graph, bare, path, backend, encode=checks[0].encode, target_has_vnni=has_vnni)
        runner = open_backend(path, backend)
        return [runner.run(check.given) for check in checks]


def _require_equal(name: str, expected: NDArray[Any], found: NDArray[Any], path: Path, tolerance: Tolerance) -> None:
    worst, wrong = float(np.abs(expected - found).max()), np.count_nonzero(expected != found)
    near = worst <= tolerance.relative * float(np.abs(expected).max())
    if not near and wrong > tolerance.share * expected.size:
        raise ExportError(
            "the exported file computes something else than the network",
            where=f"{path.name}: {name}",
            expected=tolerance,
            got=f"{wrong} of {expected.size} values differ, by up to {worst:g}",
            remedy="nothing was written; this is a fault of the program or of the runtime, please report it",
        )


def _require_same_predictions(
    network: ExportableNetwork,
    contract: Contract,
    reference: Mapping[str, torch.Tensor],
    outputs: Mapping[str, NDArray[Any]],
    path: Path,
) -> None:
    hw = contract.geometry.input_hw
    meta = {"ori_shape": hw, "img_shape": hw, "input_from_original": np.eye(3)}
    (sample,) = network.detector.interpret(reference, [MultiTaskDataSample(metainfo=meta)], hw)
    # Of equal scores runtimes choose others, so boxes are compared by their scores; every box that might be seen counts.
    found = read_outputs(contract, outputs, meta).to_elements()
    for name, expected in sample.pred.task_items():
        got = found.get(name)
        if isinstance(expected, InstanceData):
            pairs = len(expected.scores), len(got.scores)
            same = abs(pairs[0] - pairs[1]) <= max(1, round(MASK_TOLERANCE * pairs[0])) and torch.allclose(
                expected.scores.sort().values[-min(pairs) :], got.scores.sort().values[-min(pairs) :], atol=SCORE_TOLERANCE
            )
            what = f"{pairs[1]} detections instead of {pairs[0]}, or others"
        else:
            wrong = float((expected.data != got.data).float().mean())
            same, what = wrong <= MASK_TOLERANCE, f"{100 * wrong:.3g} % of the pixels differ"
        if not same:
            raise ExportError(
                "the exported graph decodes something else than the head",
                where=f"{path.name}: {name}",
                got=what,
                remedy="nothing was written; this is a fault of the program or of the runtime, please report it",
            )


def summarise(deployment: Deployment) -> str:
    """Describe an export for people.

    Args:
        deployment: What was written.

    Returns:
        Lines of text.
    """
    contract = deployment.contract
    geometry, quantization = contract.geometry, contract.quantization
    inputs = ", ".join(f"{each.name} {each.dtype} ({', '.join(map(str, each.shape))})" for each in geometry.inputs)
    if isinstance(geometry, Geometry):
        original, size = ("x".join(map(str, hw)) for hw in (geometry.original_hw, geometry.input_hw))
        inputs += f" BGR: camera {original} -> {size}"
    kind = "float32" if quantization is None else f"int8 ({quantization.weight_bits} bits)"
    rows = {
        "input": inputs,
        "outputs": "\n            ".join(f"{name}: {meaning}" for name, meaning in contract.outputs.items()),
        "weights": f"{deployment.num_weights:,} {kind}",
        "size": f"{deployment.num_bytes:,} bytes, written and checked in {deployment.seconds:.1f} s",
        "checked": deployment.checked,
    }
    return "\n".join([str(deployment.path), *(f"  {name + ':':<10}{text}" for name, text in rows.items())])
