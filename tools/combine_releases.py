#!/usr/bin/env python
"""Combine releases: one folder that lists the entries of all, for a training on several sources.

| python tools/combine_releases.py data/kitti data/camvid/train --out-dir data/real/train
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from admlops.conversion import combine_releases, format_combined
from admlops.errors import AdmlopsError


def main() -> int:
    """Combine, print the entries, exit with 1 where a release is at fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="release folder")
    parser.add_argument("--out-dir", type=Path, required=True, help="release folder to make")
    parser.add_argument("--name", help="name of the release (default: that of the folder)")
    parser.add_argument("--release-version", default="v1.0.0", metavar="VERSION", help="default: %(default)s")
    args = parser.parse_args()
    try:
        entries = combine_releases(args.folders, args.out_dir, name=args.name, version=args.release_version)
    except AdmlopsError as error:
        print(error, file=sys.stderr)
        return 1
    print(format_combined(entries))
    print(f"-> {args.out_dir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
