"""OpenVINO on the processor."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from admlops.deploy.backends.backend import Backend, import_runtime
from admlops.deploy.onnx_file import ExportedModel
from admlops.errors import ExportError


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
        runtime = import_runtime("openvino")
        # Where a processor has bfloat16, that is the default: it would round what is not integer.
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        core = runtime.Core()
        try:
            self._compiled = core.compile_model(core.read_model(model.data), "CPU", settings)
        except RuntimeError as error:
            raise ExportError("OpenVINO refuses the file", where=model.path, got=error) from error
        # By position: a tensor may have several names there.
        self._names = model.output_names
        self._requests = threading.local()

    def _run(self, image_1HW3: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        # A request holds the tensors of one run, so each thread has its own.
        if not hasattr(self._requests, "request"):
            self._requests.request = self._compiled.create_infer_request()
        results = self._requests.request.infer([image_1HW3])
        return {name: results[index] for index, name in enumerate(self._names)}
