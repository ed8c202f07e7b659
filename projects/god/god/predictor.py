"""Runs an exported lidar network on the points of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from admlops.deploy.backends import open_backend
from admlops.deploy.contract import Contract
from admlops.deploy.input_geometry import MapGeometry
from admlops.deploy.onnx_writer import CANVAS
from admlops.deploy.prediction import SegmentationMask
from admlops.deploy.predictor import read_outputs
from admlops.errors import ExportError, RecordError
from admlops.task_spec import TaskSpec
from god.encoder_graph import CELL, POINTS, encoder_path
from god.geometry import BevGrid
from god.point_cloud import PointCloud
from god.transforms import SanitizePoints

_WHERE = "the call of a BevPredictor"


@dataclass(frozen=True, eq=False)
class BevPrediction:
    """All tasks of one sweep.

    Attributes:
        masks: By task, on the cells of the grid: row = y, column = x; with the probability of the second of two classes.
        point_counts: Points that were ``read``; and those that are ``not_finite``, on the ``ego`` vehicle, or ``out_of_range``:
            nothing else is dropped.
    """

    masks: Mapping[str, SegmentationMask]
    point_counts: Mapping[str, int]


class BevPredictor:
    """An exported lidar network with its decoding, from points on. May be used by several threads at once.

    Attributes:
        backend: The runtime with the network.
        contract: What the file says of itself.
        grid: Where its cells lie.

    Args:
        path: An exported file. One that begins with points needs nothing else.
        backend: Name of a runtime; by default the one that the file was written for.
        threads: Threads of one prediction; by default the runtime's choice.
        encoder: Of a file that begins with the canvas: the encoder, which was written beside it. It runs in ONNX Runtime, or
            where that was the file's runtime in OpenVINO.

    Raises:
        ExportError: A file is missing or damaged, cannot be run, or gives raw outputs; or the two do not belong together.
        MachineError: The runtime is not installed.
    """

    def __init__(
        self,
        path: str | Path,
        backend: str | None = None,
        threads: int | None = None,
        encoder: str | Path | None = None,
    ) -> None:
        options: dict[str, Any] = {} if threads is None else {"threads": threads}
        self.backend = open_backend(path, backend, **options)
        self.contract = self.backend.contract
        _require_network(self.contract, path, (POINTS, CELL) if encoder is None else (CANVAS,))
        self._encoder = None if encoder is None else open_backend(encoder, **options)
        if self._encoder is not None:
            _require_pair(self._encoder.contract, self.contract, encoder)
        frame = _frame_of(self.contract)
        try:
            self.grid = BevGrid(**frame["grid"])
            self._sanitize = SanitizePoints(**frame["sanitize"])
        except (KeyError, TypeError) as error:
            raise ExportError(
                "the file does not say where its cells lie", where=path, got=error, remedy="export the network again"
            ) from error

    @property
    def tasks(self) -> tuple[TaskSpec, ...]:
        """The tasks, in the order of the network."""
        return tuple(branch.spec.task for branch in self.contract.branches)

    def __call__(
        self,
        points: npt.NDArray[np.floating[Any]],
        origin: Sequence[float] | npt.NDArray[np.number[Any]] = (0.0, 0.0, 0.0),
        intensity_max: float = 1.0,
    ) -> BevPrediction:
        """Predict on a sweep.

        Args:
            points: (N, 3 or more) x, y, z in m and, where it is known, intensity, as a record's ``lidar`` describes them.
            origin: The sensor in the points' frame: x, y, z in m.
            intensity_max: Intensity that the network shall see as 1.

        Returns:
            The prediction.

        Raises:
            RecordError: ``points`` holds none, too many of them are not finite, ``origin`` is not a place, or ``intensity_max``
                not a scale.
        """
        _require_points(points)
        cloud = PointCloud.of_array(points, _read_origin(origin), _read_scale(intensity_max))
        given = {"cloud": cloud, "record_where": None, "lidar_path": "the array", "point_counts": {"read": len(cloud)}}
        results: dict[str, Any] = self._sanitize(given)
        kept: PointCloud = results["cloud"]
        cell_N = self.grid.cell_of(kept.points_N4)
        arrays: Mapping[str, npt.NDArray[Any]] = {POINTS: kept.points_N4, CELL: cell_N}
        if self._encoder is not None:
            arrays = self._encoder.run(arrays)
        outputs = self.backend.run(arrays)
        meta = {"ori_shape": self.grid.shape, "img_shape": self.grid.shape, "input_from_original": np.eye(3)}
        found = read_outputs(self.contract, outputs, meta)
        outside = int(np.count_nonzero(cell_N == self.grid.num_cells))
        return BevPrediction(found.masks, {**results["point_counts"], "out_of_range": outside})


def _require_network(contract: Contract, path: str | Path, wanted: tuple[str, ...]) -> None:
    """Refuse a file that predicts nothing, or does not begin with what it is given."""
    names = [each.name for each in contract.geometry.inputs]
    if not contract.branches:
        raise ExportError(
            "the file is an encoder alone",
            where=path,
            expected="the network behind it",
            remedy="give that network as the path, and this file as encoder=",
        )
    if set(names) != set(wanted):
        remedies = {
            CANVAS: f"give the encoder that was written beside it: encoder={str(encoder_path(path))!r}",
            POINTS: "leave encoder= away: the file holds its own",
        }
        raise ExportError(
            f"the file does not begin with {' and '.join(wanted)}",
            where=path,
            got=f"inputs {', '.join(names)}",
            remedy=remedies.get(names[0]),
        )
    if not contract.decoded:
        raise ExportError(
            "the file gives raw outputs",
            where=path,
            expected="masks",
            got=", ".join(contract.outputs),
            remedy="export it without --raw-outputs",
        )


def _require_pair(encoder: Contract, network: Contract, path: str | Path | None) -> None:
    """Refuse an encoder of another grid or checkpoint: its canvas has the same shape, and means something else."""
    if set(encoder.outputs) != {CANVAS}:
        wrong: tuple[str, Any, Any] = "no encoder", CANVAS, ", ".join(encoder.outputs)
    elif _frame_of(encoder) != _frame_of(network):
        wrong = "of another grid than the network", _frame_of(network).get("grid"), _frame_of(encoder).get("grid")
    elif _sources_of(encoder) != _sources_of(network):
        wrong = "of another checkpoint than the network", _sources_of(network), _sources_of(encoder)
    else:
        return
    what, expected, got = wrong
    raise ExportError(
        f"the encoder is {what}",
        where=path,
        expected=expected,
        got=got,
        remedy="give the file ...-encoder.onnx that was written beside the network",
    )


def _frame_of(contract: Contract) -> Mapping[str, Any]:
    return contract.geometry.frame if isinstance(contract.geometry, MapGeometry) else {}


def _sources_of(contract: Contract) -> list[str]:
    """Name the checkpoints that a file was made of, by their hashes."""
    return [parent["sha256"] for parent in contract.lineage.get("parents", ())]


def _require_points(points: object) -> None:
    if not isinstance(points, np.ndarray):
        got = type(points).__name__
    elif points.ndim != 2 or points.shape[1] < 3 or not np.issubdtype(points.dtype, np.floating):
        got = f"{points.dtype} of shape {points.shape}"
    else:
        return
    raise RecordError(
        "points: an array holds no points",
        where=_WHERE,
        expected="a numpy array of floats of shape (N, 3 or more)",
        got=got,
        remedy="np.asarray(points, dtype=np.float32) makes one of a list or of a tensor on the CPU",
    )


def _read_origin(origin: object) -> list[float]:
    values = _numbers_of(origin)
    if values.shape != (3,) or not np.isfinite(values).all():
        raise RecordError(
            "origin: not a place",
            where=_WHERE,
            expected="three finite numbers",
            got=repr(origin),
            remedy="give x, y, z of the sensor in the points' frame, in m",
        )
    origin_m: list[float] = values.tolist()
    return origin_m


def _read_scale(intensity_max: object) -> float:
    values = _numbers_of(intensity_max)
    if values.shape != () or not 0 < values < np.inf:
        raise RecordError(
            "intensity_max: not a scale",
            where=_WHERE,
            expected="a finite number above 0",
            got=repr(intensity_max),
            remedy="give the largest intensity that the sensor writes, such as 255, or 1 where it writes 0 to 1",
        )
    return float(values)


def _numbers_of(value: object) -> npt.NDArray[np.float64]:
    """Read a number, or a sequence or array of them; a single NaN in place of anything else."""
    try:
        values = np.asarray(value)
    except (TypeError, ValueError):  # rows of several lengths, or a tensor that lies elsewhere
        values = np.array(None)
    return values.astype(np.float64) if values.dtype.kind in "iuf" else np.array(np.nan)
