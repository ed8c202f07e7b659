#!/usr/bin/env python
"""Run an exported network on an image, a folder or a video: ``python tools/infer.py multitask.onnx photos --out found``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import admlops  # noqa: F401  sets thread defaults before torch is loaded
from admlops.errors import AdmlopsError


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="exported file")
    parser.add_argument("source", help="an image, a folder of images, or a video")
    parser.add_argument("--out", help="folder for the records, masks and pictures (default: work_dirs/infer/<source>)")
    parser.add_argument("--backend", help="runtime (default: the one that the file was written for)")
    parser.add_argument("--score", type=float, help="leave out detections below (default: what the file says)")
    parser.add_argument("--no-pictures", action="store_true", help="write records and masks only")
    return parser.parse_args()


def main() -> None:
    """Parse, predict, exit."""
    args = parse_args()
    from admlops.engine.infer import infer

    out = args.out or Path("work_dirs", "infer", Path(args.source).resolve().stem)
    try:
        report = infer(args.model, args.source, out, backend=args.backend, score=args.score, pictures=not args.no_pictures)
    except AdmlopsError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(f"{report.num_images} images: {report.records}")
    if report.unreadable:
        sys.exit("\n".join(["could not be read:", *report.unreadable]))


if __name__ == "__main__":
    main()
