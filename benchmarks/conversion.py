"""Conversion of many frames: frames a second, cores kept busy, memory, and what a conversion that was broken off costs.

Writes two synthetic sources of tiny frames, one whose labels are a file a frame (KITTI's layout) and one whose labels are one
JSON list (BDD100K's), converts a quarter of the frames and all of them with all cores, then all of them again after a kill at
half.

    python benchmarks/conversion.py                    # 20,000 frames a source
    python benchmarks/conversion.py --frames 300000

``parent`` and ``workers`` are CPU time a further frame (between the two sizes, so that starting up is not in it) of the process
that lists frames and of those that convert them: ``feeds`` is their ratio, how many workers the parent keeps busy whatever else
the machine does. ``cores`` is CPU time over wall time, ``idle`` what the whole machine left unused meanwhile. Frames are 8x8
px: the figures are the framework's own cost, real photos only make the workers' part larger. Memory is the peak resident set
of the parent and of the largest worker at both sizes. ``second half`` is CPU time after the kill, without starting up, as a
share of the uninterrupted run's.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from admlops.conversion import CONVERTERS, convert_source
from admlops.conversion.convert_source import CHUNK_FRAMES
from admlops.threads import available_cores

PIXELS = np.zeros((8, 8, 3), np.uint8)
KITTI_LINES = "".join(f"Car 0.00 0 -1.57 1.00 {row}.00 7.00 7.50 1.5 1.6 4.0 1.0 1.5 20.0 -1.55\n" for row in range(1, 7))
MEASURE = "--measure"


def write_kitti(root: Path, num_frames: int) -> None:
    """A PNG and a label file a frame."""
    folders = [root / "training" / name for name in ("image_2", "label_2")]
    for folder in folders:
        folder.mkdir(parents=True)
    photo = cv2.imencode(".png", PIXELS)[1].tobytes()
    for i in range(num_frames):
        (folders[0] / f"{i:06d}.png").write_bytes(photo)
        (folders[1] / f"{i:06d}.txt").write_text(KITTI_LINES)


def write_bdd100k(root: Path, num_frames: int) -> None:
    """A JPEG a frame, and one list of objects, 20 a frame as in the real one."""
    photos, lists = root / "images/100k/train", root / "labels/det_20"
    for folder in (photos, lists):
        folder.mkdir(parents=True)
    photo = cv2.imencode(".jpg", PIXELS)[1].tobytes()
    box2d = {"x1": 1.25, "y1": 1.5, "x2": 7.0, "y2": 7.0}
    item = {"id": "0", "attributes": {"occluded": False}, "category": "car", "box2d": box2d}
    with (lists / "det_train.json").open("w") as file:
        for i in range(num_frames):
            (photos / f"{i:08x}-00000000.jpg").write_bytes(photo)
            frame = {"name": f"{i:08x}-00000000.jpg", "attributes": {"weather": "clear"}, "labels": [item] * 20}
            file.write(("[" if i == 0 else ",\n") + json.dumps(frame, indent=1))
        file.write("]\n")


SOURCES = {"kitti": write_kitti, "bdd100k": write_bdd100k}


def measure(source: str, root: Path, out: Path, num_workers: int) -> None:
    """Convert in this process, which does nothing else, and print what it took."""
    start = time.perf_counter()
    convert_source(CONVERTERS[source](root), out, num_workers=num_workers)
    wall = time.perf_counter() - start
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    row = {"wall": wall}
    for name, usage in (("parent", own), ("worker", children)):
        row |= {f"{name}_cpu": usage.ru_utime + usage.ru_stime, f"{name}_mb": usage.ru_maxrss / 1024}
    print(json.dumps(row))


def start(source: str, root: Path, out: Path, num_workers: int) -> subprocess.Popen[str]:
    """Start ``measure`` in a process of its own, whose peak memory is then its alone."""
    command = [sys.executable, __file__, MEASURE, source, str(root), str(out), str(num_workers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> dict[str, float]:
    """Read what ``measure`` printed."""
    output, _ = process.communicate()
    if process.returncode:
        sys.exit(process.returncode)
    row: dict[str, float] = json.loads(output)
    return row


def interrupt_at_half(source: str, root: Path, out: Path, num_workers: int, num_frames: int) -> None:
    """Kill a conversion when half of its chunks are there."""
    process = start(source, root, out, num_workers)
    chunks = out.with_name(f"{out.name}.partial") / "chunks"
    while len(list(chunks.glob("*.jsonl"))) < num_frames / CHUNK_FRAMES / 2:
        if process.poll() is not None:
            sys.exit("the conversion was over before half of its chunks were seen: more --frames are needed")
        time.sleep(0.05)
    process.kill()
    process.communicate()


def run(source: str, folder: Path, num_frames: int, num_workers: int) -> str:
    """Measure one layout at two sizes, and the larger one continued from half; a row of the table."""
    rows = []
    for size in (num_frames // 4, num_frames):
        root = folder / f"{source}_{size}"
        SOURCES[source](root, size)
        idle = idle_seconds()
        rows.append(finish(start(source, root, folder / f"{source}_out_{size}", num_workers)))
        rows[-1]["idle"] = idle_seconds() - idle
    again = folder / f"{source}_again"
    interrupt_at_half(source, root, again, num_workers, num_frames)
    resumed = finish(start(source, root, again, num_workers))
    few, all_ = rows
    further = num_frames - num_frames // 4
    parent, worker = (1e6 * (all_[key] - few[key]) / further for key in ("parent_cpu", "worker_cpu"))
    growth = (all_["parent_mb"] - few["parent_mb"]) * (1 << 20) / further
    cpu, cpu_resumed = (row["parent_cpu"] + row["worker_cpu"] for row in (all_, resumed))
    starting_up = cpu - (parent + worker) * num_frames / 1e6
    cells = (
        source,
        f"{num_frames / all_['wall']:,.0f}",
        f"{cpu / all_['wall']:.2f}",
        f"{all_['idle'] / all_['wall']:.2f}",
        f"{parent:.0f} us",
        f"{worker:.0f} us",
        f"{worker / parent:.1f}",
        f"{few['parent_mb']:.0f}, {all_['parent_mb']:.0f} ({growth:.0f} bytes a frame)",
        f"{few['worker_mb']:.0f}, {all_['worker_mb']:.0f}",
        f"{(cpu_resumed - starting_up) / (cpu - starting_up):.0%}",
    )
    return f"| {' | '.join(cells)} |"


def idle_seconds() -> float:
    """What all cores of the machine have been idle since it started."""
    return float(Path("/proc/stat").read_text().split()[4]) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Write the sources, convert them, print a table."""
    if sys.argv[1:2] == [MEASURE]:
        source, root, out, num_workers = sys.argv[2:]
        measure(source, Path(root), Path(out), int(num_workers))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=20_000, help="frames of each source (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=available_cores(), help="processes (default: all cores)")
    args = parser.parse_args()
    print(f"{args.frames // 4:,} and {args.frames:,} frames, {args.workers} workers on {available_cores()} cores\n")
    print("| source | frames/s | cores | idle | parent | workers | feeds | parent MB | worker MB | second half |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for source in SOURCES:
            print(run(source, Path(folder), args.frames, args.workers), flush=True)


if __name__ == "__main__":
    main()
