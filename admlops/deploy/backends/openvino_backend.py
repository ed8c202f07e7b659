"""OpenVINO on the processor."""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from admlops.deploy.backends.backend import Backend, import_runtime
from admlops.deploy.onnx_file import ExportedModel
from admlops.errors import ExportError


@functools.cache
def shared_core() -> Any:
    """Load OpenVINO, once for the process.

    Compiling gives the calling thread a signal stack that goes with its ``Core``; where a thread has used two, it is left with
    the one that is freed, and its next signal (a loader's worker that ends) is fatal: seen with OpenVINO 2026.4.1. A Core that
    stays frees nothing.

    Returns:
        The ``openvino.Core``.

    Raises:
        MachineError: OpenVINO is not installed.
    """
    return import_runtime("openvino").Core()


class OpenVinoBackend(Backend):
    """Runs a file with OpenVINO.

    Args:
        model: What the file holds.
        threads: Threads of one call; 0: all cores.

    Raises:
        ExportError: The runtime refuses the file.
        MachineError: The runtime is not installed.
    """

    def __init__(self, model: ExportedModel, *, threads: int = 0) -> None:
        super().__init__(model)
        # Where a processor has bfloat16, that is the default: it would round what is not integer.
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        core = shared_core()
        try:
            self._compiled = core.compile_model(core.read_model(model.data), "CPU", settings)
        except RuntimeError as error:
            raise ExportError("OpenVINO refuses the file", where=model.path, got=error) from error
        # By position: a tensor may have several names there.
        self._names = model.output_names
        self._requests = threading.local()

    def _run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        # A request holds the tensors of one run, so each thread has its own.
        if not hasattr(self._requests, "request"):
            self._requests.request = self._compiled.create_infer_request()
        results = self._requests.request.infer(list(inputs.values()))
        return {name: results[index] for index, name in enumerate(self._names)}
