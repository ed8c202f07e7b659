"""What a release costs: checking its file, resolving its tag, locking its objects, shuffling its samples; as ratios in one run.

    python benchmarks/data_release.py [--lock-mb 36]

- Checking: ``read_dataset_file`` on 5,000 pinned entries beside ``json.load`` of the same file.
- Resolving: ``resolve`` of a tag beside what a shell would do, ``git rev-parse`` of the tag and ``git show`` of the file.
- Locking: ``lock`` beside downloading the same eight objects with boto3, one after the other, and hashing each. ``lock`` also
  counts the records and looks for damage. A real S3 server (moto) in a process of its own, on loopback: no network's latency
  hides the work. Beside the times the CPU time of client and server, children included.
- Shuffling: 20,000,000 virtual samples through ``ReleaseSampler`` beside the array that ``numpy`` permutes.

Each pair is measured in turns; the best round of each counts, for others use the machine too. Checking and resolving are
measured in CPU time, that of git included, which a busy machine does not stretch.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import itertools
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import numpy as np
from figure_line import Figure

from admlops.data_release import read_dataset_file
from admlops.data_release.repository.lock import lock
from admlops.data_release.repository.resolve import resolve

BUNDLE = "v1.2.0-20251017-100000"
TAG = "multi_task/v1.0.0"
NUM_OBJECTS = 8
RECORD_BYTES = 354
SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


def release(entries: list[dict[str, Any]]) -> bytes:
    """The content of a dataset file around entries."""
    meta = {
        "release_name": "Joint",
        "consumer_version": "v1.2.0",
        "bundle_versions": [BUNDLE],
        "version": "v1.0.0",
        "tasks": ["det_person", "seg_lane"],
    }
    return json.dumps({"meta": meta, "dataset_index": entries}, ensure_ascii=False, indent=2).encode()


def pinned_entry(i: int) -> dict[str, Any]:
    """One of many entries, as a team writes them."""
    return {
        "name": f"高速_{i:05d}",
        "obs_path": f"obs://god-data/lists/{i // 100:03d}/part_{i:05d}.jsonl",
        "bundle_versions": [BUNDLE],
        "duplicate": 1 + i % 5,
        "task_tags": ["det_person", "seg_lane"][: 1 + i % 2],
        "integrity": {"sha256": f"{i:064x}", "bytes": 123_456 + i, "num_samples": 100 + i},
    }


def in_turns(rounds: int, *actions: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> list[float]:
    """Seconds of the best round of each action."""
    gc.collect()
    gc.freeze()  # what the process holds besides is not traversed again and again
    best = [float("inf")] * len(actions)
    for _ in range(rounds):
        for i, action in enumerate(actions):
            start = clock()
            action()
            best[i] = min(best[i], clock() - start)
    return best


def cpu_s() -> float:
    """CPU time of this process and of its ended children."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def check_entries(folder: Path, num_entries: int, rounds: int) -> Figure:
    """Checking a file of many entries."""
    path = folder / "entries.json"
    path.write_bytes(release([pinned_entry(i) for i in range(num_entries)]))

    def load() -> None:
        with path.open(encoding="utf-8") as file:
            json.load(file)

    plain_s, checked_s = in_turns(rounds, load, lambda: read_dataset_file(path.read_bytes(), path), clock=cpu_s)
    times = f"{checked_s * 1e3:.0f} ms / {plain_s * 1e3:.1f} ms"
    return Figure(f"release: checking {num_entries:,} entries / json.load", times, checked_s / plain_s, bound=8)


def resolve_tag(folder: Path, rounds: int) -> Figure:
    """From a tag to the hash of its dataset file."""
    repo = folder / "repo"
    repo.mkdir()
    (repo / "training_dataset.json").write_bytes(release([pinned_entry(i) for i in range(20)]))
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"], ["tag", "-am", "first", TAG]):
        git(repo, "-c", "user.name=B", "-c", "user.email=b@example.org", *command)

    def by_hand() -> None:
        commit = git(repo, "rev-parse", f"refs/tags/{TAG}^{{commit}}").decode().strip()
        hashlib.sha256(git(repo, "show", f"{commit}:training_dataset.json")).hexdigest()

    by_hand_s, ours_s = in_turns(rounds, by_hand, lambda: resolve(repo, TAG), clock=cpu_s)
    times = f"{ours_s * 1e3:.1f} ms / {by_hand_s * 1e3:.1f} ms"
    return Figure("release: resolving a tag / git rev-parse and git show", times, ours_s / by_hand_s, bound=2)


def git(repo: Path, *arguments: str) -> bytes:
    """What a git command prints."""
    return subprocess.run(["git", "-C", str(repo), *arguments], check=True, capture_output=True).stdout


def lock_objects(folder: Path, object_mb: float, rounds: int) -> Figure:
    """Pinning eight objects."""
    from index import write_records

    os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_EC2_METADATA_DISABLED="true")
    command = [sys.executable, "-c", SERVER]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as server:
        endpoint = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
        client.create_bucket(Bucket="lists")
        records = folder / "records.jsonl"
        write_records(records, int(object_mb * 1e6 / RECORD_BYTES))
        names = [f"part_{i}.jsonl" for i in range(NUM_OBJECTS)]
        for name in names:
            client.upload_file(str(records), "lists", name)
        repo = folder / "locked"
        repo.mkdir()
        git(repo, "init", "-q")
        profile = f"{{scheme: obs, endpoint: '{endpoint}', region: us-east-1, addressing: path}}"
        (repo / "data_release.yaml").write_text(f"storage: {{loopback: {profile}}}\n")
        content = release([{"name": name, "obs_path": f"obs://lists/{name}"} for name in names])
        used = {"boto3": [], "lock": []}

        def by_hand() -> None:
            before = cpu_with_s(server.pid)
            target = folder / "downloads"
            target.mkdir()
            for name in names:
                client.download_file("lists", name, str(target / name))
                with (target / name).open("rb") as file:
                    hasher = hashlib.sha256()
                    while chunk := file.read(1 << 20):
                        hasher.update(chunk)
            shutil.rmtree(target)
            used["boto3"].append(cpu_with_s(server.pid) - before)

        def ours() -> None:
            before = cpu_with_s(server.pid)
            os.environ["ADMLOPS_CACHE"] = str(folder / "cache")
            (repo / "training_dataset.json").write_bytes(content)
            lock(repo)
            shutil.rmtree(folder / "cache")
            used["lock"].append(cpu_with_s(server.pid) - before)

        by_hand_s, ours_s = in_turns(rounds, by_hand, ours)
        server.stdin.close()
    print(f"{NUM_OBJECTS} objects of {records.stat().st_size / 1e6:.0f} MB; CPU of client and server:")
    print(f"  boto3 and sha256 {min(used['boto3']):.2f} s, lock {min(used['lock']):.2f} s")
    return Figure("release: lock / boto3 and sha256", f"{ours_s:.2f} s / {by_hand_s:.2f} s", ours_s / by_hand_s, bound=1.5)


def cpu_with_s(pid: int) -> float:
    """CPU time of this process, of its ended children, and of another one."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return cpu_s() + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def shuffle(folder: Path, num_lines: int, rounds: int) -> list[Figure]:
    """Walking through a thousand times as many virtual samples as there are lines."""
    from index import write_records

    from admlops.datasets import ReleaseDataset, ReleaseSampler

    os.environ["ADMLOPS_CACHE"] = str(folder / "shuffle_cache")
    root = folder / "shuffled"
    root.mkdir()
    write_records(root / "records.jsonl", num_lines)
    entry = {"name": "records", "obs_path": "records.jsonl", "duplicate": 1000}
    (root / "training_dataset.json").write_bytes(release([entry]))
    dataset = ReleaseDataset({"root": str(root)}, ["det_person"])
    size = len(dataset)
    warm = np.arange(1024, dtype=np.uint64)
    ReleaseSampler(dataset, seed=1).indices_at(warm)

    before_mb = resident_mb()
    sampler = ReleaseSampler(dataset, seed=1)
    for _ in itertools.islice(sampler, 100_000):
        pass
    sampler_mb = resident_mb() - before_mb
    before_mb = resident_mb()
    order = np.random.default_rng(0).permutation(size)
    array_mb = resident_mb() - before_mb
    del order

    reads = min(size, 2_000_000)
    starts = range(0, reads, 1024)

    def ours() -> None:
        for start in starts:
            sampler.indices_at(warm + np.uint64(start))

    ours_s, numpy_s = in_turns(rounds, ours, lambda: np.random.default_rng(0).permutation(size))
    ours_ns, numpy_ns = ours_s / len(starts) / 1024 * 1e9, numpy_s / size * 1e9
    samples = f"{size:,} samples"
    return [
        Figure(f"release: memory of the order of {samples}, MB", f"numpy {array_mb:.0f} MB", sampler_mb, bound=5),
        Figure(f"release: an index of {samples}, ours / numpy", f"{ours_ns:.0f} ns / {numpy_ns:.0f} ns", ours_ns / numpy_ns),
    ]


def resident_mb() -> float:
    """Memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    """Measure, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lock-mb", type=float, default=36, help="size of each of the eight objects")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs; the figures mean nothing")
    arguments = parser.parse_args()
    quick = arguments.quick
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = [
            check_entries(folder, 50 if quick else 5000, 1 if quick else 10),
            resolve_tag(folder, 1 if quick else 20),
            lock_objects(folder, 0.1 if quick else arguments.lock_mb, 1 if quick else 5),
            *shuffle(folder, 200 if quick else 20_000, 1 if quick else 3),
        ]
    for figure in figures:
        print(figure)


if __name__ == "__main__":
    main()
