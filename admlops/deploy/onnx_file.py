"""Exported files: written whole or not at all, read with every fault named before a runtime sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from admlops.deploy.contract import METADATA_KEY, Contract
from admlops.errors import ExportError

TARGET_KEY = "admlops.target"
"""ONNX metadata that names the runtime for which the file was written."""


@dataclass(frozen=True, eq=False)
class ExportedModel:
    """What a file holds.

    Attributes:
        path: The file.
        data: Its bytes.
        contract: What it says of itself.
        target: Runtime for which it was written.
    """

    path: Path
    data: bytes
    contract: Contract
    target: str

    @property
    def output_names(self) -> list[str]:
        """The graph's outputs, in order."""
        return [output.name for output in onnx.load_model_from_string(self.data).graph.output]


def write_model(model: onnx.ModelProto, path: str | Path) -> Path:
    """Check a model and store it, in one piece.

    Args:
        model: The model.
        path: File that it becomes; an older one is replaced.

    Returns:
        The file.

    Raises:
        ExportError: The model is none that ONNX allows.
    """
    path = Path(path)
    check_model(model, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.tmp")
    try:
        scratch.write_bytes(model.SerializeToString())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
    return path


def read_model(path: str | Path) -> ExportedModel:
    """Read an exported file.

    Args:
        path: The file.

    Returns:
        What it holds.

    Raises:
        ExportError: There is none, or it is truncated, no ONNX file, or none that this package wrote.
    """
    path = Path(path)
    if not path.is_file():
        raise ExportError("there is no such file", where=path, remedy="export a network with tools/deploy.py")
    data = path.read_bytes()
    try:
        model = onnx.load_model_from_string(data)
    except DecodeError as error:
        raise ExportError(
            "the file is truncated, or no ONNX file",
            where=path,
            got=f"{len(data)} bytes: {error}",
            remedy="copy it again, or export it again with tools/deploy.py",
        ) from error
    check_model(model, path)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    contract = Contract.from_metadata(metadata, path)
    return ExportedModel(path, data, contract, metadata.get(TARGET_KEY, ""))


def check_model(model: onnx.ModelProto, where: object) -> None:
    """Let ONNX check a model, with the shapes of all its tensors.

    Args:
        model: The model.
        where: The file, named in the error.

    Raises:
        ExportError: It is not valid.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        fault = str(error).strip().splitlines()
        raise ExportError(
            "the file is truncated, or no valid ONNX model",
            where=where,
            got=fault[0] if fault else type(error).__name__,
            remedy="export it again with tools/deploy.py",
        ) from error


def make_metadata(contract: Contract, target: str) -> Mapping[str, str]:
    """Make what is stored beside the graph.

    Args:
        contract: Describes the network.
        target: Runtime for which the file is written.

    Returns:
        Text by key.
    """
    return {METADATA_KEY: contract.to_json(), TARGET_KEY: target}
