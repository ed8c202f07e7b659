"""Graphs of nothing but a decoding, in both runtimes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime
import torch

from admlops.deploy.backends.openvino_backend import shared_core
from admlops.deploy.contract import BranchContract, Contract
from admlops.deploy.graph_builder import GraphBuilder
from admlops.deploy.input_geometry import Geometry
from admlops.deploy.postprocess import decode_in_graph, describe_outputs
from admlops.structures import OutputSpec


def decoding_model(
    spec: OutputSpec, allowed: Sequence[bool], raw: Mapping[str, torch.Tensor], input_hw: tuple[int, int]
) -> bytes:
    """A graph whose inputs are the raw outputs of one branch."""
    contract = Contract((BranchContract(spec, tuple(allowed)),), describe_outputs(spec), Geometry(input_hw, input_hw, 0))
    builder = GraphBuilder()
    names = {name: builder.input(f"raw.{name}", np.float32, tensor.shape) for name, tensor in raw.items()}
    decode_in_graph(contract)(builder, names, {name: tuple(tensor.shape[1:]) for name, tensor in raw.items()})
    assert list(builder.outputs) == list(contract.outputs)
    return builder.model().SerializeToString()


def run_onnxruntime(model: bytes, raw: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    found = session.run(names, {f"raw.{name}": tensor.numpy() for name, tensor in raw.items()})
    return dict(zip(names, found, strict=True))


def run_openvino(model: bytes, raw: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    core = shared_core()
    compiled = core.compile_model(core.read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled({f"raw.{name}": tensor.numpy() for name, tensor in raw.items()})
    # An output that is also an inner tensor has two names.
    return {name: found[output] for output in compiled.outputs for name in output.names}


RUNTIMES = {"onnxruntime": run_onnxruntime, "openvino": run_openvino}
