"""What the tests of conversions share."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from admlops.data_release import JsonlIndex, check_dataset_file, open_release

CAR_LINE = "Car 0.00 0 -1.57 10.00 20.00 50.00 60.00 1.5 1.6 4.0 1.0 1.5 20.0 -1.55"


def load_release(folder: Path) -> list[dict[str, Any]]:
    """Check the release file against the schema and its hash, and read the records as training does."""
    content = (folder / "training_dataset.json").read_bytes()
    assert check_dataset_file(content, folder, strict=True) == ()
    (entry,) = json.loads(content)["dataset_index"]
    index = (folder / entry["obs_path"]).read_bytes()
    (selected,) = open_release(root=folder).select(entry["task_tags"])
    records = list(JsonlIndex(selected.index_path))
    assert entry["integrity"] == {
        "sha256": hashlib.sha256(index).hexdigest(),
        "bytes": len(index),
        "num_samples": len(records),
    }
    return records


def snapshot(folder: Path) -> dict[str, bytes]:
    """All files of a folder by relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def points_in_boxes(record: dict[str, Any], task: str) -> np.ndarray:
    """Count the points of a record's sweep in each of its boxes."""
    lidar = record["lidar"]
    points_N3 = np.fromfile(lidar["path"], lidar["dtype"]).reshape(-1, lidar["num_features"])[:, :3].astype(np.float64)
    counts = []
    for x, y, z, length, width, height, yaw in record["labels"][task]["boxes_3d"]:
        from_centre = points_N3 - (x, y, z)
        along = from_centre @ (np.cos(yaw), np.sin(yaw), 0)
        across = from_centre @ (-np.sin(yaw), np.cos(yaw), 0)
        inside = (abs(along) <= length / 2) & (abs(across) <= width / 2) & (abs(from_centre[:, 2]) <= height / 2)
        counts.append(int(inside.sum()))
    return np.array(counts)
