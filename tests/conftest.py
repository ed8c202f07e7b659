"""Fixtures that several parts share: tiny releases on disk, made by hand."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

H, W = 72, 128
META = {
    "release_name": "Tiny",
    "consumer_version": "v1.0.0",
    "bundle_versions": ["v1.0.0-20251017-100000"],
    "version": "v1.0.0",
}


def entry(name, tasks, duplicate=1):
    return {
        "name": name,
        "obs_path": f"{name}.jsonl",
        "bundle_versions": META["bundle_versions"],
        "duplicate": duplicate,
        "task_tags": tasks,
    }


def write_tiny_release(root: Path, num_samples: int = 8) -> Path:
    """Two sources of noise pictures: ``boxes`` labels the detection tasks, ``masks`` the segmentation tasks."""
    rng = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    det = ["det_cyclist_light", "det_person", "det_rear", "det_vehicle_sign"]
    seg = ["seg_default", "seg_lane"]
    classes = {
        "det_cyclist_light": ["cyclist", "traffic_light"],
        "det_person": ["person"],
        "det_rear": ["vehicle_rear", "vehicle_head"],
        "det_vehicle_sign": ["vehicle", "traffic_sign"],
    }
    for name, tasks in (("boxes", det), ("masks", seg)):
        lines = []
        for i in range(num_samples):
            stem = f"{name}_{i}"
            image = rng.integers(0, 255, (H, W, 3), dtype=np.uint8)
            labels = {}
            for task in tasks:
                if task in det:
                    x, y = 8 + 4 * i, 8 + 2 * i
                    cv2.rectangle(image, (x, y), (x + 32, y + 24), (255, 255, 255), -1)
                    box = [x, y, x + 32, y + 24]
                    labels[task] = {"boxes": [box] * len(classes[task]), "categories": classes[task]}
                else:
                    mask = np.repeat(np.arange(H, dtype=np.uint8)[:, None] // (H // 4), W, axis=1)
                    cv2.imwrite(str(root / "images" / f"{stem}_{task}.png"), mask)
                    labels[task] = {"mask": f"images/{stem}_{task}.png"}
            cv2.imwrite(str(root / "images" / f"{stem}.png"), image)
            picture = {"path": f"images/{stem}.png", "width": W, "height": H}
            lines.append(json.dumps({"sample_id": stem, "image": picture, "labels": labels}))
        (root / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    index = {"meta": META | {"tasks": det + seg}, "dataset_index": [entry("boxes", det), entry("masks", seg)]}
    (root / "training_dataset.json").write_text(json.dumps(index, indent=2))
    return root


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """No test reads or fills the user's cache."""
    os.environ["ADMLOPS_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def tiny_release(tmp_path_factory) -> Path:
    return write_tiny_release(tmp_path_factory.mktemp("tiny"))


def write_tiny_sweeps(root: Path, num_samples: int = 4) -> Path:
    """Sweeps that look the same from all sides: rings of five kinds of ground from 2.6 m on, a wall at 5 m, then ground."""
    radius_m = np.arange(2.6, 6.6, 0.1)
    r, angle = (values.ravel() for values in np.meshgrid(radius_m, np.linspace(0, 2 * np.pi, 360, endpoint=False)))
    # PointClass: 1 to 5 are road, parking, sidewalk, other ground, terrain; 7 is static.
    classes = 1 + ((r - 2.55) // 0.4).astype(int) % 5
    z = np.full(len(r), -1.7)
    is_wall = (r > 4.95) & (r < 5.15)
    classes[is_wall], z[is_wall] = 7, -1.0
    points = np.stack([r * np.cos(angle), r * np.sin(angle), z, classes / 10], axis=1).astype("<f4")
    root.mkdir(parents=True, exist_ok=True)
    tasks = ["god_base", "god_hd", "drivable_2cls", "drivable_multi"]
    lines = []
    for i in range(num_samples):
        points.tofile(root / f"{i}.bin")
        (classes.astype("<u4") | (is_wall.astype("<u4") << 16)).tofile(root / f"{i}.label")
        lidar = {"path": f"{i}.bin", "dtype": "float32", "num_features": 4, "origin": [0.0, 0.0, 0.0]}
        label = {"point_labels": f"{i}.label", "taxonomy": "rendered"}
        record = {"sample_id": f"sweep_{i}", "lidar": lidar, "labels": dict.fromkeys(tasks, label)}
        lines.append(json.dumps(record))
    (root / "sweeps.jsonl").write_text("\n".join(lines) + "\n")
    index = {"meta": META | {"tasks": tasks}, "dataset_index": [entry("sweeps", tasks)]}
    (root / "training_dataset.json").write_text(json.dumps(index, indent=2))
    return root


@pytest.fixture(scope="session")
def tiny_sweeps(tmp_path_factory) -> Path:
    return write_tiny_sweeps(tmp_path_factory.mktemp("sweeps"))
