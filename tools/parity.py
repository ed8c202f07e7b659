#!/usr/bin/env python
"""Compare all rungs of a training, from floats to the runtimes; exits with 1 where one is missing, differs or loses too much.

python tools/parity.py configs/4pe_resize/multitask.py --work-dir work_dirs/4pe_resize/multitask
"""

from __future__ import annotations

import argparse
import sys

import admlops  # noqa: F401  sets thread defaults before torch is loaded
from admlops.errors import AdmlopsError


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="config file")
    parser.add_argument("--work-dir", help="where the steps left their checkpoints (default: work_dirs/<folder>/<config name>)")
    parser.add_argument(
        "--columns", nargs="+", metavar="NAME", help="names of steps and runtimes (default: all steps, onnxruntime, openvino)"
    )
    parser.add_argument(
        "--input-shape", metavar="HxW", help="measure in the geometry of the export for a camera with images of this size"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="measure on the first N pictures only")
    parser.add_argument(
        "--exact", type=int, default=2, metavar="N", help="compare integer by integer on N pictures (default: 2; 0: do not)"
    )
    parser.add_argument(
        "--pipeline-test", action="store_true", help="of a pipeline test: few pictures, and no budget for what they lose"
    )
    parser.add_argument("--out", help="folder for parity.json, parity.csv, parity.png (default: <work dir>/parity)")
    parser.add_argument(
        "--cfg-options", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="override config values"
    )
    return parser.parse_args()


def main() -> None:
    """Parse, measure, report, exit."""
    args = parse_args()
    from admlops.engine.config import parse_options
    from admlops.engine.export_geometry import parse_hw
    from admlops.engine.parity import run_parity
    from admlops.engine.parity_report import format_parity, write_parity

    try:
        table = run_parity(
            args.config,
            work_dir=args.work_dir,
            columns=args.columns,
            input_hw=args.input_shape and parse_hw(args.input_shape),
            limit=args.limit,
            exact=args.exact,
            pipeline_test=args.pipeline_test,
            options=parse_options(args.cfg_options),
        )
        files = write_parity(args.out or table.folder, table)
    except AdmlopsError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(format_parity(table, color=sys.stdout.isatty()))
    print(f"written: {', '.join(map(str, files))}")
    if table.faults:
        sys.exit("\n".join(table.faults))


if __name__ == "__main__":
    main()
