#!/usr/bin/env python
"""Export a checkpoint of a lidar network for a runtime, and check the file.

python projects/god/tools/export.py projects/god/configs/multi_task.py work_dirs/god/multi_task/with-bn-last.pth \
    --backend openvino
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
    parser.add_argument("checkpoint", help="of the float step, of the last quantized one, or int-inference-last.pth")
    parser.add_argument("--backend", required=True, choices=["onnxruntime", "openvino", "tensorrt"])
    parser.add_argument(
        "--canvas",
        action="store_true",
        help="begin behind the encoder, for chips that cannot scatter; the encoder becomes a file of its own, for the CPU",
    )
    parser.add_argument("--raw-outputs", action="store_true", help="leave decoding out of the graph")
    parser.add_argument("--out", metavar="FILE", help="the file (default: beside the checkpoint)")
    parser.add_argument(
        "--target-has-vnni",
        action="store_true",
        help="the file runs on another x86 processor, which has VNNI, so that 8-bit weights do not saturate",
    )
    parser.add_argument(
        "--cfg-options", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="override config values"
    )
    return parser.parse_args()


def main() -> None:
    """Parse, export, say what was written, exit; 1 where the target could not be served."""
    args = parse_args()
    from admlops.engine.config import parse_options
    from admlops.engine.deploy import summarise
    from god.export import export_god

    try:
        done = export_god(
            args.config,
            args.checkpoint,
            args.backend,
            canvas=args.canvas,
            raw_outputs=args.raw_outputs,
            out=args.out,
            target_has_vnni=True if args.target_has_vnni else None,
            options=parse_options(args.cfg_options),
        )
    except AdmlopsError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print("\n".join(map(summarise, done)))


if __name__ == "__main__":
    main()
