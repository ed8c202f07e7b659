"""Render the sample release: training and validation, as ``training_dataset.json``, JSONL indexes, photos and masks."""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import os
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from admlops.errors import ConfigError
from admlops.synthetic.palettes import TRAIN, VAL, Domain
from admlops.synthetic.scene import render_scene
from admlops.synthetic.sources import TRAIN_SOURCES, VAL_SOURCES, Source, make_labels
from admlops.task_spec import CAMERA_TASKS

STAMP = "rendered.json"
"""Marks a finished release and says what it was rendered from."""
INDEX = "index.jsonl"

_VERSION = "v1.0.0"
_BUNDLE = "v1.0.0-20251017-100000"
_JPEG_QUALITY = 92
_LOGGER = logging.getLogger(__name__)
_SOURCES = {source.name: source for source in (*TRAIN_SOURCES, *VAL_SOURCES)}


@dataclass(frozen=True)
class SampleReport:
    """What a rendering made.

    Attributes:
        out_dir: Folder with ``train`` and ``val``.
        is_new: Whether it was rendered now; False = it was there already.
        num_bytes: Of all files.
        images: Source to number of images.
        instances: Split to class to number of labelled instances (boxes without ignored ones; for segmentation, images
            that show the class).
    """

    out_dir: Path
    is_new: bool
    num_bytes: int
    images: dict[str, int]
    instances: dict[str, dict[str, int]]


@dataclass(frozen=True)
class _Job:
    folder: Path
    split: str
    source_name: str
    number: int
    position: int
    seed: int
    scale: float

    @property
    def source(self) -> Source:
        """Looked up by name: a source's read-only mappings cannot be pickled."""
        return _SOURCES[self.source_name]


def render_sample_release(
    out_dir: str | Path,
    num_train: int = 400,
    num_val: int = 64,
    seed: int = 0,
    num_workers: int | None = None,
    scale: float = 1.0,
) -> SampleReport:
    """Render the sample release, or keep the one that is there already with the same parameters.

    The files depend on the parameters and on the renderer's code only, not on the number of workers. Nothing half written
    is ever seen under ``out_dir``.

    Args:
        out_dir: Becomes ``OUT/train`` and ``OUT/val``, each a release of its own.
        num_train: Scenes of the training release.
        num_val: Scenes of the validation release.
        seed: Everything random follows from it.
        num_workers: Processes; None = one a core.
        scale: Factor on the image sizes; smaller than 1 is for tests.

    Returns:
        What was made.

    Raises:
        ConfigError: A number is out of range, or ``out_dir`` holds something that was not rendered.
    """
    out_dir = Path(out_dir)
    if num_train < len(TRAIN_SOURCES) or num_val < 1 or not 0.05 <= scale <= 1:
        raise ConfigError(
            "the sample release cannot be rendered with these numbers",
            expected=f"num_train >= {len(TRAIN_SOURCES)} (one scene a source), num_val >= 1, 0.05 <= scale <= 1",
            got=f"num_train={num_train}, num_val={num_val}, scale={scale}",
        )
    stamp = {"renderer": renderer_digest(), "num_train": num_train, "num_val": num_val, "seed": seed, "scale": scale}
    held = _read_stamp(out_dir)
    if held is not None and held["parameters"] == stamp:
        _LOGGER.info("the sample release in %s is up to date", out_dir)
        return SampleReport(out_dir, False, **held["result"])
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    with _scratch_folder(out_dir) as scratch:
        jobs = [
            *_plan_jobs(scratch / "train", "train", TRAIN_SOURCES, num_train, seed, scale),
            *_plan_jobs(scratch / "val", "val", VAL_SOURCES, num_val, seed, scale),
        ]
        records = _render_all(jobs, os.cpu_count() or 1 if num_workers is None else num_workers)
        result = _write_releases(scratch, jobs, records)
        (scratch / STAMP).write_text(json.dumps({"parameters": stamp, "result": result}, indent=1) + "\n")
        _swap_in(scratch, out_dir)
    return SampleReport(out_dir, True, **result)


def renderer_digest() -> str:
    """Hash of the renderer's source files and of what encodes the pictures."""
    digest = hashlib.sha256(f"{cv2.__version__} {np.__version__}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def split_counts(sources: tuple[Source, ...], total: int) -> list[int]:
    """Share images out over sources: at least one each, largest remainders first."""
    exact = [source.share / sum(s.share for s in sources) * (total - len(sources)) for source in sources]
    counts = [1 + int(part) for part in exact]
    by_remainder = sorted(range(len(sources)), key=lambda i: (int(exact[i]) - exact[i], i))
    for i in by_remainder[: total - sum(counts)]:
        counts[i] += 1
    return counts


def _plan_jobs(folder: Path, split: str, sources: tuple[Source, ...], total: int, seed: int, scale: float) -> list[_Job]:
    jobs: list[_Job] = []
    for source, count in zip(sources, split_counts(sources, total), strict=True):
        for number in range(count):
            jobs.append(_Job(folder, split, source.name, number, len(jobs), seed, scale))
    return jobs


def _render_all(jobs: list[_Job], num_workers: int) -> list[dict[str, Any]]:
    for folder in sorted({job.folder / job.source_name for job in jobs}):
        (folder / "images").mkdir(parents=True)
        (folder / "masks").mkdir()
    progress = {"total": len(jobs), "desc": "rendering road scenes", "unit": "scene"}
    if num_workers <= 1:
        return list(tqdm(map(_render_job, jobs), **progress))
    # Spawned, not forked: the caller may hold threads and locks.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, mp_context=context, initializer=_leave_interrupts_to_parent) as pool:
        try:
            return list(tqdm(pool.map(_render_job, jobs, chunksize=2), **progress))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _leave_interrupts_to_parent() -> None:
    # Ctrl-C reaches every process of the terminal; one of them is enough to tidy up.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _render_job(job: _Job) -> dict[str, Any]:
    """Render one scene, write its files and return its record."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return _render_record(job)
    finally:
        cv2.setNumThreads(threads)


def _render_record(job: _Job) -> dict[str, Any]:
    domain: Domain = TRAIN if job.split == "train" else VAL
    rng = np.random.default_rng([job.seed, 0 if job.split == "train" else 1, job.position])
    nominal = job.source.sizes_hw[job.number % len(job.source.sizes_hw)]
    height, width = round(nominal[0] * job.scale), round(nominal[1] * job.scale)
    scene = render_scene(domain, height, width, rng)
    folder, name = job.folder / job.source_name, f"{job.number:04d}"
    _write_image(folder / "images" / f"{name}.jpg", scene.picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    labels, masks = make_labels(job.source, scene)
    for task, mask in masks.items():
        path = f"masks/{name}_{task}.png"
        _write_image(folder / path, mask, [cv2.IMWRITE_PNG_COMPRESSION, 3])
        labels[task] = {"mask": path, **labels[task]}
    return {
        "sample_id": f"{job.source_name}-{name}",
        "image": {"path": f"images/{name}.jpg", "width": width, "height": height},
        "labels": labels,
        "attributes": {"scene": f"{job.split}-{job.position:04d}", "source": job.source_name, "weather": scene.weather},
    }


def _write_image(path: Path, image: np.ndarray[Any, Any], options: list[int]) -> None:
    ok, encoded = cv2.imencode(path.suffix, image, options)
    if not ok:
        raise ConfigError("this OpenCV cannot encode an image", where=path, remedy="install opencv-python-headless as pinned")
    path.write_bytes(encoded.tobytes())


def _write_releases(scratch: Path, jobs: list[_Job], records: list[dict[str, Any]]) -> dict[str, Any]:
    images: Counter[str] = Counter()
    instances: dict[str, dict[str, int]] = {}
    for split, sources in (("train", TRAIN_SOURCES), ("val", VAL_SOURCES)):
        entries = []
        counts: Counter[str] = Counter()
        for source in sources:
            own = [
                record
                for job, record in zip(jobs, records, strict=True)
                if job.split == split and job.source_name == source.name
            ]
            lines = b"".join(json.dumps(record, separators=(",", ":")).encode() + b"\n" for record in own)
            (scratch / split / source.name / INDEX).write_bytes(lines)
            images[source.name] += len(own)
            _count_instances(scratch / split, source, own, counts)
            entries.append(
                {
                    "name": source.name,
                    "obs_path": f"{source.name}/{INDEX}",
                    "bundle_versions": [_BUNDLE],
                    "duplicate": source.duplicate,
                    "task_tags": list(source.task_tags or source.labels),
                    "integrity": {"sha256": hashlib.sha256(lines).hexdigest(), "bytes": len(lines), "num_samples": len(own)},
                }
            )
        meta = {
            "release_name": f"ADMLOps sample {split} {_VERSION}",
            "consumer_version": _VERSION,
            "bundle_versions": [_BUNDLE],
            "version": _VERSION,
            "tasks": list(CAMERA_TASKS),
            "training_type": "regular",
            "description": "Rendered road scenes.",
        }
        text = json.dumps({"meta": meta, "dataset_index": entries}, indent=2) + "\n"
        (scratch / split / "training_dataset.json").write_text(text)
        instances[split] = dict(sorted(counts.items()))
    num_bytes = sum(path.stat().st_size for path in scratch.rglob("*") if path.is_file())
    return {"num_bytes": num_bytes, "images": dict(images), "instances": instances}


def _count_instances(folder: Path, source: Source, records: list[dict[str, Any]], counts: Counter[str]) -> None:
    for record in records:
        for name in source.task_tags or source.labels:
            task, label = CAMERA_TASKS[name], record["labels"][name]
            if "boxes" in label:
                counts.update(
                    f"{name}/{category}"
                    for category, ignored in zip(label["categories"], label["ignore"], strict=True)
                    if not ignored
                )
            elif "polylines" in label:
                counts.update({f"{name}/{line['category']}" for line in label["polylines"]})
            else:
                mask = cv2.imread(str(folder / source.name / label["mask"]), cv2.IMREAD_GRAYSCALE)
                shown = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
                counts.update(f"{name}/{task.channels[i]}" for i in shown if task.first_channel <= i < task.num_channels)


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
