"""Render the sample release of lidar sweeps: ``python tools/render_lidar_sample.py --out-dir data/lidar_sample``."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from admlops.errors import AdmlopsError
from admlops.synthetic.lidar.lidar_sample import LidarSampleReport, render_lidar_sample


def main(argv: list[str] | None = None) -> int:
    """Parse, render, report; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out-dir", type=Path, default=Path("data/lidar_sample"), help="becomes OUT/train and OUT/val")
    parser.add_argument("--num-train", type=int, default=400, help="training sweeps (default 400)")
    parser.add_argument("--num-val", type=int, default=48, help="validation sweeps (default 48)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=None, help="processes (default: one a core)")
    args = parser.parse_args(argv)
    start = time.monotonic()
    try:
        report = render_lidar_sample(args.out_dir, args.num_train, args.num_val, args.seed, args.workers)
    except AdmlopsError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"interrupted: {args.out_dir} is as it was before", file=sys.stderr)
        return 130
    _print_report(report, time.monotonic() - start)
    return 0


def _print_report(report: LidarSampleReport, seconds: float) -> None:
    done = f"rendered in {seconds:.0f} s" if report.is_new else "already there, kept"
    print(f"{report.out_dir}: {done}, {report.num_bytes / 2**20:.0f} MiB")
    print("sweeps by source:")
    for name, count in report.sweeps.items():
        print(f"  {name:<24}{count:>6}")
    print(f"  {'seen by the sensor':<24}{'train':>10}{'val':>10}")
    for name in sorted(set().union(*report.objects.values())):
        counts = "".join(f"{report.objects[split].get(name, 0):>10}" for split in ("train", "val"))
        print(f"  {name:<24}{counts}")
    print(f"  {'points':<24}{report.points['train']:>10}{report.points['val']:>10}")


if __name__ == "__main__":
    sys.exit(main())
