#!/usr/bin/env python
"""Tell what is in data releases, and warn where it falls short of what the tasks need.

| python tools/analyze.py train=data/sample/train val=data/sample/val --out-dir work_dirs/analysis
| python tools/analyze.py --repo train=git/data_release --ref multi_task/v1.0.0 val=lists/val.jsonl --no-images

Each INDEX is one split: a JSONL index file or a folder with training_dataset.json. Open report.html in the output folder.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from admlops.analysis import (
    Need,
    ScanOptions,
    SplitPlace,
    build_tables,
    find_warnings,
    format_summary,
    open_splits,
    scan_splits,
    write_report,
)
from admlops.analysis.hash_search import MAX_THRESHOLD
from admlops.errors import AdmlopsError, ConfigError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("indices", nargs="*", metavar="[NAME=]INDEX", help="index file or release folder")
    parser.add_argument("--repo", action="append", default=[], metavar="[NAME=]REPO", help="git repository; needs --ref")
    parser.add_argument("--ref", action="append", default=[], help="tag, commit or branch of the --repo before it")
    parser.add_argument("--out-dir", type=Path, default=Path("work_dirs/analysis"), help="default: %(default)s")
    parser.add_argument("--tasks", nargs="+", metavar="TASK", help="what the data is for (default: what the releases name)")
    parser.add_argument("--strict", action="store_true", help="exit with 1 where there are warnings")
    reading = parser.add_argument_group("what is read")
    reading.add_argument("--no-masks", action="store_true", help="do not read masks")
    reading.add_argument("--max-masks", type=_count, metavar="N", help="read N masks of each source, evenly spread")
    reading.add_argument("--no-images", action="store_true", help="do not read pictures: no search for duplicates")
    reading.add_argument(
        "--hash-bits", type=_threshold, default=6, metavar="BITS", help="near duplicates (default: %(default)s)"
    )
    reading.add_argument("--workers", type=_count, metavar="N", help="processes (default: all cores)")
    need = parser.add_argument_group("what is needed")
    need.add_argument("--resize-hw", nargs=2, type=_count, default=(540, 1140), metavar=("H", "W"), help="default: 540 1140")
    need.add_argument("--crop-hw", nargs=2, type=_count, default=(512, 960), metavar=("H", "W"), help="default: 512 960")
    need.add_argument("--min-side", type=float, default=8.0, metavar="PX", help="least side of a box in the input (default: 8)")
    need.add_argument("--min-instances", type=_count, default=50, metavar="N", help="boxes a class and split (default: 50)")
    need.add_argument("--min-images", type=_count, default=20, metavar="N", help="images a class and split (default: 20)")
    need.add_argument("--max-tiny", type=float, default=0.5, metavar="SHARE", help="of a class's boxes (default: 0.5)")
    need.add_argument("--max-source", type=float, default=0.8, metavar="SHARE", help="of a task's samples (default: 0.8)")
    return parser


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1 on, got {text!r}")
    return int(text)


def _threshold(text: str) -> int:
    if not text.isdigit() or int(text) > MAX_THRESHOLD:
        raise argparse.ArgumentTypeError(f"expected 0 to {MAX_THRESHOLD} of 64 bits, got {text!r}")
    return int(text)


def _places(args: argparse.Namespace) -> list[SplitPlace]:
    if len(args.repo) != len(args.ref):
        raise ConfigError(
            "each repository needs a ref",
            expected="--repo REPO --ref TAG, once a repository",
            got=f"{len(args.repo)} times --repo, {len(args.ref)} times --ref",
        )
    repositories = [SplitPlace.parse(text, ref) for text, ref in zip(args.repo, args.ref, strict=True)]
    return [*(SplitPlace.parse(text) for text in args.indices), *repositories]


def main(argv: list[str] | None = None) -> int:
    """Analyse, write the report, print a summary; returns the exit status."""
    args = _parser().parse_args(argv)
    logging.basicConfig(format="%(levelname)s %(message)s")
    options = ScanOptions(
        resize_hw=tuple(args.resize_hw),
        min_side_px=args.min_side,
        max_masks=0 if args.no_masks else args.max_masks,
        read_images=not args.no_images,
    )
    need = Need(args.min_instances, args.min_images, args.max_tiny, args.max_source, tuple(args.crop_hw))
    try:
        splits = open_splits(_places(args), args.tasks)
        analysis = scan_splits(
            splits, options, threshold=args.hash_bits, num_workers=args.workers, show_progress=sys.stderr.isatty()
        )
        warnings = find_warnings(analysis, need)
        write_report(analysis, need, warnings, build_tables(analysis), args.out_dir)
    except AdmlopsError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("broken off", file=sys.stderr)
        return 130
    print(format_summary(analysis, warnings))
    print(f"-> {args.out_dir / 'report.html'}")
    return 1 if args.strict and warnings else 0


if __name__ == "__main__":
    sys.exit(main())
