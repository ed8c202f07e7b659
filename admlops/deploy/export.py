"""From a network to a file that a runtime runs."""

from __future__ import annotations

from pathlib import Path

from admlops.deploy.backends.tensorrt_backend import check_tensorrt_rules
from admlops.deploy.contract import Contract
from admlops.deploy.onnx_file import make_metadata, write_model
from admlops.deploy.onnx_writer import Encode, to_onnx
from admlops.deploy.postprocess import decode_in_graph
from admlops.deploy.processor import check_weight_bits
from admlops.errors import ExportError
from admlops.quantization.network_graph import NetworkGraph


def export(
    network: NetworkGraph,
    contract: Contract,
    path: str | Path,
    target: str,
    *,
    encode: Encode | None = None,
    target_has_vnni: bool | None = None,
) -> Path:
    """Export a network.

    Args:
        network: A quantized network, or one in floats.
        contract: Describes it; says whether the graph decodes its raw outputs.
        path: The ONNX file; written whole or not at all.
        target: Runtime that shall run it, a name in ``onnx_writer.FLAVOURS``.
        encode: Computes the map of features that the network reads, inside the graph.
        target_has_vnni: Whether the processor that shall run it has VNNI; None: it is this one.

    Returns:
        The file.

    Raises:
        ExportError: The target cannot run these integers, or the description is another network's.
        MachineError: The weights have 8 bits, and the processor would saturate.
    """
    if contract.quantization is not None:
        check_weight_bits(contract.quantization.weight_bits, target, target_has_vnni)
    model = to_onnx(
        network,
        contract.geometry.map_hw,
        target,
        encode=encode,
        postprocess=decode_in_graph(contract) if contract.decoded else None,
        metadata=make_metadata(contract, target),
    )
    written = {output.name for output in model.graph.output}
    if written != set(contract.outputs):
        raise ExportError(
            "the network and its description do not belong together",
            expected=f"outputs {', '.join(contract.outputs)}",
            got=", ".join(sorted(written)),
            remedy="export a checkpoint with the config that trained it",
        )
    if target == "tensorrt":
        check_tensorrt_rules(model, path)
    return write_model(model, path)
