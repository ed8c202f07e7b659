"""Writes an ONNX graph node by node; the names of tensors are its only currency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from admlops.errors import ExportError

OPSET = 21
"""The first opset whose cases all runtimes here take; shapes and Q/DQ follow its rules."""
IR_VERSION = 10
"""The file format that belongs to this opset; older runtimes refuse a newer one."""
CHIP_OPSET, CHIP_IR_VERSION = 13, 7
"""The first opset with quantizers of channels, which the compilers of chips take, and its file format."""


class GraphBuilder:
    """Collects nodes and constants, and makes a model of them.

    Attributes:
        inputs: Name, element type and shape of each graph input.
        outputs: Names of the graph outputs, in order; each is a tensor that a node makes.
    """

    def __init__(self) -> None:
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: dict[str, onnx.ValueInfoProto] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._counts: dict[str, int] = {}

    def input(self, name: str, dtype: np.dtype[Any] | type, shape: Sequence[int | str]) -> str:
        """Declare a graph input.

        Args:
            name: Its name.
            dtype: NumPy element type.
            shape: Its shape; a name for a size that each call may choose.

        Returns:
            The name.
        """
        self.inputs.append(helper.make_tensor_value_info(name, _element_type(dtype), list(shape)))
        return name

    def constant(self, values: NDArray[Any] | float | int, dtype: np.dtype[Any] | type | None = None) -> str:
        """Store a constant; equal ones are stored once.

        Args:
            values: Array or number.
            dtype: NumPy element type, the array's own by default.

        Returns:
            Name of the tensor.
        """
        array = np.array(values, dtype=dtype, order="C")
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self._unique("constant")
            self._initializers.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def node(self, op: str, inputs: Sequence[str], name: str | None = None, **attributes: Any) -> str:
        """Add a node that makes one tensor.

        Args:
            op: Operator of the standard ONNX domain.
            inputs: Names of its operands; "" leaves an optional one out.
            name: Name of its result; by default one made from the operator.
            **attributes: Attributes of the operator.

        Returns:
            Name of its result.
        """
        return self.nodes(op, inputs, (name or self._unique(op),), **attributes)[0]

    def nodes(self, op: str, inputs: Sequence[str], names: Sequence[str], **attributes: Any) -> tuple[str, ...]:
        """Add a node that makes several tensors, such as ``TopK``.

        Args:
            op: Operator of the standard ONNX domain.
            inputs: Names of its operands.
            names: Names of its results.
            **attributes: Attributes of the operator.

        Returns:
            The names of its results.
        """
        self._nodes.append(helper.make_node(op, list(inputs), list(names), name=names[0], **attributes))
        return tuple(names)

    def output(self, name: str, tensor: str, dtype: np.dtype[Any] | type, shape: Sequence[int | None]) -> None:
        """Declare a graph output.

        Args:
            name: Its name.
            tensor: Name of the tensor that it shows.
            dtype: NumPy element type.
            shape: Its shape; None for what is known at run time only.

        Raises:
            ExportError: There is an output of this name already.
        """
        if name in self.outputs:
            raise ExportError("two outputs of a graph have one name", got=name)
        if name != tensor:
            self.node("Identity", [tensor], name)
        self.outputs[name] = helper.make_tensor_value_info(name, _element_type(dtype), list(shape))

    def model(self, metadata: Mapping[str, str] | None = None, *, for_chips: bool = False) -> onnx.ModelProto:
        """Put the model together.

        Args:
            metadata: What is stored beside the graph, text by key.
            for_chips: Whether it is written in the older opset; its nodes have to be of that.

        Returns:
            The model.
        """
        graph = helper.make_graph(self._nodes, "admlops", self.inputs, list(self.outputs.values()), self._initializers)
        opset, ir_version = (CHIP_OPSET, CHIP_IR_VERSION) if for_chips else (OPSET, IR_VERSION)
        opsets = [helper.make_opsetid("", opset)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=ir_version, producer_name="admlops")
        helper.set_model_props(model, dict(metadata or {}))
        return model

    def _unique(self, stem: str) -> str:
        self._counts[stem] = self._counts.get(stem, 0) + 1
        return f"{stem}.{self._counts[stem]}"


def _element_type(dtype: np.dtype[Any] | type) -> int:
    element_type: int = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    if element_type == TensorProto.UNDEFINED:
        raise ExportError("ONNX has no such element type", got=dtype)
    return element_type
