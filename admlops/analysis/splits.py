"""What is analysed: splits, each an index file, a release folder, or a release repository at a ref."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from admlops.data_release import JsonlIndex, TrainingRelease, open_release
from admlops.data_release.storage import DataPath
from admlops.errors import ConfigError, DataReleaseError
from admlops.project import find_in_project
from admlops.task_spec import TASKS, TaskSpec, resolve_task


@dataclass(frozen=True)
class SplitPlace:
    """Where a split lies.

    Attributes:
        name: Of the split; unique in an analysis.
        path: A JSONL index, a folder with ``training_dataset.json``, or, with ``ref``, a git repository.
        ref: Tag, commit or branch of the repository.
    """

    name: str
    path: Path
    ref: str | None = None

    @classmethod
    def parse(cls, text: str, ref: str | None = None) -> SplitPlace:
        """Read ``PATH`` or ``NAME=PATH``.

        Args:
            text: What the command line gives.
            ref: Where the path is a git repository.

        Returns:
            The place; without a name, that of the folder, or of the index file without its suffix.

        Raises:
            ConfigError: The name or the path is empty.
        """
        name, separator, path = text.partition("=")
        # A path may hold a '=' itself: then what is before it is no plain name.
        if not separator or "/" in name:
            name, path = "", text
        place = find_in_project(path) if path else Path()
        name = name or (place.stem if place.suffix == ".jsonl" else place.resolve().name)
        if not path or not name:
            raise ConfigError("a split has no place", expected="PATH or NAME=PATH", got=repr(text))
        return cls(name, place, ref)


@dataclass(frozen=True)
class Source:
    """One index file of a split.

    Attributes:
        split: Name of the split.
        name: Of the release's entry, or of the index file.
        index_path: The JSONL file.
        index_version: Of the file when it was opened, for ``JsonlIndex``.
        base_dir: What relative paths inside its records refer to.
        num_records: Lines.
        duplicate: How often an epoch visits each of its samples.
        tasks: Names of the analysed tasks that it serves.
    """

    split: str
    name: str
    index_path: Path
    index_version: str
    base_dir: DataPath
    num_records: int
    duplicate: int
    tasks: frozenset[str]

    @property
    def num_effective(self) -> int:
        """Samples that an epoch draws from it."""
        return self.num_records * self.duplicate


@dataclass(frozen=True)
class OpenedSplits:
    """What the splits hold, and which tasks they are held against.

    Attributes:
        names: Of the splits, in the order given.
        sources: Of all splits, in that order.
        tasks: The tasks to analyse.
        needed: Names of the tasks that were asked for or that a release names; others matter only where a record labels them.
    """

    names: tuple[str, ...]
    sources: tuple[Source, ...]
    tasks: tuple[TaskSpec, ...]
    needed: frozenset[str]


def open_splits(places: Sequence[SplitPlace], tasks: Sequence[str | TaskSpec] | None = None) -> OpenedSplits:
    """Open the releases and indices of splits; every record is checked once.

    Args:
        places: The splits.
        tasks: The tasks that the data is for; None for the networks' tasks as far as the releases name them.

    Returns:
        The sources and tasks.

    Raises:
        ConfigError: No split, two of one name, or an unknown task.
        DataReleaseError: A release is missing, invalid or serves none of the tasks.
        RecordError: An index file is missing or holds an invalid line.
    """
    names = [place.name for place in places]
    if not names or len(set(names)) != len(names):
        raise ConfigError(
            "two splits have one name" if names else "there is nothing to analyse",
            expected="one or more indices, each with a name of its own",
            got=", ".join(names),
            remedy="name them: train=PATH val=PATH",
        )
    releases = [None if place.ref is None and place.path.is_file() else _open(place) for place in places]
    # Index files and releases older than tags serve whatever is asked for.
    named = None if all(release is None for release in releases) else frozenset[str]().union(*(r.tasks for r in releases if r))
    if tasks is not None:
        specs = tuple(resolve_task(task) for task in tasks)
        needed = frozenset(spec.name for spec in specs)
    elif any(release is None or not release.tasks for release in releases):
        specs, needed = tuple(TASKS.values()), frozenset(TASKS) & (named or frozenset())
    else:
        specs = tuple(spec for spec in TASKS.values() if spec.name in (named or ()))
        needed = frozenset(spec.name for spec in specs)
    if not specs:
        raise ConfigError(
            "no task to analyse",
            expected=f"some of {', '.join(TASKS)}",
            got=", ".join(sorted(named or ())) or "none",
            remedy="name the tasks: --tasks",
        )
    sources = [
        source
        for place, release in zip(places, releases, strict=True)
        for source in (_of_file(place, specs) if release is None else _of_release(place.name, release, specs))
    ]
    return OpenedSplits(tuple(names), tuple(sources), specs, needed)


def _open(place: SplitPlace) -> TrainingRelease:
    if place.ref is not None:
        return open_release(repo=place.path, ref=place.ref)
    return open_release(root=place.path)


def _of_file(place: SplitPlace, specs: Sequence[TaskSpec]) -> Iterator[Source]:
    path = place.path
    name = path.parent.name if path.stem == "index" else path.stem
    yield _open_source(place.name, name, path, path.absolute().parent, 1, frozenset(spec.name for spec in specs))


def _of_release(split: str, release: TrainingRelease, specs: Sequence[TaskSpec]) -> Iterator[Source]:
    asked = [spec.name for spec in specs]
    for entry in release.select([name for name in asked if not release.tasks or name in release.tasks]):
        yield _open_source(split, entry.name, entry.index_path, entry.base_dir, entry.duplicate, entry.tasks)


def _open_source(split: str, name: str, path: Path, base_dir: DataPath, duplicate: int, tasks: frozenset[str]) -> Source:
    index = JsonlIndex(path)
    if not len(index):
        raise DataReleaseError(
            f"source {name!r} of split {split!r} has no samples",
            where=path,
            expected="one JSON object a line",
            got="an empty file",
            remedy="fill it, or take it out of the release",
        )
    return Source(split, name, path, index.version, base_dir, len(index), duplicate, tasks)
