"""What every rendered release shares: kept while its renderer is the same, rendered whole or not at all, one index a source."""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from admlops import point_class, task_spec
from admlops.errors import ConfigError

STAMP = "rendered.json"
"""Marks a finished release and says what it was rendered from."""
INDEX = "index.jsonl"

_VERSION = "v1.0.0"
_BUNDLE = "v1.0.0-20251017-100000"
_LABEL_SOURCES = (Path(point_class.__file__), Path(task_spec.__file__))
"""Define the classes whose numbers masks and point labels hold; both samples are rendered anew where either changes."""
_LOGGER = logging.getLogger(__name__)
Job = TypeVar("Job")


def render_or_keep(
    out_dir: Path, parameters: dict[str, Any], render: Callable[[Path], dict[str, Any]]
) -> tuple[dict[str, Any], bool]:
    """Keep the release that is there with the same parameters, else render it. Nothing half written is seen under ``out_dir``.

    Args:
        out_dir: Of the finished release.
        parameters: What its files depend on.
        render: Writes everything into the folder that it is given; returns what the report says.

    Returns:
        What ``render`` returned, now or then, and whether it was rendered now.

    Raises:
        ConfigError: ``out_dir`` holds something that was not rendered.
    """
    held = _read_stamp(out_dir)
    if held is not None and held["parameters"] == parameters:
        _LOGGER.info("the sample release in %s is up to date", out_dir)
        return held["result"], False
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    with _scratch_folder(out_dir) as scratch:
        result = render(scratch)
        (scratch / STAMP).write_text(json.dumps({"parameters": parameters, "result": result}, indent=1) + "\n")
        _swap_in(scratch, out_dir)
    return result, True


def hash_sources(folder: Path, *versions: str) -> str:
    """Hash the Python files of a folder, this one, and those that define the classes of labels.

    Args:
        folder: A package; its subpackages do not count.
        *versions: Of libraries that the files' bytes depend on.

    Returns:
        Hexadecimal digest.
    """
    digest = hashlib.sha256(" ".join(versions).encode())
    for path in sorted({*folder.glob("*.py"), Path(__file__), *_LABEL_SOURCES}):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def split_counts(shares: Sequence[float], total: int) -> list[int]:
    """Share samples out: at least one each, largest remainders first.

    Args:
        shares: Of the sources; they need not add up to 1.
        total: Samples, at least as many as sources.

    Returns:
        Samples of each source.
    """
    exact = [share / sum(shares) * (total - len(shares)) for share in shares]
    counts = [1 + int(part) for part in exact]
    by_remainder = sorted(range(len(shares)), key=lambda i: (int(exact[i]) - exact[i], i))
    for i in by_remainder[: total - sum(counts)]:
        counts[i] += 1
    return counts


def render_all(
    render: Callable[[Job], dict[str, Any]], jobs: Sequence[Job], num_workers: int | None, what: str
) -> list[dict[str, Any]]:
    """Render all jobs in processes, in order.

    Args:
        render: A function of a module; writes a job's files and returns its record.
        jobs: What to render.
        num_workers: Processes; None = one a core.
        what: Shown beside the progress.

    Returns:
        Records, one a job.
    """
    progress = {"total": len(jobs), "desc": f"rendering {what}", "unit": "scene"}
    num_workers = os.cpu_count() or 1 if num_workers is None else num_workers
    if num_workers <= 1:
        return list(tqdm(map(render, jobs), **progress))
    # Spawned, not forked: the caller may hold threads and locks.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, mp_context=context, initializer=_leave_interrupts_to_parent) as pool:
        try:
            return list(tqdm(pool.map(render, jobs, chunksize=2), **progress))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def write_index(folder: Path, records: list[dict[str, Any]], duplicate: int, task_tags: Sequence[str]) -> dict[str, Any]:
    """Write the index of one source.

    Args:
        folder: Of the source, inside that of its release; named as the source.
        records: Lines of the index.
        duplicate: How often an epoch shows it.
        task_tags: Tasks that it is released for.

    Returns:
        Its entry for the release's ``dataset_index``.
    """
    lines = b"".join(json.dumps(record, separators=(",", ":")).encode() + b"\n" for record in records)
    (folder / INDEX).write_bytes(lines)
    return {
        "name": folder.name,
        "obs_path": f"{folder.name}/{INDEX}",
        "bundle_versions": [_BUNDLE],
        "duplicate": duplicate,
        "task_tags": list(task_tags),
        "integrity": {"sha256": hashlib.sha256(lines).hexdigest(), "bytes": len(lines), "num_samples": len(records)},
    }


def write_release(folder: Path, name: str, tasks: Sequence[str], description: str, entries: list[dict[str, Any]]) -> None:
    """Write the ``training_dataset.json`` of a release.

    Args:
        folder: Of the release.
        name: Of the release, without its version.
        tasks: All its tasks.
        description: What it shows.
        entries: Its sources.
    """
    meta = {
        "release_name": f"{name} {_VERSION}",
        "consumer_version": _VERSION,
        "bundle_versions": [_BUNDLE],
        "version": _VERSION,
        "tasks": list(tasks),
        "training_type": "regular",
        "description": description,
    }
    text = json.dumps({"meta": meta, "dataset_index": entries}, indent=2) + "\n"
    (folder / "training_dataset.json").write_text(text)


def count_bytes(folder: Path) -> int:
    """Count the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _leave_interrupts_to_parent() -> None:
    # Ctrl-C reaches every process of the terminal; one of them is enough to tidy up.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _read_stamp(out_dir: Path) -> dict[str, Any] | None:
    """Read the stamp of a finished release; None where there is nothing; refuse what we did not make."""
    if not out_dir.exists():
        return None
    try:
        held: dict[str, Any] = json.loads((out_dir / STAMP).read_text())
    except (OSError, ValueError):
        held = {}
    if {"parameters", "result"} <= held.keys():
        return held
    if any(out_dir.iterdir()):
        raise ConfigError(
            "the folder for the sample release holds something else",
            where=out_dir,
            expected=f"no folder, an empty one, or a rendered release (with {STAMP})",
            remedy="give another folder, or remove this one",
        )
    return None


@contextmanager
def _scratch_folder(out_dir: Path) -> Iterator[Path]:
    """Make a folder beside ``out_dir`` that is gone afterwards, and remove what killed renderings left there."""
    for left in out_dir.parent.glob(f".{out_dir.name}.rendering-*"):
        owner = left.suffix.rpartition("-")[2]
        if not (owner.isdigit() and Path(f"/proc/{owner}").exists()):
            shutil.rmtree(left, ignore_errors=True)
    scratch = out_dir.with_name(f".{out_dir.name}.rendering-{os.getpid()}")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _swap_in(scratch: Path, out_dir: Path) -> None:
    """Put a finished folder in the place of an older one."""
    old = scratch.with_name(f"{scratch.name}-old")
    if out_dir.exists():
        out_dir.rename(old)
    scratch.rename(out_dir)
    shutil.rmtree(old, ignore_errors=True)
