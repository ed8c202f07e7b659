"""A data release as a map-style data set: virtual index -> record -> pipeline."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from admlops.data_release import JsonlIndex, RecordPlace, open_release
from admlops.data_release.record import paths_in
from admlops.data_release.storage import DataPath, ReadAhead, RemotePath
from admlops.datasets.sample_key import SampleKey, make_rng
from admlops.datasets.transforms.read_file import resolve_path
from admlops.errors import ConfigError, DataReleaseError, nearest
from admlops.project import find_in_project
from admlops.registry import DATASETS, TRANSFORMS
from admlops.task_spec import TaskSpec, resolve_task

Transform = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True)
class Segment:
    """The stretch of virtual indices that one entry of the release covers.

    Attributes:
        name: Of the entry.
        start: First virtual index.
        stop: One past the last.
        signature: Names of its requested tasks, sorted and joined by ``+``; what ratio mixing goes by.
    """

    name: str
    start: int
    stop: int
    signature: str


@dataclass(frozen=True)
class _Source:
    name: str
    index: JsonlIndex
    base_dir: DataPath
    num_lines: int
    repeats: int
    tasks: frozenset[str]


@DATASETS.register_module()
class ReleaseDataset:
    """Samples of the entries of a data release that label any of the requested tasks.

    ``len`` counts every line ``duplicate`` times (in ``test_mode`` once); nothing of that length is ever held in memory. A task
    is labelled in a sample where it is requested, in the entry's ``task_tags``, and its key is present in the record.

    Args:
        data_release: ``dict(root=)`` or ``dict(repo=, ref=)`` and further arguments of ``open_release``; its optional
            ``tasks`` are the tasks to read where the argument ``tasks`` is not given.
        tasks: Names, or fields of tasks of your own.
        pipeline: Transforms, as config dicts or callables; each takes and returns the ``results`` dict.
        seed: Of the random transforms, where the sampler does not give one.
        test_mode: Evaluate: every sample once, whatever ``duplicate`` says.
        read_ahead: Samples of a rank ahead of the present one whose images, sweeps and files of labels are fetched from a
            store meanwhile; 0 turns it off. Costs nothing where they are local files.

    Raises:
        ConfigError: Unknown task, or one that ``data_release["tasks"]`` excludes.
        DataReleaseError: The release is invalid or holds none of the tasks.
    """

    def __init__(
        self,
        data_release: Mapping[str, Any],
        tasks: Sequence[str | TaskSpec | Mapping[str, Any]] | None = None,
        pipeline: Sequence[Mapping[str, Any] | Transform] = (),
        seed: int = 0,
        test_mode: bool = False,
        read_ahead: int = 64,
    ) -> None:
        self.seed = seed
        self.test_mode = test_mode
        self.task_specs = _resolve_tasks(data_release, tasks)
        place = {key: value for key, value in data_release.items() if key != "tasks"}
        for key in {"root", "repo"} & place.keys():
            place[key] = find_in_project(place[key])
        release = open_release(**place)
        self.release = release
        self.digest: str = release.digest
        self.selected = release.select(list(self.task_specs))
        self._sources = tuple(_open_sources(self.selected, test_mode))
        self.profiles = release.origin.profiles
        self.read_ahead = read_ahead if any(self._is_remote(source) for source in self._sources) else 0
        self._read_ahead = ReadAhead(self._paths_of)
        self._rank_stride = int(os.environ.get("WORLD_SIZE", "1"))
        self._stops = np.cumsum([source.num_lines * source.repeats for source in self._sources])
        self.pipeline: list[Transform] = [TRANSFORMS.build(dict(t)) if isinstance(t, Mapping) else t for t in pipeline]

    @property
    def metainfo(self) -> dict[str, Any]:
        """``tasks`` (by name: dict of name, kind, classes, palette) and ``digest`` of the release's selected content."""
        return {
            "tasks": {
                spec.name: {
                    "name": spec.name,
                    "kind": spec.kind.value,
                    "classes": spec.classes,
                    "palette": spec.palette,
                }
                for spec in self.task_specs.values()
            },
            "digest": self.digest,
        }

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Virtual indices, entry by entry, in the order of the release."""
        starts = [0, *self._stops.tolist()]
        return tuple(
            Segment(source.name, starts[i], starts[i + 1], "+".join(sorted(source.tasks)))
            for i, source in enumerate(self._sources)
        )

    @property
    def quarantined(self) -> dict[str, int]:
        """Lines left out of an entry's index because they are no valid records, by entry; only entries with any."""
        return {source.name: len(source.index.quarantined) for source in self._sources if source.index.quarantined}

    @property
    def num_quarantined(self) -> int:
        """Lines left out of all entries."""
        return sum(self.quarantined.values())

    def __len__(self) -> int:
        return int(self._stops[-1])

    def locate(self, index: int) -> tuple[int, int]:
        """Find the line behind a virtual index.

        Args:
            index: In ``range(len(self))``.

        Returns:
            Number of the entry and of the line in it, from 0.

        Raises:
            IndexError: Out of range.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} of a data set of {len(self)} samples")
        number = int(np.searchsorted(self._stops, index, side="right"))
        source = self._sources[number]
        start = int(self._stops[number]) - source.num_lines * source.repeats
        return number, (index - start) % source.num_lines

    def read_sample(self, key: int | SampleKey) -> dict[str, Any]:
        """Read a record and lay out ``results`` for the first transform.

        Args:
            key: A virtual index, or a sampler's draw.

        Returns:
            ``sample_id``, ``source``, ``record_where``, ``base_dir``, ``profiles``, ``image`` and ``lidar`` (as recorded, where
            recorded), ``attributes``, ``task_specs``, ``record_labels`` (labelled tasks only), ``rng``.
        """
        draw = self._draw_of(key)
        number, line = self.locate(draw.index)
        source = self._sources[number]
        record = source.index[line]
        where = RecordPlace(source.index, line)
        labels = record["labels"]
        return {
            "sample_id": record["sample_id"],
            "source": source.name,
            "record_where": where,
            "base_dir": source.base_dir,
            "profiles": self.profiles,
            **{sensor: record[sensor] for sensor in ("image", "lidar") if sensor in record},
            "attributes": record.get("attributes", {}),
            "task_specs": self.task_specs,
            "record_labels": {name: labels[name] for name in self.task_specs if name in source.tasks and name in labels},
            "rng": make_rng(self.seed if draw.seed is None else draw.seed, draw.epoch, draw.position),
        }

    def __getitem__(self, key: int | SampleKey) -> Any:
        """Run the pipeline on one draw.

        Args:
            key: A virtual index (epoch 0), or a sampler's draw.

        Returns:
            What the last transform returns.

        Raises:
            RecordError: The record or a file that it names is invalid; names both.
            ConfigError: A transform returned ``None``: samples are never skipped silently.
        """
        draw = self._draw_of(key)
        if draw.upcoming is not None:
            self._read_ahead.ask(draw.upcoming)
        results: Any = self.read_sample(draw)
        where = results["record_where"]
        # Transforms that are not ours draw from the global generators.
        global_seed = int(results["rng"].integers(2**32))
        np.random.seed(global_seed)
        random.seed(global_seed)
        for transform in self.pipeline:
            results = transform(results)
            if results is None:
                raise ConfigError(
                    f"{type(transform).__name__} dropped a sample",
                    where=where,
                    expected="every transform to return its results",
                    got="None",
                    remedy="filter when the release is made; what training sees is what the release says",
                )
        return results

    def _draw_of(self, key: int | SampleKey) -> SampleKey:
        if isinstance(key, SampleKey):
            return key
        # A plain index comes from a sampler that deals them out to the ranks in turn.
        upcoming = int(key) + self.read_ahead * self._rank_stride
        ahead = upcoming if self.read_ahead and upcoming < len(self) else None
        return SampleKey(int(key), 0, int(key), upcoming=ahead)

    def _paths_of(self, index: int) -> Iterator[DataPath]:
        number, line = self.locate(index)
        source = self._sources[number]
        return self._paths_in(source, source.index[line])

    def _paths_in(self, source: _Source, record: Mapping[str, Any]) -> Iterator[DataPath]:
        for path in paths_in(record, source.tasks):
            yield resolve_path(source.base_dir, path, self.profiles)

    def _is_remote(self, source: _Source) -> bool:
        return any(isinstance(path, RemotePath) for path in self._paths_in(source, source.index[0]))


def _resolve_tasks(
    data_release: Mapping[str, Any], tasks: Sequence[str | TaskSpec | Mapping[str, Any]] | None
) -> dict[str, TaskSpec]:
    allowed = data_release.get("tasks")
    specs = [resolve_task(task) for task in (tasks if tasks is not None else allowed or ())]
    if not specs:
        raise ConfigError("a data set needs tasks", expected="tasks=['det_person', ...]", got=tasks)
    for spec in specs:
        if allowed is not None and spec.name not in {resolve_task(task).name for task in allowed}:
            names = [resolve_task(task).name for task in allowed]
            raise ConfigError(
                f"task {spec.name!r} is not among the release's tasks in this config",
                where="data_release.tasks",
                expected=f"one of {', '.join(names)}",
                got=repr(spec.name),
                remedy=nearest(spec.name, names),
            )
    return {spec.name: spec for spec in specs}


def _open_sources(entries: Sequence[Any], test_mode: bool) -> Iterator[_Source]:
    for entry in entries:
        index = JsonlIndex(entry.index_path, max_bad=entry.max_bad)
        if not len(index):
            raise DataReleaseError(
                f"entry {entry.name!r} of the release has no samples",
                where=entry.index_path,
                expected="one JSON object a line",
                got="an empty file",
                remedy="fill it, or take the entry out of the release",
            )
        repeats = 1 if test_mode else entry.duplicate
        yield _Source(entry.name, index, entry.base_dir, len(index), repeats, frozenset(entry.tasks))
