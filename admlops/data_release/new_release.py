"""The content of a new ``training_dataset.json``, from its entries."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def release_content(name: str, version: str, entries: Sequence[Mapping[str, Any]]) -> bytes:
    """Write a release around entries: its tasks and bundles are theirs.

    Args:
        name: Of the release, without the version.
        version: Such as ``v1.0.0``.
        entries: With ``bundle_versions`` and ``task_tags`` each.

    Returns:
        The file's bytes.
    """
    meta = {
        "release_name": f"{name} {version}",
        "consumer_version": version,
        "bundle_versions": _union(entry["bundle_versions"] for entry in entries),
        "version": version,
        "tasks": _union(entry["task_tags"] for entry in entries),
    }
    return (json.dumps({"meta": meta, "dataset_index": list(entries)}, indent=2, ensure_ascii=False) + "\n").encode()


def _union(lists: Iterable[Iterable[str]]) -> list[str]:
    return list(dict.fromkeys(value for values in lists for value in values))
