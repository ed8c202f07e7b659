"""Runs a model in a runtime as it is, without the package's backends around it."""

import numpy as np
import onnxruntime

from admlops.deploy.backends.openvino_backend import shared_core

LEVELS = onnxruntime.GraphOptimizationLevel


def run_onnxruntime(model, pixels, level=LEVELS.ORT_ENABLE_ALL, optimized_path=None):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if optimized_path is not None:
        options.optimized_model_filepath = str(optimized_path)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    (given,) = session.get_inputs()
    return dict(zip(names, session.run(names, {given.name: pixels[np.newaxis]}), strict=True))


def run_openvino(model, pixels, precision="f32"):
    core = shared_core()
    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": 1}
    compiled = core.compile_model(core.read_model(model.SerializeToString()), "CPU", settings)
    results = compiled(pixels[np.newaxis])
    # One tensor may have several names there, so the order tells which it is.
    return {output.name: results[index] for index, output in enumerate(model.graph.output)}
