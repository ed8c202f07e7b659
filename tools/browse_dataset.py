#!/usr/bin/env python
"""Draw what the network sees, labels included: ``python tools/browse_dataset.py configs/4pe_resize/multitask.py``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import admlops  # noqa: F401  sets thread defaults before torch is loaded
from admlops.errors import AdmlopsError


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config file")
    parser.add_argument("--out-dir", help="folder for the pictures (default: work_dirs/<folder>/<config name>/browse)")
    parser.add_argument("--split", choices=["train", "val", "test"], default="train")
    parser.add_argument("--num", type=int, default=20, help="number of pictures")
    parser.add_argument("--start", type=int, default=0, help="samples to pass over")
    parser.add_argument(
        "--cfg-options", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="override config values"
    )
    return parser.parse_args()


def main() -> None:
    """Parse, draw, exit."""
    args = parse_args()
    from admlops.engine.browse import browse
    from admlops.engine.config import parse_options

    out_dir = args.out_dir or Path("work_dirs", Path(args.config).resolve().parent.name, Path(args.config).stem, "browse")
    try:
        pictures = browse(
            args.config,
            out_dir,
            split=args.split,
            num_pictures=args.num,
            start=args.start,
            options=parse_options(args.cfg_options),
        )
    except AdmlopsError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(f"{len(pictures)} pictures in {out_dir}")


if __name__ == "__main__":
    main()
