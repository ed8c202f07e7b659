"""Tiny releases, written file by file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

Record = dict[str, Any]


def make_record(sample_id: str, image: str, hw: tuple[int, int], labels: Mapping[str, Any]) -> Record:
    return {"sample_id": sample_id, "image": {"path": image, "width": hw[1], "height": hw[0]}, "labels": dict(labels)}


def write_image(path: Path, hw: tuple[int, int], seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 16, 3), dtype=np.uint8)
    cv2.imwrite(str(path), cv2.resize(coarse, (hw[1], hw[0])))


def write_release(root: Path, entries: Sequence[Mapping[str, Any]], tasks: Sequence[str] | None = None) -> Path:
    """``entries``: name, records, optional duplicate and task_tags. Index files lie at <name>/index.jsonl."""
    meta: dict[str, Any] = {
        "release_name": "test",
        "consumer_version": "v1.0.0",
        "version": "v1.0.0",
        "bundle_versions": ["v1.0.0-20260101-000000"],
    }
    if tasks is not None:
        meta["tasks"] = list(tasks)
    index = []
    for entry in entries:
        path = root / entry["name"] / "index.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(record) + "\n" for record in entry["records"]))
        kept = {key: entry[key] for key in ("name", "duplicate", "task_tags") if key in entry}
        index.append(kept | {"obs_path": f"{entry['name']}/index.jsonl", "bundle_versions": meta["bundle_versions"]})
    (root / "training_dataset.json").write_text(json.dumps({"meta": meta, "dataset_index": index}))
    return root


def people(name: str, count: int, **entry: Any) -> dict[str, Any]:
    """An entry of ``count`` records ``<name>-<i>``, without a person in any."""
    label = {"det_person": {"boxes": [], "categories": []}}
    return {"name": name, "records": [make_record(f"{name}-{i}", "x.jpg", (4, 4), label) for i in range(count)], **entry}


def make_results(image: Any, **entries: Any) -> dict[str, Any]:
    """What the transforms see once an image is loaded."""
    hw = image.shape[:2]
    return {
        "img": image,
        "ori_shape": hw,
        "img_shape": hw,
        "input_from_original": np.eye(3),
        "record_where": "index.jsonl:1",
        "rng": np.random.default_rng(0),
        "labels": {},
        **entries,
    }
