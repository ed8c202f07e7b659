"""Run a converter: frames -> chunks on all cores -> a release folder that appears complete or not at all.

While it runs, everything lies in ``OUT.partial``: finished chunks under names that hold a hash of the size and time of each
source file and of what an annotation file says of the frames, so that a conversion that was broken off continues and a frame
whose source has changed since is converted again. At the end one rename makes it ``OUT``.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
from tqdm import tqdm

from admlops.conversion.chunk_pool import run_jobs
from admlops.conversion.converter import Converter, FrameWriter, SourceFrame
from admlops.conversion.report import build_report
from admlops.conversion.tally import Tally
from admlops.data_release import validate_record
from admlops.data_release.new_release import release_content
from admlops.data_release.schema import DATASET_FILE
from admlops.errors import ConversionError, MachineError
from admlops.task_spec import TaskSpec, resolve_task
from admlops.threads import available_cores

CHUNK_FRAMES = 32
"""Frames a job: small enough for a moving progress bar, large enough that the chunk files stay few."""

RELEASE_VERSION = "v1.0.0"
_COPY_BYTES = 1 << 20


@dataclass(frozen=True)
class _Folders:
    out: Path

    @property
    def partial(self) -> Path:
        return self.out.with_name(self.out.name + ".partial")

    @property
    def release(self) -> Path:
        return self.partial / "release"

    @property
    def chunks(self) -> Path:
        return self.partial / "chunks"

    @property
    def scratch(self) -> Path:
        return self.partial / "scratch"

    @property
    def identity(self) -> Path:
        return self.partial / "identity.json"


@dataclass(frozen=True)
class _Plan:
    num_frames: int
    ids_digest: str
    chunk_names: tuple[str, ...]

    def frames_in(self, chunk: int) -> int:
        return min(CHUNK_FRAMES, self.num_frames - chunk * CHUNK_FRAMES)


@dataclass(frozen=True)
class _Job:
    converter: Converter
    frames: tuple[SourceFrame, ...]
    chunk: Path
    folders: _Folders
    copy: bool


def convert_source(
    converter: Converter,
    out_dir: Path,
    *,
    name: str | None = None,
    copy: bool = False,
    limit: int | None = None,
    num_workers: int | None = None,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Convert one split of a source to a release folder.

    Args:
        converter: The source, its split and options.
        out_dir: The release folder to make; it must not exist, or be empty.
        name: Name of the release's entry and of its JSONL file; ``<format>_<split>`` where None.
        copy: Copy images and lidar sweeps into ``out_dir``, so that it can be moved.
        limit: Convert so many frames at most, spread evenly over the split: for a first look, or for tests.
        num_workers: Processes; all cores that this process may use where None.
        show_progress: Draw a progress bar on standard error.

    Returns:
        The report, which is also written as ``report.json``.

    Raises:
        ConversionError: A source file is missing, truncated or malformed; ``out_dir`` is in use. ``out_dir`` is untouched.
        MachineError: The disk is full or not writable.
    """
    folders = _Folders(Path(out_dir).absolute())
    entry = name or f"{converter.name}_{converter.split}"
    _refuse_unusable(folders, entry)
    with _writing():
        plan = _survey(converter, limit)
    with _writing(), _locked(folders):
        _start_or_continue(folders, {**converter.identity, "copy": copy, "frames": plan.ids_digest})
        todo = [chunk for chunk, name in enumerate(plan.chunk_names) if not (folders.chunks / name).exists()]
        with tqdm(total=plan.num_frames, unit="frame", desc=entry, disable=not show_progress, smoothing=0.05) as bar:
            bar.update(plan.num_frames - sum(plan.frames_in(chunk) for chunk in todo))
            workers = min(num_workers or available_cores(), len(todo))
            for num_done in run_jobs(_convert_chunk, _jobs(converter, plan, folders, copy, limit), workers):
                bar.update(num_done)
        report = _finish(converter, entry, plan, folders)
    shutil.rmtree(folders.partial)
    return report


def _refuse_unusable(folders: _Folders, entry: str) -> None:
    if folders.out.exists() and (not folders.out.is_dir() or any(folders.out.iterdir())):
        raise ConversionError(
            "the output folder is not empty",
            where=folders.out,
            expected="a folder that does not exist yet",
            remedy="choose another --out-dir, or delete this one",
        )
    if not entry or "/" in entry or entry in {".", "..", "report", "training_dataset"}:
        raise ConversionError("unusable --name", expected="a plain file name", got=repr(entry))


def _survey(converter: Converter, limit: int | None) -> _Plan:
    """Find missing files and repeated frames before any work is done; fingerprint each chunk's files."""
    seen: set[str] = set()
    ids = hashlib.sha256()
    names: list[str] = []
    for chunk in _chunks(converter, limit):
        fingerprint = hashlib.sha256()
        for frame in chunk:
            if frame.sample_id in seen:
                first = next(other.listed_in for other in converter.frames() if other.sample_id == frame.sample_id)
                raise ConversionError(f"frame {frame.sample_id!r} is listed twice", where=frame.listed_in, got=f"also {first}")
            seen.add(frame.sample_id)
            ids.update(orjson.dumps(frame.sample_id))
            fingerprint.update(orjson.dumps((_file_states(frame), frame.annotation)))
        names.append(f"{len(names):08d}-{fingerprint.hexdigest()[:16]}.jsonl")
    if not seen:
        raise ConversionError(
            f"{converter.name} split {converter.split!r} holds no frame", where=converter.source_root, expected="at least one"
        )
    return _Plan(len(seen), ids.hexdigest(), tuple(names))


def _file_states(frame: SourceFrame) -> list[tuple[str, int, int]]:
    states = []
    for role, path in frame.files.items():
        try:
            stat = path.stat()
        except FileNotFoundError:
            raise ConversionError(
                f"a source file is missing: the {role} of frame {frame.sample_id!r}",
                where=path,
                expected=f"a file, because of {frame.listed_in}",
                got="no file",
                remedy="complete the source, then run the same command: it continues",
            ) from None
        states.append((str(path), stat.st_size, stat.st_mtime_ns))
    return states


def _chunks(converter: Converter, limit: int | None) -> Iterator[tuple[SourceFrame, ...]]:
    frames = iter(converter.frames())
    if limit is not None:
        num_frames = sum(1 for _ in converter.frames())
        chosen = (number * num_frames // limit for number in range(limit)) if limit < num_frames else range(num_frames)
        frames = _pick(frames, chosen)
    while chunk := tuple(islice(frames, CHUNK_FRAMES)):
        yield chunk


def _pick(frames: Iterator[SourceFrame], chosen: Iterable[int]) -> Iterator[SourceFrame]:
    passed = -1
    for number in chosen:
        yield next(islice(frames, number - passed - 1, None))
        passed = number


def _jobs(converter: Converter, plan: _Plan, folders: _Folders, copy: bool, limit: int | None) -> Iterator[_Job]:
    for name, frames in zip(plan.chunk_names, _chunks(converter, limit), strict=True):
        if not (folders.chunks / name).exists():
            yield _Job(converter, frames, folders.chunks / name, folders, copy)


@contextmanager
def _locked(folders: _Folders) -> Iterator[None]:
    folders.partial.mkdir(parents=True, exist_ok=True)
    foreign = {path.name for path in folders.partial.iterdir()} - {"release", "chunks", "scratch", "identity.json", "lock"}
    if foreign:
        raise ConversionError(
            "the folder for unfinished conversions holds something else",
            where=folders.partial,
            got=", ".join(sorted(foreign)),
            remedy="move it away, or choose another --out-dir",
        )
    with (folders.partial / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConversionError("another conversion writes to this folder", where=folders.out) from None
        yield


def _start_or_continue(folders: _Folders, identity: dict[str, Any]) -> None:
    text = json.dumps(identity, indent=2, sort_keys=True)
    if not folders.identity.exists() or folders.identity.read_text() != text:
        # Nothing was begun, or with other options: what it left would be found by nobody.
        for leftover in (folders.release, folders.chunks):
            shutil.rmtree(leftover, ignore_errors=True)
    shutil.rmtree(folders.scratch, ignore_errors=True)
    for folder in (folders.release, folders.chunks, folders.scratch):
        folder.mkdir(exist_ok=True)
    _write(folders.identity, text.encode(), folders)


def _convert_chunk(job: _Job) -> int:
    """Write a chunk file: the tally on the first line, the records after it."""
    with _writing():
        writer = FrameWriter(job.folders.release, job.folders.scratch, job.copy)
        lines = []
        for frame in job.frames:
            record = job.converter.convert(frame, writer)
            _check_record(record, job.converter.own_tasks, f"{job.converter.name} frame {frame.sample_id}")
            writer.tally.record(record)
            lines.append(orjson.dumps(record))
        _write(job.chunk, b"\n".join((orjson.dumps(writer.tally.to_rows()), *lines, b"")), job.folders)
    return len(job.frames)


def _check_record(record: dict[str, Any], own_tasks: Mapping[str, TaskSpec], where: str) -> None:
    validate_record(record, where)
    for task, label in record["labels"].items():
        spec = resolve_task(own_tasks.get(task, task))
        categories = {*label.get("categories", ()), *(line["category"] for line in label.get("polylines", ()))}
        for category in categories - {None, *label.get("category_sets", ())}:
            spec.channel_of(category, where)


def _finish(converter: Converter, entry: str, plan: _Plan, folders: _Folders) -> dict[str, Any]:
    tally = Tally()
    hasher = hashlib.sha256()
    index = folders.release / f"{entry}.jsonl"
    with index.open("wb") as file:
        for name in plan.chunk_names:
            with (folders.chunks / name).open("rb") as chunk:
                tally.merge(Tally.from_rows(orjson.loads(chunk.readline())))
                while part := chunk.read(_COPY_BYTES):
                    hasher.update(part)
                    file.write(part)
        file.flush()
        os.fsync(file.fileno())
    report = build_report(converter, entry, tally)
    integrity = {"sha256": hasher.hexdigest(), "bytes": index.stat().st_size, "num_samples": report["records"]}
    entry_of_index = {
        "name": entry,
        "obs_path": index.name,
        "bundle_versions": [f"{RELEASE_VERSION}-release"],
        "duplicate": 1,
        "task_tags": _labelled_tasks(converter, report),
        "integrity": integrity,
    }
    report_content = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    _write(folders.release / "report.json", report_content.encode(), folders)
    _write(folders.release / DATASET_FILE, release_content(entry, RELEASE_VERSION, [entry_of_index]), folders)
    folders.release.rename(folders.out)
    return report


def _labelled_tasks(converter: Converter, report: dict[str, Any]) -> list[str]:
    # A part of the source that is not there leaves its tasks unknown in every record: no reason to read them for that task.
    return [task for task in converter.tasks if task in report["labelled_records"]] or list(converter.tasks)


def _write(path: Path, content: bytes, folders: _Folders) -> None:
    partial = folders.scratch / f"{os.getpid()}-{path.name}"
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        raise MachineError(
            "the disk is full" if full else f"a file cannot be read or written: {error.strerror}",
            where=error.filename,
            remedy=f"{'free some space' if full else 'mend that'}, then run the same command: it continues",
        ) from error
