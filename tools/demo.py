#!/usr/bin/env python
"""Render a sample release, train on it, test, show what came out: ``make demo`` (cameras), ``make demo-god`` (lidar)."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import admlops  # noqa: F401  sets thread defaults before torch is loaded
from admlops.project import project_root
from admlops.synthetic.colour_baseline import colour_baseline_miou


@dataclass(frozen=True)
class Demo:
    """One of the two.

    Attributes:
        renderer: Tool that renders the sample.
        sample: Where to.
        config: What is trained.
        work_dir: Where results go.
        unseen: What it is tested on.
        baseline: What stands beside the network.
        results: Name, metric of the network, metric of the baseline where the report has one.
    """

    renderer: str
    sample: str
    config: str
    work_dir: str
    unseen: str
    baseline: str
    results: tuple[tuple[str, str, str | None], ...]


DEMOS = {
    "camera": Demo(
        renderer="tools/render_sample.py",
        sample="data/sample",
        config="configs/4pe_resize/multitask_demo.py",
        work_dir="work_dirs/4pe_resize/multitask_demo",
        unseen="roads whose textures, colours and weather the training never saw",
        baseline="pixel colours",
        results=(
            ("AP50, mean of seven detection classes", "det/AP50", None),
            ("mIoU of twelve semantic classes", "seg_default/mIoU", "colours/mIoU"),
            ("mIoU of four lane classes", "seg_lane/mIoU", None),
        ),
    ),
    "lidar": Demo(
        renderer="tools/render_lidar_sample.py",
        sample="data/lidar_sample",
        config="projects/god/configs/multi_task_demo.py",
        work_dir="work_dirs/god/multi_task_demo",
        unseen="other streets than those of the training",
        baseline="height rule",
        results=(
            ("IoU of obstacle cells", "god_base/IoU", "god_base/height_rule/IoU"),
            (
                "debris within 25 m that is found",
                "god_base/small_25m/object_recall_any",
                "god_base/height_rule/small_25m/object_recall_any",
            ),
            ("false objects a sweep", "god_base/num_false_objects", "god_base/height_rule/num_false_objects"),
            ("mIoU of the drivable area, two classes", "drivable_2cls/mIoU", None),
            ("mIoU of five kinds of ground", "drivable_multi/mIoU", None),
        ),
    ),
}


def run(*command: str) -> None:
    """Show a command and run it; end with its exit status where it fails."""
    print(f"\n$ python {' '.join(command)}", flush=True)
    status = subprocess.run([sys.executable, *command], check=False).returncode
    if status:
        sys.exit(status)


def main() -> None:
    """Run the steps, print the results and where they are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sensor", nargs="?", choices=DEMOS, default="camera")
    demo = DEMOS[parser.parse_args().sensor]
    start_s = time.monotonic()
    root, work_dir = project_root(), Path(demo.work_dir)
    run(demo.renderer, "--out-dir", demo.sample)
    last = work_dir / "last_checkpoint"
    # A run that was broken off goes on, unless the sample has been rendered anew since.
    goes_on = (
        last.is_file()
        and not (work_dir / "with-bn-last.pth").is_file()
        and last.stat().st_mtime > Path(demo.sample, "rendered.json").stat().st_mtime
    )
    run("tools/train.py", demo.config, *(["--resume"] if goes_on else []))
    run("tools/test.py", demo.config, str(work_dir / "with-bn-last.pth"), "--show-dir", str(work_dir / "pictures"))

    metrics = json.loads((root / work_dir / "metrics.json").read_text())["metrics"]
    if demo is DEMOS["camera"]:
        metrics["colours/mIoU"] = colour_baseline_miou(Path(demo.sample, "train"), Path(demo.sample, "val"))
    print(f"\nOn {demo.unseen} ({time.monotonic() - start_s:.0f} s in all):")
    print(table(demo, metrics))
    print(f"Table {work_dir}/metrics.csv, curves and confusion matrices {work_dir}/*.png")
    print(f"Pictures {work_dir}/pictures: truth beside prediction")


def table(demo: Demo, metrics: Mapping[str, float]) -> str:
    """Lay the network's numbers beside the baseline's."""
    lines = [f"  {'':<40} {'network':>8}   {demo.baseline}"]
    for name, key, of_baseline in demo.results:
        beside = "" if of_baseline is None else f"   {metrics[of_baseline]:.3f}"
        lines.append(f"  {name:<40} {metrics[key]:>8.3f}{beside}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
