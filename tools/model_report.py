#!/usr/bin/env python
"""Say what a network shares and costs: ``python tools/model_report.py configs/4pe_resize/multitask.py --names``."""

from __future__ import annotations

import argparse
import logging
import sys

import admlops  # noqa: F401  sets thread defaults before torch is loaded
from admlops.errors import AdmlopsError


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config file")
    parser.add_argument("--hw", type=int, nargs=2, default=(512, 960), metavar=("H", "W"), help="input size, px (512 960)")
    parser.add_argument("--names", action="store_true", help="list shared and unshared parameters by name")
    parser.add_argument(
        "--cfg-options", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="override config values"
    )
    return parser.parse_args()


def main() -> None:
    """Parse, build, count, exit."""
    args = parse_args()
    logging.getLogger("mmengine").setLevel(logging.ERROR)
    from admlops.engine.config import load_config, parse_options
    from admlops.models.model_report import format_report, report_parts
    from admlops.registry import MODELS

    try:
        cfg = load_config(args.config, parse_options(args.cfg_options))
        parts = report_parts(MODELS.build(cfg.model), tuple(args.hw))
    except AdmlopsError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(format_report(parts, tuple(args.hw), args.names))


if __name__ == "__main__":
    main()
