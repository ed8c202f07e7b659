"""What the tests of analyses share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from admlops.analysis import Analysis, ScanOptions, SplitPlace, open_splits, scan_splits

NO_PIXELS = ScanOptions(max_masks=0, read_images=False)


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMLOPS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def analyse() -> Callable[..., Analysis]:
    """Analyse ``name=path`` in this process."""

    def run(options: ScanOptions = NO_PIXELS, tasks: Sequence[str] | None = None, **paths: Path) -> Analysis:
        places = [SplitPlace(name, path) for name, path in paths.items()]
        return scan_splits(open_splits(places, tasks), options, num_workers=1)

    return run
