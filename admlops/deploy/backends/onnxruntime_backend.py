"""ONNX Runtime on the processor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from admlops.deploy.backends.backend import Backend, import_runtime
from admlops.deploy.onnx_file import ExportedModel
from admlops.errors import ConfigError, ExportError, nearest

WARNINGS_AND_WORSE = 2


class OnnxRuntimeBackend(Backend):
    """Runs a file with ONNX Runtime.

    Args:
        model: What the file holds.
        threads: Threads of one call; 0: all cores.
        optimization: How far the graph is rewritten, ``none`` or ``all``; integers are the same either way.

    Raises:
        ConfigError: There is no such optimization.
        ExportError: The runtime refuses the file.
        MachineError: The runtime is not installed.
    """

    def __init__(self, model: ExportedModel, *, threads: int = 0, optimization: str = "all") -> None:
        super().__init__(model)
        runtime = import_runtime("onnxruntime")
        levels = {"none": runtime.GraphOptimizationLevel.ORT_DISABLE_ALL, "all": runtime.GraphOptimizationLevel.ORT_ENABLE_ALL}
        if optimization not in levels:
            raise ConfigError("ONNX Runtime has no such optimization", got=optimization, remedy=nearest(optimization, levels))
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.graph_optimization_level = levels[optimization]
        options.log_severity_level = WARNINGS_AND_WORSE
        # Waiting threads that spin take the processor from everything beside them.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = runtime.InferenceSession(model.data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors have no common base
            raise ExportError("ONNX Runtime refuses the file", where=model.path, got=error) from error
        self._names = [output.name for output in self._session.get_outputs()]

    def _run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return dict(zip(self._names, self._session.run(self._names, dict(inputs)), strict=True))
