"""Render the sample release of road scenes: ``python tools/render_sample.py --out-dir data/sample``."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from admlops.errors import AdmlopsError
from admlops.synthetic.sample_release import SampleReport, render_sample_release


def main(argv: list[str] | None = None) -> int:
    """Parse, render, report; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out-dir", type=Path, default=Path("data/sample"), help="becomes OUT/train and OUT/val")
    parser.add_argument("--num-train", type=int, default=400, help="training scenes (default 400)")
    parser.add_argument("--num-val", type=int, default=64, help="validation scenes (default 64)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=None, help="processes (default: one a core)")
    args = parser.parse_args(argv)
    start = time.monotonic()
    try:
        report = render_sample_release(args.out_dir, args.num_train, args.num_val, args.seed, args.workers)
    except AdmlopsError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"interrupted: {args.out_dir} is as it was before", file=sys.stderr)
        return 130
    _print_report(report, time.monotonic() - start)
    return 0


def _print_report(report: SampleReport, seconds: float) -> None:
    done = f"rendered in {seconds:.0f} s" if report.is_new else "already there, kept"
    print(f"{report.out_dir}: {done}, {report.num_bytes / 2**20:.0f} MiB")
    print("images by source:")
    for name, count in report.images.items():
        print(f"  {name:<24}{count:>6}")
    print(f"labelled instances (segmentation: images that show the class):{'train':>8}{'val':>8}")
    for name in sorted(set().union(*report.instances.values())):
        counts = "".join(f"{report.instances[split].get(name, 0):>8}" for split in ("train", "val"))
        print(f"  {name:<60}{counts}")


if __name__ == "__main__":
    sys.exit(main())
