"""Render the sample release: training and validation, as ``training_dataset.json``, JSONL indexes, photos and masks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from admlops.errors import ConfigError
from admlops.synthetic.palettes import TRAIN, VAL, Domain
from admlops.synthetic.rendered_release import (
    count_bytes,
    hash_sources,
    render_all,
    render_or_keep,
    split_counts,
    write_index,
    write_release,
)
from admlops.synthetic.scene import render_scene
from admlops.synthetic.sources import TRAIN_SOURCES, VAL_SOURCES, Source, make_labels
from admlops.task_spec import CAMERA_TASKS

_JPEG_QUALITY = 92
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

    def render(folder: Path) -> dict[str, Any]:
        jobs = [
            *_plan_jobs(folder / "train", "train", TRAIN_SOURCES, num_train, seed, scale),
            *_plan_jobs(folder / "val", "val", VAL_SOURCES, num_val, seed, scale),
        ]
        for source_dir in sorted({job.folder / job.source_name for job in jobs}):
            (source_dir / "images").mkdir(parents=True)
            (source_dir / "masks").mkdir()
        return _write_releases(folder, jobs, render_all(_render_job, jobs, num_workers, "road scenes"))

    result, is_new = render_or_keep(out_dir, stamp, render)
    return SampleReport(out_dir, is_new, **result)


def renderer_digest() -> str:
    """Hash of the renderer's source files and of what encodes the pictures."""
    return hash_sources(Path(__file__).parent, cv2.__version__, np.__version__)


def _plan_jobs(folder: Path, split: str, sources: tuple[Source, ...], total: int, seed: int, scale: float) -> list[_Job]:
    jobs: list[_Job] = []
    for source, count in zip(sources, split_counts([source.share for source in sources], total), strict=True):
        for number in range(count):
            jobs.append(_Job(folder, split, source.name, number, len(jobs), seed, scale))
    return jobs


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
            images[source.name] += len(own)
            _count_instances(scratch / split, source, own, counts)
            entries.append(write_index(scratch / split / source.name, own, source.duplicate, source.task_tags or source.labels))
        write_release(scratch / split, f"ADMLOps sample {split}", list(CAMERA_TASKS), "Rendered road scenes.", entries)
        instances[split] = dict(sorted(counts.items()))
    return {"num_bytes": count_bytes(scratch), "images": dict(images), "instances": instances}


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
