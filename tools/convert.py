#!/usr/bin/env python
"""Convert a source data set in its original format to a release folder.

| python tools/convert.py camvid CAMVID --split train --out-dir data/camvid/train
| python tools/convert.py kitti KITTI --out-dir data/kitti
"""

from __future__ import annotations

import argparse
import logging
import sys
from dataclasses import fields
from pathlib import Path

from admlops.conversion import CONVERTERS, convert_source, format_report
from admlops.errors import AdmlopsError


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1 on, got {text!r}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    formats = parser.add_subparsers(dest="format", required=True, metavar="|".join(CONVERTERS))
    for name, converter in CONVERTERS.items():
        command = formats.add_parser(name, help=(converter.__doc__ or "").splitlines()[0])
        command.add_argument("source_root", type=Path, metavar="SRC", help="folder of the source in its original layout")
        command.add_argument("--out-dir", type=Path, required=True, help="release folder to make")
        command.add_argument("--split", choices=converter.splits, default=converter.splits[0], help="default: %(default)s")
        command.add_argument("--name", help="name of the release's entry (default: FORMAT_SPLIT)")
        command.add_argument("--copy", action="store_true", help="copy images and sweeps, so that the folder can be moved")
        command.add_argument("--limit", type=_positive, metavar="N", help="convert N frames at most, spread over the split")
        command.add_argument("--workers", type=_positive, metavar="N", help="processes (default: all cores)")
        converter.add_arguments(command)
    return parser


def main() -> int:
    """Convert, print the report, exit with 1 where the source or the machine is at fault."""
    args = _parser().parse_args()
    logging.basicConfig(format="%(levelname)s %(message)s")
    converter_class = CONVERTERS[args.format]
    options = {item.name: getattr(args, item.name) for item in fields(converter_class)}
    try:
        report = convert_source(
            converter_class(**options),
            args.out_dir,
            name=args.name,
            copy=args.copy,
            limit=args.limit,
            num_workers=args.workers,
            show_progress=True,
        )
    except AdmlopsError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("broken off; the same command continues", file=sys.stderr)
        return 130
    print(format_report(report))
    print(f"-> {args.out_dir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
