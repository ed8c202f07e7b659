#!/usr/bin/env python
"""Render the sample release, train the six-branch network on it, test it, show what came out: ``make demo``."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import admlops  # noqa: F401  sets thread defaults before torch is loaded
from admlops.project import project_root
from admlops.synthetic.colour_baseline import colour_baseline_miou

CONFIG = "configs/4pe_resize/multitask_demo.py"
RESULTS = (
    ("AP50, mean of seven detection classes", "det/AP50"),
    ("mIoU of twelve semantic classes", "seg_default/mIoU"),
    ("mIoU of four lane classes", "seg_lane/mIoU"),
)


def run(*command: str) -> None:
    """Show a command and run it; end with its exit status where it fails."""
    print(f"\n$ python {' '.join(command)}", flush=True)
    status = subprocess.run([sys.executable, *command], check=False).returncode
    if status:
        sys.exit(status)


def main() -> None:
    """Run the four steps, print the results and where they are."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    start_s = time.monotonic()
    root = project_root()
    work_dir = Path("work_dirs/4pe_resize/multitask_demo")
    run("tools/render_sample.py", "--out-dir", "data/sample")
    last = work_dir / "last_checkpoint"
    # A run that was broken off goes on, unless the roads have been rendered anew since.
    goes_on = (
        last.is_file()
        and not (work_dir / "with-bn-last.pth").is_file()
        and last.stat().st_mtime > Path("data/sample/rendered.json").stat().st_mtime
    )
    run("tools/train.py", CONFIG, *(["--resume"] if goes_on else []))
    run("tools/test.py", CONFIG, str(work_dir / "with-bn-last.pth"), "--show-dir", str(work_dir / "pictures"))

    metrics = json.loads((root / work_dir / "metrics.json").read_text())["metrics"]
    baseline = colour_baseline_miou(Path("data/sample/train"), Path("data/sample/val"))
    print(f"\nOn roads whose textures, colours and weather the training never saw ({time.monotonic() - start_s:.0f} s in all):")
    for name, key in RESULTS:
        print(f"  {name:<40} {metrics[key]:.3f}")
    print(f"  {'mIoU of a classifier of pixel colours':<40} {baseline:.3f}   (for comparison)")
    print(f"Table {work_dir}/metrics.csv, curves and confusion matrices {work_dir}/*.png")
    print(f"Pictures {work_dir}/pictures: truth beside prediction")


if __name__ == "__main__":
    main()
