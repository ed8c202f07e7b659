"""Tiny splits, written by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

VERSIONS = {"bundle_versions": ["v1.0.0-20260101-000000"], "version": "v1.0.0"}


def camera(sample_id: str, hw: tuple[int, int] = (1080, 1920), scene: str | None = None, **labels: Any) -> dict[str, Any]:
    """A record of a camera picture ``images/SAMPLE_ID.png``."""
    record = {
        "sample_id": sample_id,
        "image": {"path": f"images/{sample_id}.png", "width": hw[1], "height": hw[0]},
        "labels": labels,
    }
    return record if scene is None else {**record, "attributes": {"scene": scene}}


def boxes(*named: tuple[str, list[float]], ignore: Sequence[bool] = (), **keys: Any) -> dict[str, Any]:
    """A detection label."""
    label = {"boxes": [box for _, box in named], "categories": [name for name, _ in named], **keys}
    return {**label, "ignore": list(ignore)} if ignore else label


def write_index(path: Path, records: Sequence[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def write_release(root: Path, **sources: tuple[Sequence[dict[str, Any]], list[str], int]) -> Path:
    """Write ``name=(records, task_tags, duplicate)``."""
    entries = []
    for name, (records, tasks, duplicate) in sources.items():
        write_index(root / f"{name}.jsonl", records)
        entries.append({"name": name, "obs_path": f"{name}.jsonl", "duplicate": duplicate, "task_tags": tasks})
    meta = {"release_name": "Tiny", "consumer_version": "v1.0.0", **VERSIONS}
    (root / "training_dataset.json").write_text(json.dumps({"meta": meta, "dataset_index": entries}))
    return root


def write_mask(path: Path, rows: Sequence[int], hw: tuple[int, int]) -> None:
    """A mask whose rows hold one value each, stretched to a size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.repeat(np.array(rows, np.uint8), hw[0] // len(rows))[:, None].repeat(hw[1], axis=1)
    cv2.imwrite(str(path), mask)
