"""Every test gets its own cache and its own copy of the tiny release."""

import copy
from pathlib import Path
from typing import Any

import pytest
from release_files import VALID, write_jsonl, write_release


@pytest.fixture(autouse=True)
def cache_dir(tmp_path_factory, monkeypatch) -> Path:
    path = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("ADMLOPS_CACHE", str(path))
    return path


@pytest.fixture
def document() -> dict[str, Any]:
    return copy.deepcopy(VALID)


@pytest.fixture
def release_dir(tmp_path, document) -> Path:
    root = write_release(tmp_path / "release", document)
    write_jsonl(root / "people.jsonl", ["p0", "p1"])
    write_jsonl(root / "lists" / "joint.jsonl", ["j0", "j1", "j2"])
    return root
