from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny_release import write_release


@pytest.fixture(autouse=True)
def _private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMLOPS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def make_release(tmp_path: Path) -> Callable[..., Path]:
    """Write entries with records whose images nobody reads."""

    def make(entries: Sequence[Mapping[str, Any]], tasks: Sequence[str] | None = None) -> Path:
        return write_release(tmp_path / "release", entries, tasks)

    return make
