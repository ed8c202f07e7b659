#!/usr/bin/env python
"""Does every branch learn from sources of which none labels everything? Real frames of public sets, memorised.

    ADMLOPS_REAL_DATA=FOLDER python benchmarks/real_frames.py convert   ->  data/real/{train,val,few}
    python benchmarks/real_frames.py memorise                           ->  work_dirs/multitask_memorise, the table

``convert`` converts the public sets below FOLDER, each in its original layout, and combines them: ``train`` and ``val`` for
``configs/4pe_resize/multitask_real.py``; ``few`` holds a few frames of each source for ``multitask_memorise.py``. ``memorise``
trains and tests that config on the same frames. Bounds: AP50 0.8 for each class with 5 boxes or more, mIoU 0.6 over the
semantic classes present, lane mIoU 0.5, in 30 CPU minutes of training.

The sets restrict what may be done with them (see their licences): nothing of them is part of this project.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from admlops.conversion import CONVERTERS, combine_releases, convert_source, format_combined
from admlops.data_release import JsonlIndex, open_release
from admlops.project import project_root
from admlops.task_spec import CAMERA_TASKS, TaskKind

CONFIG = "configs/4pe_resize/multitask_memorise.py"
FEW_FRAMES = 4
MIN_BOXES = 5
BOUND_AP50, BOUND_MIOU, BOUND_LANE, BOUND_CPU_MIN = 0.8, 0.6, 0.5, 30


@dataclass(frozen=True)
class Source:
    """A public set below the folder of real frames: its format and options, and whether it is held out for validation."""

    folder: str
    format: str
    split: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    held_out: bool = False

    @property
    def name(self) -> str:
        """Of the release's entry."""
        return f"{self.folder}_val" if self.held_out else self.folder


SOURCES = (
    Source("camvid", "camvid", "train"),
    Source("camvid", "camvid", "val", held_out=True),
    Source("kitti", "kitti"),
    Source("pennfudan", "pennfudan"),
    Source("roadsign", "voc", options={"classes": "roadsign"}),
    Source("traffic_light_voc", "voc", options={"classes": "traffic-light"}),
    Source("coco", "coco"),
    Source("bdd100k", "bdd100k"),
    Source("cityscapes_pseudo", "cityscapes", "flat"),
    Source("tusimple", "tusimple"),
)


def convert(real_data: Path, out_dir: Path) -> None:
    """Convert all sources and combine them; what lies in ``out_dir`` is replaced once everything is converted."""
    building = out_dir.with_name(f"{out_dir.name}.new")
    shutil.rmtree(building, ignore_errors=True)
    folders: dict[str, list[Path]] = {"train": [], "val": [], "few": []}
    for source in SOURCES:
        converter = CONVERTERS[source.format](real_data / source.folder, source.split, **source.options)
        releases = ["val"] if source.held_out else ["train", "few"]
        for release in releases:
            folder = building / "sources" / f"{source.name}_{release}"
            limit = FEW_FRAMES if release == "few" else None
            convert_source(converter, folder, name=source.name, limit=limit)
            folders[release].append(folder)
    for release, sources in folders.items():
        print(f"\n{release}\n{format_combined(combine_releases(sources, building / release))}")
    shutil.rmtree(out_dir, ignore_errors=True)
    building.rename(out_dir)
    print(f"-> {out_dir}")


def count_labels(release_dir: Path) -> dict[str, Counter[str]]:
    """Count the boxes that are not ignored, by task and class, and the lines."""
    counts: dict[str, Counter[str]] = {task: Counter() for task in CAMERA_TASKS}
    release = open_release(root=release_dir)
    for entry in release.select(sorted(release.tasks)):
        for record in JsonlIndex(entry.index_path):
            for task, label in record["labels"].items():
                categories = label.get("categories", [])
                ignored = label.get("ignore", [False] * len(categories))
                counts[task].update(name for name, ignore in zip(categories, ignored, strict=True) if not ignore)
                counts[task].update(line["category"] or "(ignore)" for line in label.get("polylines", []))
    return counts


def memorise(data_dir: Path, work_dir: Path) -> int:
    """Train and test on the few frames; print the table; return 1 where a bound is missed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    checkpoint = work_dir / "with-bn-last.pth"
    for command in (
        ["tools/train.py", CONFIG, "--work-dir", str(work_dir)],
        ["tools/test.py", CONFIG, str(checkpoint), "--work-dir", str(work_dir), "--show-dir", str(work_dir / "pictures")],
    ):
        subprocess.run([sys.executable, *command], check=True, cwd=project_root())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_min = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / 60

    metrics = json.loads((work_dir / "metrics.json").read_text())["metrics"]
    rows: list[tuple[str, str, float, float | None]] = []
    for task, numbers in count_labels(data_dir / "few").items():
        if CAMERA_TASKS[task].kind is TaskKind.DETECTION:
            for name in CAMERA_TASKS[task].classes:
                bound = BOUND_AP50 if numbers[name] >= MIN_BOXES else None
                rows.append((f"`{task}` {name}, AP50", f"{numbers[name]} boxes", metrics[f"{task}/{name}/AP50"], bound))
    rows.append(("`seg_default`, mIoU over the classes present", "", metrics["seg_default/mIoU"], BOUND_MIOU))
    rows.append(("`seg_lane`, mIoU over the classes present", "", metrics["seg_lane/mIoU"], BOUND_LANE))
    print("\n| task and class | labels | measured | bound |\n|---|---|---|---|")
    for name, labels, value, bound in rows:
        print(f"| {name} | {labels} | {value:.3f} | {'-' if bound is None else bound} |")
    print(f"| CPU minutes of training and test | | {cpu_min:.0f} | {BOUND_CPU_MIN} |")
    missed = [name for name, _, value, bound in rows if bound is not None and not value >= bound]
    print(f"pictures: {work_dir / 'pictures'}\nmissed: {', '.join(missed) or 'nothing'}")
    return int(bool(missed))


def main() -> int:
    """Convert or memorise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["convert", "memorise"])
    parser.add_argument("--data-dir", type=Path, default=project_root() / "data/real", help="default: %(default)s")
    parser.add_argument("--work-dir", type=Path, default=project_root() / "work_dirs/multitask_memorise")
    args = parser.parse_args()
    if args.verb == "memorise":
        return memorise(args.data_dir, args.work_dir.absolute())
    real_data = os.environ.get("ADMLOPS_REAL_DATA")
    if not real_data:
        parser.error("set ADMLOPS_REAL_DATA to the folder that holds camvid/, kitti/, coco/, ... in their original layouts")
    convert(Path(real_data), args.data_dir)
    return 0


if __name__ == "__main__":
    sys.exit(main())
