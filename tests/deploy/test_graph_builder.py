"""Names, constants and outputs of a graph that is written node by node."""

import numpy as np
import onnx
import pytest
from runtimes import run_onnxruntime

from admlops.deploy.graph_builder import GraphBuilder
from admlops.errors import ExportError


def test_a_graph_computes_what_was_written():
    builder = GraphBuilder()
    image = builder.input("image", np.uint8, (1, 2, 2))
    values = builder.node("Cast", [image], to=onnx.TensorProto.FLOAT)
    flat = builder.node("Reshape", [values, builder.constant([4], np.int64)])
    best, where = builder.nodes("TopK", [flat, builder.constant([2], np.int64)], ["best", "where"])
    builder.output("best", best, np.float32, (2,))
    builder.output("index", where, np.int64, (2,))
    model = builder.model({"key": "value"})
    onnx.checker.check_model(model, full_check=True)
    results = run_onnxruntime(model, np.array([[3, 9], [7, 1]], np.uint8))
    assert list(results) == ["best", "index"]
    assert results["best"].tolist() == [9.0, 7.0]
    assert results["index"].tolist() == [1, 2]
    assert {each.key: each.value for each in model.metadata_props} == {"key": "value"}


def test_equal_constants_are_stored_once():
    builder = GraphBuilder()
    assert builder.constant(1, np.int8) == builder.constant(np.int8(1))
    # Equal bytes of another type or shape are others.
    assert len({builder.constant(np.zeros(shape, dtype)) for shape in ((4,), (2, 2)) for dtype in (np.int8, np.uint8)}) == 4
    assert builder.constant(np.arange(4).reshape(2, 2).T) != builder.constant(np.arange(4).reshape(2, 2))


def test_two_outputs_of_one_name_are_refused():
    builder = GraphBuilder()
    builder.input("image", np.uint8, (1,))
    builder.output("same", "image", np.uint8, (1,))
    with pytest.raises(ExportError, match="one name") as caught:
        builder.output("same", "image", np.uint8, (1,))
    assert "same" in str(caught.value)
