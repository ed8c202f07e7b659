"""From raw outputs to predictions, inside the exported graph: one file a decoding, named like ``OutputSpec.decoding``.

Each is the ``decode`` of a head once more, in the operators that every runtime is fast at. May import what ``deploy`` may.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from admlops.deploy.graph_builder import GraphBuilder
from admlops.deploy.postprocess import argmax, center_ltrb
from admlops.errors import ExportError, nearest
from admlops.quantization.network_graph import Shape
from admlops.structures import OutputSpec

if TYPE_CHECKING:
    from admlops.deploy.contract import Contract
    from admlops.deploy.onnx_writer import Postprocess

__all__ = ["DECODINGS", "Decoding", "decode_in_graph", "describe_outputs", "describe_raw_outputs"]


@dataclass(frozen=True)
class Decoding:
    """One way to decode raw outputs.

    Attributes:
        write: Adds it to a graph: builder, specification, channels that may be predicted, name and shape of each raw output,
            height and width of the input; declares ``<task>.<output>`` for each of ``outputs``.
        outputs: Meaning by the last part of the name, of a specification.
    """

    write: Callable[
        [GraphBuilder, OutputSpec, Sequence[bool], Sequence[str], Sequence[Shape], tuple[int, int]],
        None,
    ]
    outputs: Callable[[OutputSpec], Mapping[str, str]]


DECODINGS: Mapping[str, Decoding] = {
    "argmax": Decoding(argmax.write, argmax.outputs),
    "center_ltrb": Decoding(center_ltrb.write, lambda _: center_ltrb.OUTPUTS),
}


def decode_in_graph(contract: Contract) -> Postprocess:
    """Make what ``to_onnx`` puts behind the raw outputs.

    Args:
        contract: Names the branches, their decodings and the input's size.

    Returns:
        Declares the outputs that ``describe_outputs`` names.
    """

    def write(builder: GraphBuilder, raw: Mapping[str, str], shapes: Mapping[str, Shape]) -> None:
        for branch in contract.branches:
            names = [tensor.name for tensor in branch.spec.tensors]
            tensors, sizes = [raw[name] for name in names], [shapes[name] for name in names]
            decoding = _decoding_of(branch.spec)
            decoding.write(builder, branch.spec, branch.allowed, tensors, sizes, contract.geometry.input_hw)

    return write


def describe_outputs(spec: OutputSpec) -> dict[str, str]:
    """Name the decoded outputs of a branch.

    Args:
        spec: Of the branch.

    Returns:
        Meaning by name.

    Raises:
        ExportError: The decoding cannot be exported.
    """
    return {f"{spec.task.name}.{name}": meaning for name, meaning in _decoding_of(spec).outputs(spec).items()}


def describe_raw_outputs(spec: OutputSpec) -> dict[str, str]:
    """Name the raw outputs of a branch.

    Args:
        spec: Of the branch.

    Returns:
        Meaning by name.
    """
    return {
        tensor.name: f"float32 (1, {tensor.channels}, h, w): raw, {tensor.stride} px of the network's input a cell"
        for tensor in spec.tensors
    }


def _decoding_of(spec: OutputSpec) -> Decoding:
    if spec.decoding not in DECODINGS:
        raise ExportError(
            f"{spec.task.name}: no graph can decode its outputs",
            expected=f"one of {', '.join(DECODINGS)}",
            got=repr(spec.decoding),
            remedy=nearest(spec.decoding, DECODINGS),
        )
    return DECODINGS[spec.decoding]
