"""TensorRT on NVIDIA's GPUs, and what its files have to be like, which is checked wherever it is not installed."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from admlops.deploy.backends.backend import Backend, import_runtime
from admlops.deploy.onnx_file import ExportedModel
from admlops.errors import ExportError, MachineError

NEWEST_OPSET = 21
SIGNED = "signed integers around zero: set relu_range = 's8' in the config's quantization and train again from step 1"


def check_tensorrt_rules(model: onnx.ModelProto, where: object = None) -> str:
    """Check what TensorRT asks of a file; an engine is built where the file is opened with it.

    Args:
        model: The file's model.
        where: The file, named in the error.

    Returns:
        What was checked and what was not, for people.

    Raises:
        ExportError: TensorRT would refuse the file.
    """
    opset = max(each.version for each in model.opset_import if not each.domain)
    if opset > NEWEST_OPSET:
        raise ExportError("TensorRT does not read this opset", where=where, expected=f"at most {NEWEST_OPSET}", got=opset)
    if scatter := next((node for node in model.graph.node if node.op_type == "ScatterElements"), None):
        raise ExportError(
            "TensorRT refuses ScatterElements with more indices than outputs: points in cells",
            where=where,
            expected="a file that begins behind whatever scatters",
            got=f"{scatter.output[0]}, inputs {', '.join(each.name for each in model.graph.input)}",
            remedy="export the network from its canvas on (--canvas), and encode the points outside of TensorRT",
        )
    constants = {each.name: each for each in model.graph.initializer}
    quantizers = [node for node in model.graph.node if node.op_type in {"QuantizeLinear", "DequantizeLinear"}]
    for node in quantizers:
        zero = onnx.numpy_helper.to_array(constants[node.input[2]])
        if zero.dtype != np.int8 or zero.any():
            got = f"{zero.dtype} around {zero.max()} in {node.name}"
            raise ExportError("TensorRT knows signed integers around zero only", where=where, got=got, remedy=SIGNED)
    makers = {node.output[0]: node for node in quantizers}
    for conv in (node for node in model.graph.node if node.op_type == "Conv" and node.input[1] in makers):
        weights = makers[conv.input[1]]
        channels, scales = constants[weights.input[0]].dims[0], constants[weights.input[1]].dims
        if list(scales) != [channels]:
            expected = f"{channels} scales, one a channel"
            raise ExportError("weights have no scale of each channel", where=conv.name, expected=expected, got=list(scales))
    checked = f"opset {opset}, {len(quantizers)} quantizers: signed, around zero, weights by channel"
    return f"Checked against TensorRT's rules ({checked}); not run: no engine is built before a machine with TensorRT opens it."


class TensorRtBackend(Backend):
    """Builds an engine of a file, and runs it.

    Args:
        model: What the file holds.

    Raises:
        MachineError: TensorRT, or a GPU, is missing; the file was checked against its rules.
        ExportError: TensorRT refuses the file.
    """

    def __init__(self, model: ExportedModel) -> None:
        super().__init__(model)
        checked = check_tensorrt_rules(onnx.load_model_from_string(model.data), model.path)
        try:
            runtime = import_runtime("tensorrt")
        except MachineError as error:
            raise MachineError(error.what, where=model.path, got=checked, remedy=error.remedy) from error
        if not torch.cuda.is_available():
            raise MachineError("TensorRT needs an NVIDIA GPU, PyTorch finds none", where=model.path, got=checked)
        logger = runtime.Logger(runtime.Logger.WARNING)
        self._engine = runtime.Runtime(logger).deserialize_cuda_engine(_build(runtime, logger, model))
        self._context = self._engine.create_execution_context()
        # One context runs one image at a time.
        self._lock = threading.Lock()
        self._outputs = {
            name: torch.empty(
                tuple(self._engine.get_tensor_shape(name)),
                dtype=torch.from_numpy(np.empty(0, runtime.nptype(self._engine.get_tensor_dtype(name)))).dtype,
                device="cuda",
            )
            for name in model.output_names
        }

    def _run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        with self._lock:
            given = {name: torch.from_numpy(array).cuda() for name, array in inputs.items()}
            for name, tensor in {**given, **self._outputs}.items():
                self._context.set_tensor_address(name, tensor.data_ptr())
            stream = torch.cuda.current_stream()
            self._context.execute_async_v3(stream.cuda_stream)
            stream.synchronize()
            return {name: tensor.cpu().numpy() for name, tensor in self._outputs.items()}


def _build(runtime: Any, logger: Any, model: ExportedModel) -> Any:
    """Build an engine in the types that the file states."""
    builder = runtime.Builder(logger)
    network = builder.create_network(1 << int(runtime.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = runtime.OnnxParser(network, logger)
    if not parser.parse(model.data):
        faults = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        raise ExportError("TensorRT refuses the file", where=model.path, got=faults)
    config = builder.create_builder_config()
    config.clear_flag(runtime.BuilderFlag.TF32)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ExportError("TensorRT builds no engine of the file, its log says why", where=model.path)
    return engine
