"""Render the lidar sample release: training and validation, as ``training_dataset.json``, JSONL indexes, points and labels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from admlops.errors import ConfigError
from admlops.synthetic.lidar.domain import TRAIN, VAL
from admlops.synthetic.lidar.lidar_sources import (
    TRAIN_SOURCES,
    VAL_SOURCES,
    LidarSource,
    file_labels,
    make_lidar_labels,
    sensor_origin,
)
from admlops.synthetic.lidar.scene import sample_scene
from admlops.synthetic.rendered_release import (
    count_bytes,
    hash_sources,
    render_all,
    render_or_keep,
    split_counts,
    write_index,
    write_release,
)
from admlops.task_spec import LIDAR_TASKS

_SOURCES = {source.name: source for source in (*TRAIN_SOURCES, *VAL_SOURCES)}
_SPLITS = {"train": (TRAIN, TRAIN_SOURCES), "val": (VAL, VAL_SOURCES)}


@dataclass(frozen=True)
class LidarSampleReport:
    """What a rendering made.

    Attributes:
        out_dir: Folder with ``train`` and ``val``.
        is_new: Whether it was rendered now; False = it was there already.
        num_bytes: Of all files.
        sweeps: Source to number of sweeps.
        points: Split to number of points.
        objects: Split to kind of object to number of those that the sensor saw.
    """

    out_dir: Path
    is_new: bool
    num_bytes: int
    sweeps: dict[str, int]
    points: dict[str, int]
    objects: dict[str, dict[str, int]]


@dataclass(frozen=True)
class _Job:
    folder: Path
    split: str
    source: LidarSource
    number: int
    position: int
    seed: int


def render_lidar_sample(
    out_dir: str | Path, num_train: int = 400, num_val: int = 48, seed: int = 0, num_workers: int | None = None
) -> LidarSampleReport:
    """Render the lidar sample release, or keep the one that is there already with the same parameters.

    The files depend on the parameters and on the renderer's code only, not on the number of workers. Nothing half written
    is ever seen under ``out_dir``.

    Args:
        out_dir: Becomes ``OUT/train`` and ``OUT/val``, each a release of its own.
        num_train: Sweeps of the training release.
        num_val: Sweeps of the validation release.
        seed: Everything random follows from it.
        num_workers: Processes; None = one a core.

    Returns:
        What was made.

    Raises:
        ConfigError: A number is out of range, or ``out_dir`` holds something that was not rendered.
    """
    out_dir = Path(out_dir)
    if num_train < len(TRAIN_SOURCES) or num_val < len(VAL_SOURCES):
        raise ConfigError(
            "the lidar sample release cannot be rendered with these numbers",
            expected=f"num_train >= {len(TRAIN_SOURCES)}, num_val >= {len(VAL_SOURCES)} (one sweep a source)",
            got=f"num_train={num_train}, num_val={num_val}",
        )
    renderer = hash_sources(Path(__file__).parent, np.__version__)
    stamp = {"renderer": renderer, "num_train": num_train, "num_val": num_val, "seed": seed}

    def render(folder: Path) -> dict[str, Any]:
        jobs = [*_plan_jobs(folder, "train", num_train, seed), *_plan_jobs(folder, "val", num_val, seed)]
        for source_dir in sorted({job.folder for job in jobs}):
            (source_dir / "points").mkdir(parents=True)
            if not _SOURCES[source_dir.name].has_boxes:
                (source_dir / "labels").mkdir()
        return _write_releases(folder, jobs, render_all(_render_job, jobs, num_workers, "lidar sweeps"))

    result, is_new = render_or_keep(out_dir, stamp, render)
    return LidarSampleReport(out_dir, is_new, **result)


def _plan_jobs(folder: Path, split: str, total: int, seed: int) -> list[_Job]:
    jobs: list[_Job] = []
    sources = _SPLITS[split][1]
    for source, count in zip(sources, split_counts([source.share for source in sources], total), strict=True):
        for number in range(count):
            jobs.append(_Job(folder / split / source.name, split, source, number, len(jobs), seed))
    return jobs


def _render_job(job: _Job) -> dict[str, Any]:
    """Render one sweep, write its files and return its record and what is counted."""
    rng = np.random.default_rng([job.seed, 0 if job.split == "train" else 1, job.position])
    scene = sample_scene(_SPLITS[job.split][0], job.number, rng)
    sweep = scene.sweep(rng)
    name, source = f"{job.number:04d}", job.source
    origin = sensor_origin(source, scene)
    points_path, labels_path = f"points/{name}.bin", f"labels/{name}.label"
    points_N4 = sweep.points_N4 + np.array([*origin, 0], np.float32)
    (job.folder / points_path).write_bytes(points_N4.astype("<f4").tobytes())
    if not source.has_boxes:
        (job.folder / labels_path).write_bytes(file_labels(source, sweep.labels_N).astype("<u4").tobytes())
    record = {
        "sample_id": f"{source.name}-{name}",
        "lidar": {"path": points_path, "dtype": "float32", "num_features": 4, "origin": list(origin)},
        "labels": make_lidar_labels(source, scene, sweep, labels_path),
        "attributes": {
            "scene": f"{job.split}-{job.position:04d}",
            "source": source.name,
            "street": scene.street,
            "beams": len(scene.sensor.elevation_rad),
            "sensor_height_m": round(scene.sensor.height_m, 3),
        },
    }
    return {"record": record, "num_points": len(points_N4), "objects": dict(Counter(scene.seen_kinds(sweep)))}


def _write_releases(folder: Path, jobs: list[_Job], rendered: list[dict[str, Any]]) -> dict[str, Any]:
    sweeps: dict[str, int] = {}
    points: dict[str, int] = {}
    objects: dict[str, dict[str, int]] = {}
    for split, (_, sources) in _SPLITS.items():
        of_split = [(job, one) for job, one in zip(jobs, rendered, strict=True) if job.split == split]
        entries = []
        for source in sources:
            records = [one["record"] for job, one in of_split if job.source == source]
            entries.append(write_index(folder / split / source.name, records, 1, source.tasks))
            sweeps[source.name] = len(records)
        write_release(folder / split, f"ADMLOps lidar sample {split}", list(LIDAR_TASKS), "Rendered lidar sweeps.", entries)
        points[split] = sum(one["num_points"] for _, one in of_split)
        counts: Counter[str] = Counter()
        for _, one in of_split:
            counts.update(one["objects"])
        objects[split] = dict(sorted(counts.items()))
    return {"num_bytes": count_bytes(folder), "sweeps": sweeps, "points": points, "objects": objects}
