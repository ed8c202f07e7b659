#!/usr/bin/env python
"""Train the network of a config: ``python tools/train.py configs/4pe_resize/multitask.py``.

Steps after the first lead to integers; ``tools/quanti_training_2step_fusion_bn.sh`` runs all of them.
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
    parser.add_argument(
        "--step",
        type=int,
        default=0,
        metavar="N",
        help="step of the config's solver (0: float); starts from the last one's end",
    )
    parser.add_argument("--work-dir", help="checkpoints, logs, metrics, pictures (default: work_dirs/<folder>/<config name>)")
    parser.add_argument(
        "--resume", nargs="?", const="auto", metavar="PATH", help="go on from PATH, by default from the work dir's latest"
    )
    parser.add_argument("--load-from", metavar="PATH", help="start from the weights of PATH, in a new run")
    parser.add_argument("--if-needed", action="store_true", help="skip a step that is done, resume one that was broken off")
    parser.add_argument("--amp", action="store_true", help="train in bfloat16 (GPU only)")
    parser.add_argument(
        "--pipeline-test", action="store_true", help="a few iterations of train, validation and test on the validation split"
    )
    parser.add_argument(
        "--require-clean",
        action="store_true",
        help="refuse uncommitted code, and data of anything but a tag with pinned entries",
    )
    parser.add_argument(
        "--cfg-options", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="override config values"
    )
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none")
    parser.add_argument("--ctx", metavar="IDS", help="GPUs to train on, such as 0,1 (default: the config's default_ctx)")
    # torchrun of torch < 2 passes it; nobody needs it.
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    return args


def main() -> None:
    """Parse, train, exit."""
    args = parse_args()
    from admlops.engine.config import parse_options
    from admlops.engine.train import train

    try:
        train(
            args.config,
            step=args.step,
            work_dir=args.work_dir,
            resume=args.resume,
            load_from=args.load_from,
            if_needed=args.if_needed,
            amp=args.amp,
            pipeline_test=args.pipeline_test,
            require_clean=args.require_clean,
            options=parse_options(args.cfg_options),
            launcher=args.launcher,
            ctx=args.ctx,
        )
    except AdmlopsError as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
