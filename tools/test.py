#!/usr/bin/env python
"""Measure a checkpoint of any step, or an exported file.

python tools/test.py configs/4pe_resize/multitask.py work_dirs/4pe_resize/multitask/with-bn-last.pth
"""

from __future__ import annotations

import argparse
import os
import sys

import admlops  # noqa: F401  sets thread defaults before torch is loaded
from admlops.errors import AdmlopsError


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config file")
    parser.add_argument("model", help="checkpoint of any step, or an exported .onnx file")
    parser.add_argument(
        "--backend",
        help="torch, qat, integer, onnxruntime, openvino or tensorrt (default: what computes the file as it is)",
    )
    parser.add_argument(
        "--input-shape",
        metavar="HxW",
        help="measure a checkpoint in the geometry of its export for a camera with images of this size, such as 1080x1920",
    )
    parser.add_argument("--work-dir", help="where the report goes (default: work_dirs/<folder>/<config name>)")
    parser.add_argument("--show-dir", help="draw every picture, truth beside prediction, into this folder")
    parser.add_argument("--out", help="write the predictions as records (predictions.jsonl, masks) into this folder")
    parser.add_argument(
        "--cfg-options", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="override config values"
    )
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none")
    parser.add_argument("--ctx", metavar="IDS", help="GPUs to test on, such as 0,1 (default: the config's default_ctx)")
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    return args


def main() -> None:
    """Parse, test, exit."""
    args = parse_args()
    from admlops.engine.config import parse_options
    from admlops.engine.export_geometry import parse_hw
    from admlops.engine.test import run_test

    try:
        run_test(
            args.config,
            args.model,
            backend=args.backend,
            input_hw=args.input_shape and parse_hw(args.input_shape),
            work_dir=args.work_dir,
            show_dir=args.show_dir,
            out=args.out,
            options=parse_options(args.cfg_options),
            launcher=args.launcher,
            ctx=args.ctx,
        )
    except AdmlopsError as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
