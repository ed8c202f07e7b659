"""Tiny sources in the exact layouts, written by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from source_images import write_png

CAMVID_IDS = np.arange(12, dtype=np.uint8).reshape(3, 4)


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMLOPS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def kitti_source(tmp_path: Path) -> Callable[..., Path]:
    """Write ``{frame: label lines}`` as a KITTI source with images of 200x100."""

    def write(frames: dict[str, list[str]], lidar: bool = False) -> Path:
        root = tmp_path / "kitti"
        for name, lines in frames.items():
            write_png(root / "training" / "image_2" / f"{name}.png", np.zeros((100, 200, 3), np.uint8))
            label = root / "training" / "label_2" / f"{name}.txt"
            label.parent.mkdir(exist_ok=True)
            label.write_text("\n".join(lines) + "\n")
            if lidar:
                (root / "training" / "velodyne").mkdir(exist_ok=True)
                np.zeros((5, 4), np.float32).tofile(root / "training" / "velodyne" / f"{name}.bin")
        return root

    return write


@pytest.fixture
def camvid_source(tmp_path: Path) -> Callable[..., Path]:
    """Write a CamVid source whose masks hold the ids 0 to 11, once each."""

    def write(names: tuple[str, ...] = ("0006R0_f00930", "0016E5_07959"), split: str = "train") -> Path:
        root = tmp_path / "camvid" / "CamVid"
        for name in names:
            write_png(root / split / f"{name}.png", np.zeros((3, 4, 3), np.uint8))
            write_png(root / f"{split}annot" / f"{name}.png", CAMVID_IDS)
        lines = [f"/SegNet/CamVid/{split}/{name}.png /SegNet/CamVid/{split}annot/{name}.png\n" for name in names]
        (root / f"{split}.txt").write_text("".join(lines))
        return root.parent

    return write
