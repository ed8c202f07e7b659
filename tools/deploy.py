#!/usr/bin/env python
"""Export a checkpoint for a runtime and a camera, and check the file.

python tools/deploy.py configs/4pe_resize/multitask.py work_dirs/4pe_resize/multitask/int-inference-last.pth \
    --backend openvino --input-shape 1080x1920
"""

from __future__ import annotations

import argparse
import sys

import admlops  # noqa: F401  sets thread defaults before torch is loaded
from admlops.errors import AdmlopsError, ConfigError


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="config file")
    parser.add_argument(
        "checkpoint", help="int-inference-last.pth, or one of the last quantized step; with --float a float one"
    )
    parser.add_argument("--backend", required=True, choices=["onnxruntime", "openvino", "tensorrt", "all"])
    parser.add_argument("--input-shape", required=True, metavar="HxW", help="size of the camera's images, such as 1080x1920")
    parser.add_argument("--float", action="store_true", dest="as_float", help="export a float checkpoint")
    parser.add_argument("--raw-outputs", action="store_true", help="leave decoding and masks out of the graph")
    parser.add_argument("--out", metavar="FILE", help="the file (default: beside the checkpoint, with backend and size)")
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
    """Parse, export, say what was written, exit; 1 where a target could not be served."""
    args = parse_args()
    from admlops.engine.config import parse_options
    from admlops.engine.deploy import deploy, summarise
    from admlops.engine.export_geometry import parse_hw

    targets = ["onnxruntime", "openvino", "tensorrt"] if args.backend == "all" else [args.backend]
    refused = []
    try:
        if len(targets) > 1 and args.out is not None:
            raise ConfigError(
                "one file cannot be for all runtimes", got=f"--backend all --out {args.out}", remedy="leave --out"
            )
        options, input_hw = parse_options(args.cfg_options), parse_hw(args.input_shape)
    except AdmlopsError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    for target in targets:
        try:
            done = deploy(
                args.config,
                args.checkpoint,
                target,
                input_hw,
                as_float=args.as_float,
                raw_outputs=args.raw_outputs,
                out=args.out,
                target_has_vnni=True if args.target_has_vnni else None,
                options=options,
            )
        except AdmlopsError as error:
            refused.append(
                f"{target}: {type(error).__name__}: {error}" if args.backend == "all" else f"{type(error).__name__}: {error}"
            )
        else:
            print(summarise(done))
    if refused:
        sys.exit("\n".join(refused))


if __name__ == "__main__":
    main()
