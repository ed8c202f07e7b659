#!/usr/bin/env python
"""Choose the threshold of an obstacle head: what is found, what is made up.

    python projects/god/tools/thresholds.py projects/god/configs/multi_task.py work_dirs/god/multi_task/with-bn-last.pth

Put the chosen one into the config, ``model.branches.god.head.threshold``: tests and exports follow it. Choose on other sweeps
than those that you report.
"""

from __future__ import annotations

import argparse
import sys

import admlops  # noqa: F401  sets thread defaults before torch is loaded
from admlops.errors import AdmlopsError

COLUMNS = {
    "IoU": "IoU",
    "precision": "precision",
    "recall": "recall",
    "object_recall_any": "objects found",
    "small_25m/object_recall_any": "below 0.6 m, within 25 m",
    "num_false_objects": "false objects a sweep",
    "num_false_objects_corridor": "in the corridor",
}


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="config file")
    parser.add_argument("checkpoint", help="of a step that trains")
    parser.add_argument("--thresholds", type=float, nargs="+", default=[0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
    parser.add_argument(
        "--cfg-options", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="override config values"
    )
    return parser.parse_args()


def main() -> None:
    """Parse, measure, print a table, exit."""
    args = parse_args()
    from admlops.engine.config import parse_options
    from god.thresholds import measure_thresholds

    try:
        task, rows = measure_thresholds(args.config, args.checkpoint, args.thresholds, parse_options(args.cfg_options))
    except AdmlopsError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(f"| {task}: threshold | {' | '.join(COLUMNS.values())} |")
    print(f"|{'---|' * (1 + len(COLUMNS))}")
    for row in rows:
        print(f"| {row.threshold:g} | {' | '.join(f'{row.metrics[name]:.3f}' for name in COLUMNS)} |")


if __name__ == "__main__":
    main()
