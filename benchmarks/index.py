"""Random access to records: ``JsonlIndex`` beside what others do with the same JSONL file, as ratios in one run.

Writes a JSONL file of camera records, then measures, for each way that is installed: first build, reopening, samples per
second of a shuffled ``DataLoader`` with two workers, and the private memory that each worker adds (``Private_*`` of
``/proc/<pid>/smaps``, less that of workers that read nothing; ``gc.freeze`` before the fork, as training does).

    python benchmarks/index.py [--lines 2000000]

``mmengine`` is its ``BaseDataset`` (a Python list serialised into one array); ``datasets`` is Hugging Face's, which
ADMLOps does not need: ``pip install --target FOLDER datasets "pyarrow<22"``, remove FOLDER/numpy*, set ``PYTHONPATH=FOLDER``.

Bounds: reopening takes at most 1 % of the first build, and a worker's private memory grows by at most 15 MB.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import torch
from figure_line import Figure
from torch.utils.data import DataLoader, Dataset, Sampler

from admlops.data_release import JsonlIndex

BATCH = 256
NUM_WORKERS = 2


def write_records(path: Path, num_lines: int) -> None:
    """Write camera records of about 350 bytes: up to four boxes, a mask, attributes."""
    rng = random.Random(0)
    with path.open("wb", buffering=1 << 20) as file:
        for i in range(num_lines):
            boxes = []
            for _ in range(rng.randrange(5)):
                x, y = round(rng.uniform(0, 1800), 2), round(rng.uniform(0, 1000), 2)
                boxes.append([x, y, x + 30.25, y + 20.5])
            record = {
                "sample_id": f"drive_{i:08d}",
                "image": {"path": f"images/{i // 1000:04d}/{i:08d}.jpg", "width": 1920, "height": 1080},
                "labels": {
                    "det_person": {"boxes": boxes, "categories": ["person"] * len(boxes)},
                    "seg_default": {"mask": f"masks/{i // 1000:04d}/{i:08d}.png"},
                },
                "attributes": {"scene": f"scene_{i // 100:06d}", "timestamp_ns": 1_700_000_000_000_000_000 + i},
            }
            file.write(orjson.dumps(record) + b"\n")


class Records(Dataset[str]):
    """Reads a record and hands back its id, so that the loader's transport costs the same for all."""

    def __init__(self, records: Any) -> None:
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> str:
        return str(self.records[index]["sample_id"])


class Nothing(Dataset[str]):
    """The baseline of the memory measurement."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> str:
        return "drive_00000000"


class Shuffled(Sampler[int]):
    """A fixed random order of the first ``count`` of a permutation; no tensor of the whole order in the workers."""

    def __init__(self, size: int, count: int) -> None:
        self.size, self.count = size, count

    def __iter__(self) -> Iterator[int]:
        rng = random.Random(1)
        return (rng.randrange(self.size) for _ in range(self.count))

    def __len__(self) -> int:
        return self.count


def private_mb(pid: int) -> float:
    """Memory of a process that it shares with no other, in MB."""
    rows = Path(f"/proc/{pid}/smaps").read_text().splitlines()
    return sum(int(row.split()[1]) for row in rows if row.startswith(("Private_Clean", "Private_Dirty"))) / 1024


def load(dataset: Dataset[str], size: int, count: int) -> tuple[float, float]:
    """Read ``count`` shuffled records with two forked workers; samples per second and private MB of a worker."""
    gc.collect()
    gc.freeze()
    loader = DataLoader(
        dataset,
        batch_size=BATCH,
        sampler=Shuffled(size, count),
        num_workers=NUM_WORKERS,
        multiprocessing_context="fork",
        worker_init_fn=_freeze,
    )
    batches = iter(loader)
    next(batches)  # the workers are up
    start, seen, memory_mb = time.perf_counter(), 0, 0.0
    last = len(loader) - 2 - 2 * NUM_WORKERS  # they still live then
    elapsed = 0.0
    for i, batch in enumerate(batches):
        seen += len(batch)
        if i == last:
            elapsed = time.perf_counter() - start
            memory_mb = max(private_mb(worker.pid) for worker in batches._workers)
            break
    gc.unfreeze()
    return seen / elapsed, memory_mb


def _freeze(_: int) -> None:
    torch.set_num_threads(1)
    gc.freeze()


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that an action takes, and its result."""
    gc.collect()
    start = time.perf_counter()
    result = action()
    return time.perf_counter() - start, result


def measure(openers: dict[str, Callable[[], Any]], num_reads: int, rounds: int) -> list[dict[str, Any]]:
    """Open the file twice each way, then read it in turns; the best round counts, for others use the machine too."""
    rows, opened = [], []
    for name, opener in openers.items():
        built_s, _ = timed(opener)
        reopened_s, records = timed(opener)
        rows.append({"name": name, "build_s": built_s, "reopen_s": reopened_s, "per_s": 0.0, "worker_mb": 0.0})
        opened.append(records)
        print(f"  opened with {name}", flush=True)
    for _ in range(rounds):
        for row, records in zip(rows, opened, strict=True):
            per_second, memory_mb = load(Records(records), len(records), num_reads)
            row["per_s"] = max(row["per_s"], per_second)
            row["worker_mb"] = max(row["worker_mb"], memory_mb)
    return rows


def mmengine_records(path: Path) -> Any:
    """The file as mmengine's ``BaseDataset``; None where mmengine is missing."""
    try:
        from mmengine.dataset import BaseDataset
    except ImportError:
        return None

    class JsonlDataset(BaseDataset):
        """All lines, parsed at every start and pickled into one array."""

        def load_data_list(self) -> list[dict[str, Any]]:
            with Path(self.ann_file).open("rb") as file:
                return [orjson.loads(line) for line in file]

        def __getitem__(self, index: int) -> dict[str, Any]:
            return self.get_data_info(index)

    return lambda: JsonlDataset(ann_file=str(path), pipeline=[])


def hugging_face_records(path: Path, cache: Path) -> Any:
    """The file as a Hugging Face data set; None where ``datasets`` is missing."""
    try:
        import datasets
    except ImportError:
        return None
    datasets.disable_progress_bars()
    return lambda: datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(cache))


def main() -> None:
    """Write the file, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=2_000_000, help="records in the file")
    parser.add_argument("--reads", type=int, default=100_000, help="records read through the loader, a round")
    parser.add_argument("--rounds", type=int, default=3, help="how often each way reads; the best counts")
    parser.add_argument("--quick", action="store_true", help="a small file, to see that it runs; the figures mean nothing")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.lines, arguments.reads, arguments.rounds = 5_000, 5_000, 1
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ADMLOPS_CACHE"] = f"{folder}/cache"
        os.environ["HF_HUB_OFFLINE"] = "1"
        path = Path(folder) / "records.jsonl"
        write_records(path, arguments.lines)
        print(f"{arguments.lines:,} records, {path.stat().st_size / 1e6:.0f} MB")
        idle_per_s, idle_mb = load(Nothing(arguments.lines), arguments.lines, arguments.reads)
        openers = {
            "JsonlIndex": lambda: JsonlIndex(path),
            "datasets": hugging_face_records(path, Path(folder) / "hf"),
            "mmengine": mmengine_records(path),
        }
        for name in [name for name, opener in openers.items() if opener is None]:
            print(f"  {name} is not installed: skipped (see --help)")
            del openers[name]
        rows = measure(openers, arguments.reads, arguments.rounds)
    report(rows, idle_per_s, idle_mb)


def report(rows: list[dict[str, Any]], idle_per_s: float, idle_mb: float) -> None:
    """Print the table, whose ratios are to ``JsonlIndex``, and the figures."""
    own = rows[0]
    print(f"\n{'':<12}{'build s':>9}{'reopen s':>10}{'/ build':>9}{'loader /s':>11}{'ratio':>7}{'worker MB':>11}")
    for row in rows:
        row["reopen_share"] = row["reopen_s"] / row["build_s"]
        row["ratio"] = row["per_s"] / own["per_s"]
        row["worker_mb"] -= idle_mb
        print(
            f"{row['name']:<12}{row['build_s']:>9.2f}{row['reopen_s']:>10.4f}{row['reopen_share']:>9.2%}"
            f"{row['per_s']:>11,.0f}{row['ratio']:>7.2f}{row['worker_mb']:>11.1f}"
        )
    print(f"{'(no reading)':<12}{'':>28}{idle_per_s:>11,.0f}{idle_per_s / own['per_s']:>7.2f}{'':>11}")
    print(f"worker MB: private memory above the {idle_mb:.0f} MB of a worker that reads nothing")
    seconds = f"{own['reopen_s']:.4f} s / {own['build_s']:.1f} s"
    print(Figure("index: reopening / first build", seconds, own["reopen_share"], bound=0.01))
    print(Figure("index: memory of a worker above an idle one's, MB", f"{idle_mb:.0f} MB idle", own["worker_mb"], bound=15))
    for row in rows[1:]:
        loaders = f"{own['per_s']:,.0f} / {row['per_s']:,.0f} samples/s"
        print(Figure(f"index: loader, ours / {row['name']}", loaders, own["per_s"] / row["per_s"]))
        seconds = f"{row['reopen_s']:.2f} s / {own['reopen_s']:.4f} s"
        print(Figure(f"index: reopening, {row['name']} / ours", seconds, row["reopen_s"] / own["reopen_s"]))


if __name__ == "__main__":
    main()
