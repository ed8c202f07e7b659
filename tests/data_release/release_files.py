"""One tiny valid release, its records and its files; tests break it in one place."""

import json
from pathlib import Path
from typing import Any

BUNDLE = "v1.2.0-20251017-100000"

VALID: dict[str, Any] = {
    "meta": {
        "release_name": "Joint",
        "consumer_version": "v1.2.0",
        "bundle_versions": [BUNDLE],
        "version": "v1.0.3",
        "tasks": ["det_person", "seg_lane"],
    },
    "dataset_index": [
        {
            "name": "people",
            "obs_path": "people.jsonl",
            "bundle_versions": [BUNDLE],
            "duplicate": 5,
            "task_tags": ["det_person"],
        },
        {
            "name": "高速_joint",
            "obs_path": "lists/joint.jsonl",
            "bundle_versions": [BUNDLE],
            "duplicate": 3,
            "task_tags": ["det_person", "seg_lane"],
        },
    ],
}


def make_record(sample_id: str) -> dict[str, Any]:
    return {
        "sample_id": sample_id,
        "image": {"path": f"images/{sample_id}.png", "width": 1280, "height": 720},
        "labels": {"det_person": {"boxes": [[1, 2, 30.5, 40]], "categories": ["person"]}},
    }


def write_jsonl(path: Path, sample_ids: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(make_record(sample_id)) + "\n" for sample_id in sample_ids))
    return path


def write_release(root: Path, document: dict[str, Any], name: str = "training_dataset.json") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(json.dumps(document, ensure_ascii=False, indent=2), encoding="utf-8")
    return root
