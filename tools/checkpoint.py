#!/usr/bin/env python
"""Move weights between networks that share a trunk, and say what came from where.

| python tools/checkpoint.py compose CONFIG --trunk A.pth --branch det_person=B.pth --branch seg_lane=C.pth -o OUT.pth
| python tools/checkpoint.py extract CONFIG CKPT --task det_person -o OUT.pth
"""

from __future__ import annotations

import argparse
import logging
import sys

import admlops  # noqa: F401  sets thread defaults before torch is loaded
from admlops.errors import AdmlopsError


def _branch(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"expected NAME=CHECKPOINT, got {text!r}")
    return name, path


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    compose = verbs.add_parser("compose", help="put a checkpoint together from several")
    compose.add_argument("config", help="config of the network to compose for")
    compose.add_argument("--trunk", required=True, metavar="CKPT", help="of trunk, neck, and the branches that are not named")
    compose.add_argument(
        "--branch", type=_branch, action="append", default=[], metavar="NAME=CKPT", help="of this branch; may be repeated"
    )
    extract = verbs.add_parser("extract", help="take a network of fewer tasks out of a checkpoint")
    extract.add_argument("config", help="config of the small network, or of the large one with --task")
    extract.add_argument("checkpoint", help="checkpoint of the large network")
    extract.add_argument(
        "--task", action="append", metavar="NAME", help="branch to keep; may be repeated (default: the config's)"
    )
    for verb in (compose, extract):
        verb.add_argument(
            "-o", "--out", required=True, metavar="OUT", help="checkpoint to write; its report gets the suffix .json"
        )
    return parser.parse_args()


def main() -> None:
    """Parse, compose, print the report, exit."""
    args = parse_args()
    logging.getLogger("mmengine").setLevel(logging.ERROR)
    from admlops.engine.compose_checkpoint import compose_checkpoint, format_composition

    try:
        if args.verb == "compose":
            if len(dict(args.branch)) < len(args.branch):
                sys.exit("ConfigError: a branch is named twice")
            report = compose_checkpoint(args.config, args.trunk, args.out, branches=dict(args.branch))
        else:
            report = compose_checkpoint(args.config, args.checkpoint, args.out, tasks=args.task)
    except AdmlopsError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(format_composition(report, args.out))


if __name__ == "__main__":
    main()
