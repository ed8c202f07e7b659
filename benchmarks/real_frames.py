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
from collections.abc import Mapping, Sequence
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
MIN_SCORE = 0.3
DETECTION = tuple(task for task in CAMERA_TASKS.values() if task.kind is TaskKind.DETECTION)
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


@dataclass
class ClassCount:
    """Boxes of a class that are not ignored: how many there are, in frames where the metric counts the class, and found."""

    boxes: int = 0
    measured: int = 0
    found: int = 0


def count_boxes(release_dir: Path, predictions: Path) -> dict[tuple[str, str], ClassCount]:
    """Count boxes by task and class. Found: a prediction of the class with a score of 0.3 or more overlaps it by half.

    Of a source that boxes only some of a class no precision can be told, so the metric leaves it out; what it boxes must be
    found all the same.
    """
    predicted = {}
    for line in predictions.read_text().splitlines():
        record = json.loads(line)
        predicted[record["attributes"]["source"], record["sample_id"]] = record["labels"]
    counts = {(task.name, name): ClassCount() for task in DETECTION for name in task.classes}
    release = open_release(root=release_dir)
    for entry in release.select(sorted(release.tasks)):
        for record in JsonlIndex(entry.index_path):
            for task in {task.name for task in DETECTION} & record["labels"].keys():
                label = record["labels"][task]
                answer = predicted[entry.name, record["sample_id"]][task]
                found = list(zip(answer["boxes"], answer["categories"], answer["scores"], strict=True))
                ignored = label.get("ignore") or [False] * len(label["boxes"])
                for box, name, ignore in zip(label["boxes"], label["categories"], ignored, strict=True):
                    if not ignore:
                        count = counts[task, name]
                        count.boxes += 1
                        count.measured += name not in label.get("non_exhaustive_categories", [])
                        count.found += any(s >= MIN_SCORE and n == name and iou(box, b) >= 0.5 for b, n, s in found)
    return counts


def iou(first: Sequence[float], second: Sequence[float]) -> float:
    """Compute intersection over union of two boxes."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0.0) * max(height, 0.0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return shared / (areas - shared)


def memorise(data_dir: Path, work_dir: Path) -> int:
    """Train and test on the few frames; print the table; return 1 where a bound is missed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    train = ["tools/train.py", CONFIG, "--work-dir", str(work_dir)]
    test = ["tools/test.py", CONFIG, str(work_dir / "with-bn-last.pth"), "--work-dir", str(work_dir)]
    test += ["--show-dir", str(work_dir / "pictures"), "--out", str(work_dir / "predictions")]
    for command in (train, test):
        subprocess.run([sys.executable, *command], check=True, cwd=project_root())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_min = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / 60

    metrics = json.loads((work_dir / "metrics.json").read_text())["metrics"]
    print("\n| task and class | boxes, of them measured | AP50, mIoU | found | bound |\n|---|---|---|---|---|")
    missed = []
    for (task, name), count in count_boxes(data_dir / "few", work_dir / "predictions/predictions.jsonl").items():
        bound = BOUND_AP50 if count.measured >= MIN_BOXES else None
        value = metrics[f"{task}/{name}/AP50"]
        missed += [name] if bound is not None and not value >= bound else []
        found = f"{count.found} of {count.boxes}"
        print(f"| `{task}` {name} | {count.boxes}, {count.measured} | {value:.3f} | {found} | {bound or '-'} |")
    for task, bound in (("seg_default", BOUND_MIOU), ("seg_lane", BOUND_LANE)):
        value = metrics[f"{task}/mIoU"]
        missed += [task] if not value >= bound else []
        print(f"| `{task}`, the classes present | - | {value:.3f} | - | {bound} |")
    missed += ["CPU minutes"] if cpu_min > BOUND_CPU_MIN else []
    print(f"\n{cpu_min:.0f} CPU minutes of training and test (bound {BOUND_CPU_MIN})")
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
