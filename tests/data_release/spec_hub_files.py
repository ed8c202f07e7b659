"""A tiny checkout of DataSpecHub, in the layout of the public one."""

from pathlib import Path
from typing import Any

import yaml

WEEKLY = "v1.2.0-2025.25"
BUNDLE_PATH = f"bundles/weekly/end_to_end-{WEEKLY}.yaml"
CONSUMER_PATH = "consumers/end_to_end/v1.2.0.yaml"


def put(hub: Path, path: str, content: Any) -> None:
    (hub / path).parent.mkdir(parents=True, exist_ok=True)
    (hub / path).write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")


def get(hub: Path, path: str) -> Any:
    return yaml.safe_load((hub / path).read_text(encoding="utf-8"))


def write_hub(hub: Path) -> Path:
    """One weekly bundle of end_to_end: images by exact version, slam by range, lidar by preference and optional."""
    offers = [
        {"channel": "image_original", "available_versions": ["1.2.0"], "source_constraint": "1.2.0"},
        {"channel": "utils_slam", "available_versions": ["1.1.0", "1.0.0"], "source_constraint": ">=1.0.0"},
        {
            "channel": "lidar_points",
            "available_versions": ["2.1.0_10cm", "2.1.0_5cm"],
            "source_constraint": "['2.1.0_5cm', '>=2.1.0']",
        },
    ]
    meta = {"bundle_name": "end_to_end", "bundle_version": WEEKLY, "consumer_version": "v1.2.0", "bundle_type": "weekly"}
    source = {
        "source_consumer": "consumers/end_to_end/latest.yaml",
        "created_at": "2025-06-20T14:30:00Z",
        "description": "第25周",
    }
    put(hub, BUNDLE_PATH, {"meta": meta | source, "channels": offers})
    wants = [
        {"channel": "image_original", "version": "1.2.0", "required": True, "on_missing": "fail"},
        {"channel": "utils_slam", "version": ">=1.0.0", "required": True, "on_missing": "fail"},
        {"channel": "lidar_points", "version": ["2.1.0_5cm", ">=2.1.0"], "required": False, "on_missing": "ignore"},
    ]
    for name in ("v1.2.0", "latest"):
        consumer = {"meta": {"consumer": "end_to_end", "version": "1.2.0"}, "requirements": wants}
        put(hub, f"consumers/end_to_end/{name}.yaml", consumer)
    versions = {"image_original": ["1.2.0"], "utils_slam": ["1.0.0", "1.1.0"], "lidar_points": ["2.1.0_5cm", "2.1.0_10cm"]}
    for channel, listed in versions.items():
        for version in listed:
            put(hub, f"channels/{channel}/spec-{version}.yaml", {"meta": {"channel": channel, "version": version}})
    return hub
