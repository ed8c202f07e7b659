#!/usr/bin/env python
"""Every benchmark in a process of its own, and a table of their figures.

    python benchmarks/run_all.py [index pipeline ...] [--quick] [--write docs/benchmarks.md]

``--write`` puts the table between the two marks in that file. ``--quick`` only shows that all run. Fails where a benchmark
does, or where a figure misses its bound (not with ``--quick``). ``multitask_gap.py``, ``quantization.py accuracy`` and
``lidar.py accuracy`` train for hours and are run by themselves.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from figure_line import Figure, parse_figures

FOLDER = Path(__file__).resolve().parent
QUICK_ARGUMENTS = {
    "index": ["--quick"],
    "pipeline": ["--quick"],
    "evaluation": ["--quick"],
    "training": ["--batch-size", "1", "--crop-hw", "128", "192", "--rounds", "1"],
    "conversion": ["--frames", "8000"],
    "data_release": ["--quick"],
    "quantization": ["--quick"],
    "lidar": ["encoder", "--quick"],
}
"""Benchmarks in the order in which they run, with the arguments of a quick one."""

BEGIN, END = "<!-- run_all: begin -->", "<!-- run_all: end -->"


def run(name: str, quick: bool) -> list[Figure]:
    """Run a benchmark, pass its output on as it comes, and find its figures.

    Args:
        name: Of its file.
        quick: At a size at which the figures mean nothing.

    Returns:
        Its figures.

    Raises:
        SystemExit: The benchmark failed.
    """
    command = [sys.executable, str(FOLDER / f"{name}.py"), *(QUICK_ARGUMENTS[name] if quick else [])]
    print(f"\n== {' '.join(command[1:])}", flush=True)
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=FOLDER.parent) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        raise SystemExit(f"{name} failed with status {process.returncode}")
    return parse_figures("".join(lines))


def table(figures: list[Figure]) -> str:
    """Lay out figures as a Markdown table."""
    rows = ["| what | measured | figure | bound | |", "|---|---|---|---|---|"]
    for figure in figures:
        bound = "" if figure.bound is None else f"{'≥' if figure.at_least else '≤'} {figure.bound:g}"
        rows.append(f"| {figure.what} | {figure.details} | {figure.number} | {bound} | {figure.verdict} |")
    return "\n".join(rows)


def write_between_marks(path: Path, text: str) -> None:
    """Replace what stands between the marks of a file.

    Args:
        path: The file.
        text: What is to stand there.

    Raises:
        SystemExit: The file lacks the marks.
    """
    content = path.read_text(encoding="utf-8")
    before, begin, rest = content.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{path} lacks the lines {BEGIN} and {END}")
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Parse, run, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(QUICK_ARGUMENTS), help=f"of {', '.join(QUICK_ARGUMENTS)}; default all")
    parser.add_argument("--quick", action="store_true", help="tiny sizes")
    parser.add_argument("--write", type=Path, help="put the table into this file")
    args = parser.parse_args()
    unknown = set(args.names) - QUICK_ARGUMENTS.keys()
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))} (of {', '.join(QUICK_ARGUMENTS)})")
    figures = [figure for name in args.names for figure in run(name, args.quick)]
    print(f"\n{table(figures)}")
    if args.write:
        write_between_marks(args.write, table(figures))
    if not args.quick and any(figure.verdict == "FAIL" for figure in figures):
        raise SystemExit("a figure misses its bound")


if __name__ == "__main__":
    main()
