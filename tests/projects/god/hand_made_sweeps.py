"""Sweeps of a few points on flat ground, written by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from admlops.point_class import PointClass
from god.geometry import BevGrid
from god.rasterize import LabelledSweep

GROUND_Z_M = -1.7
SMALL = BevGrid(x_min_m=-4.0, y_min_m=-4.0, cell_m=0.2, rows=40, cols=40)
FIELDS = {"x_min_m": -4.0, "y_min_m": -4.0, "cell_m": 0.2, "rows": 40, "cols": 40}
ORIGIN = np.zeros(3)


def put(x: float, y: float, height_m: float, point_class: PointClass, count: int = 1) -> list[list[float]]:
    """``count`` points at one place, ``height_m`` above flat ground."""
    return [[x, y, GROUND_Z_M + height_m, point_class]] * count


def floor(half_m: float = 4.0, point_class: PointClass = PointClass.ROAD, grid: BevGrid = SMALL) -> list[list[float]]:
    """A ground point at the centre of each cell within ``half_m`` of the sensor."""
    x_m, y_m = grid.centres_m()
    return [put(x, y, 0.0, point_class)[0] for x in x_m for y in y_m if abs(x) < half_m and abs(y) < half_m]


def make_sweep(rows: list[list[float]], grid: BevGrid = SMALL, ego_radius_m: float = 0.0) -> LabelledSweep:
    array = np.array(rows, dtype=np.float64).reshape(-1, 4)
    return LabelledSweep(grid, array[:, :3].astype(np.float32), array[:, 3].astype(np.uint8), ORIGIN, ego_radius_m)


def at(mask: np.ndarray, x: float, y: float, grid: BevGrid = SMALL) -> int:
    """Value of the cell in which (x, y) lies."""
    col, row = np.floor(grid.to_px(np.array([[x, y]]))[0]).astype(int)
    return int(mask[row, col])


def write_sweep(folder: Path, points: Any, labels: Any = None, origin: Any = (0.0, 0.0, 0.0), **lidar: Any) -> dict[str, Any]:
    """Write points (N, 4) and labels to files; the record's ``lidar``."""
    folder.mkdir(parents=True, exist_ok=True)
    np.asarray(points, dtype=np.dtype(lidar.get("dtype", "float32"))).tofile(folder / "sweep.bin")
    if labels is not None:
        np.asarray(labels, dtype="<u4").tofile(folder / "sweep.label")
    return {"path": "sweep.bin", "dtype": "float32", "num_features": 4, "origin": list(origin), **lidar}


def write_lidar_release(root: Path, record: dict[str, Any]) -> Path:
    (root / "index.jsonl").write_text(json.dumps(record) + "\n")
    versions = ["v1.0.0-20260101-000000"]
    meta = {"release_name": "t", "consumer_version": "v1.0.0", "version": "v1.0.0", "bundle_versions": versions}
    entry = {"name": "one", "obs_path": "index.jsonl", "bundle_versions": versions, "duplicate": 1}
    entry["task_tags"] = list(record["labels"])
    document = {"meta": meta | {"tasks": list(record["labels"])}, "dataset_index": [entry]}
    (root / "training_dataset.json").write_text(json.dumps(document))
    return root
