"""``CenterLtrbHead.decode`` in a graph: the best peaks of the heat map and their boxes.

The sigmoid is taken of the best logits alone. Equal logits stand in the order of the heat map, in every runtime; which of them
are left out where there are more than D is the runtime's choice.

Shape letters: K classes, H and W rows and columns of cells, D detections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from onnx import TensorProto

from admlops.deploy.graph_builder import GraphBuilder
from admlops.models.losses.set_cross_entropy import EXCLUDED_LOGIT
from admlops.quantization.network_graph import Shape
from admlops.structures import OutputSpec

OUTPUTS: Mapping[str, str] = MappingProxyType(
    {
        "boxes": "float32 (D, 4): left, top, right, bottom, px of the network's input",
        "scores": "float32 (D,): falling; a score of 0 is no detection",
        "labels": "int32 (D,): index of the class",
    }
)

_LOWEST = float(np.finfo(np.float32).min)


def write(
    builder: GraphBuilder,
    spec: OutputSpec,
    allowed: Sequence[bool],
    raw: Sequence[str],
    shapes: Sequence[Shape],
    input_hw: tuple[int, int],
) -> None:
    """Add the decoding to a graph.

    Args:
        builder: The graph.
        spec: Of the branch.
        allowed: (K,) classes that may be detected.
        raw: Class logits (1, K, H, W) and raw distances (1, 4, H, W), float32.
        shapes: Their channels, rows and columns.
        input_hw: Unused: boxes are not clipped.
    """
    del input_hw
    (logits, distances), (num_classes, rows, columns), task = raw, shapes[0], spec.task.name
    cells = rows * columns
    num_detections = min(int(spec.parameters["max_detections"]), num_classes * cells)
    excluded = builder.constant(EXCLUDED_LOGIT, np.float32)
    chosen = _peaks(builder, logits, rows, columns)
    if not all(allowed):
        chosen = builder.node("And", [chosen, builder.constant(np.array(allowed).reshape(1, -1, 1, 1))])
    peaks = builder.node("Where", [chosen, logits, excluded])
    flat = builder.node("Reshape", [peaks, builder.constant(np.array([-1]))])
    best, cell = builder.nodes("TopK", [flat, builder.constant(np.array([num_detections]))], [f"{task}.best", f"{task}.cell"])
    best, cell = _in_order(builder, best, cell, num_detections)
    # Runtimes do not let a sigmoid underflow to exactly 0.
    is_peak = builder.node("Greater", [best, excluded])
    scores = builder.node("Where", [is_peak, builder.node("Sigmoid", [best]), builder.constant(0, np.float32)])
    label, place = _divide(builder, cell, cells)
    boxes = _boxes(builder, spec, distances, place, (rows, columns))
    builder.output(f"{task}.boxes", boxes, np.float32, (num_detections, 4))
    builder.output(f"{task}.scores", scores, np.float32, (num_detections,))
    label = builder.node("Cast", [label], to=TensorProto.INT32)
    builder.output(f"{task}.labels", label, np.int32, (num_detections,))


def _peaks(builder: GraphBuilder, logits: str, rows: int, columns: int) -> str:
    """Find the cells above the four before them in their 3x3 window and not below the four after."""
    frame = builder.constant(np.array([0, 0, 1, 1] * 2))
    padded = builder.node("Pad", [logits, frame, builder.constant(_LOWEST, np.float32)])
    widest = builder.node("MaxPool", [padded], kernel_shape=[1, 3])

    def part(tensor: str, row: int, column: int) -> str:
        ends = (row + rows, column + columns)
        return builder.node("Slice", [tensor, *(builder.constant(np.array(v)) for v in ((row, column), ends, (2, 3)))])

    before = builder.node("Max", [part(widest, 0, 0), part(padded, 1, 0)])
    after = builder.node("Max", [part(widest, 2, 0), part(padded, 1, 2)])
    above = builder.node("Greater", [logits, before])
    return builder.node("And", [above, builder.node("GreaterOrEqual", [logits, after])])


def _in_order(builder: GraphBuilder, best: str, cell: str, num_detections: int) -> tuple[str, str]:
    """Sort by falling logit and rising cell: which of equal logits ``TopK`` puts first differs from runtime to runtime."""
    rows, columns = builder.constant(np.array([0])), builder.constant(np.array([1]))
    own_best, own_cell = (builder.node("Unsqueeze", [tensor, columns]) for tensor in (best, cell))
    other_best, other_cell = (builder.node("Unsqueeze", [tensor, rows]) for tensor in (best, cell))
    earlier = builder.node("And", [builder.node("Equal", [own_best, other_best]), builder.node("Less", [other_cell, own_cell])])
    before_DD = builder.node("Or", [builder.node("Less", [own_best, other_best]), earlier])
    counted = builder.node("Cast", [before_DD], to=TensorProto.FLOAT)
    rank = builder.node("ReduceSum", [counted, columns], keepdims=0)
    # Ranks are distinct.
    names = [f"{rank}.sorted", f"{rank}.order"]
    _, order = builder.nodes("TopK", [rank, builder.constant(np.array([num_detections]))], names, largest=0)
    return builder.node("Gather", [best, order]), builder.node("Gather", [cell, order])


def _boxes(builder: GraphBuilder, spec: OutputSpec, distances: str, place: str, cells_hw: tuple[int, int]) -> str:
    """Look up the distances of D cells and turn them into boxes (D, 4)."""
    rows, columns = cells_hw
    stride = spec.tensors[1].stride
    parameters = spec.parameters
    flat = builder.node("Reshape", [distances, builder.constant(np.array([4, rows * columns]))])
    raw_4D = builder.node("Gather", [flat, place], axis=1)
    limited = builder.node("Min", [raw_4D, builder.constant(parameters["max_exponent"], np.float32)])
    signed_px = builder.constant(parameters["distance_px"] * np.array([[-1], [-1], [1], [1]]), np.float32)
    offset_4D = builder.node("Mul", [builder.node("Exp", [limited]), signed_px])
    row, column = (builder.node("Cast", [index], to=TensorProto.FLOAT) for index in _divide(builder, place, columns))
    cell_4D = builder.node(
        "Concat", [builder.node("Unsqueeze", [x, builder.constant(np.array([0]))]) for x in (column, row) * 2], axis=0
    )
    middle_4D = builder.node("Add", [cell_4D, builder.constant(0.5, np.float32)])
    point_4D = builder.node("Mul", [middle_4D, builder.constant(stride, np.float32)])
    return builder.node("Transpose", [builder.node("Add", [point_4D, offset_4D])], perm=[1, 0])


def _divide(builder: GraphBuilder, index: str, divisor: int) -> tuple[str, str]:
    whole = builder.node("Div", [index, builder.constant(divisor, np.int64)])
    return whole, builder.node("Sub", [index, builder.node("Mul", [whole, builder.constant(divisor, np.int64)])])
