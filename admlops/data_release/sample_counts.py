"""How many samples a release draws, by entry, task and bundle: counted or pinned, else named as unknown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from admlops.data_release.jsonl_index import JsonlIndex
from admlops.data_release.schema import ReleaseEntry
from admlops.data_release.training_release import TrainingRelease
from admlops.errors import AdmlopsError

ANY_TASK = "*"
"""Stands for whatever is requested, in files older than tags."""


@dataclass(frozen=True)
class EntryCount:
    """Samples of an entry.

    Attributes:
        num_samples: Lines of its index file; None where unknown.
        duplicate: How often an epoch visits each.
        why_unknown: Why nobody can tell; empty where the number is known.
    """

    num_samples: int | None
    duplicate: int
    why_unknown: str = ""

    @property
    def effective(self) -> int | None:
        """Samples that an epoch draws from it."""
        return None if self.num_samples is None else self.num_samples * self.duplicate


@dataclass(frozen=True)
class Total:
    """Samples of several entries.

    Attributes:
        samples: Of the entries whose number is known.
        effective: What an epoch draws of those: the sum of duplicate times samples.
        unknown: Names of the other entries.
    """

    samples: int
    effective: int
    unknown: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        unknown = f" + unknown: {', '.join(self.unknown)}" if self.unknown else ""
        return f"{self.effective:,}{unknown}"


NOTHING = Total(0, 0, ())


def is_remote(entry: ReleaseEntry) -> bool:
    """Tell whether reading an entry's index file could mean a download.

    Args:
        entry: Of a release.

    Returns:
        True for URLs other than ``file://``.
    """
    return "://" in entry.obs_path and not entry.obs_path.startswith("file://")


def is_fixed_by_release(entry: ReleaseEntry) -> bool:
    """Tell whether an entry's path means the same content as long as its release is the same.

    Args:
        entry: Of a release.

    Returns:
        True where it is pinned, or lies in the repository; what is at a URL or an absolute path can be exchanged.
    """
    return entry.integrity is not None or not ("://" in entry.obs_path or Path(entry.obs_path).is_absolute())


def count_samples(release: TrainingRelease) -> dict[str, EntryCount]:
    """Count the samples of each entry, downloading nothing.

    Args:
        release: Any.

    Returns:
        By the entry's name: what ``integrity`` pins, else the lines of an index file on this machine, else unknown.
    """
    return {entry.name: _count(release, entry) for entry in release.entries}


def totals_by_task(release: TrainingRelease, counts: Mapping[str, EntryCount]) -> dict[str, Total]:
    """Add up what serves each task; an entry that serves two tasks counts for both.

    Args:
        release: Any.
        counts: Of its entries.

    Returns:
        By task, sorted; ``ANY_TASK`` where the release names none.
    """
    tasks = sorted(release.tasks) or [ANY_TASK]

    def serves(entry: ReleaseEntry, task: str) -> bool:
        served = release.tasks_of(entry)
        return served is None or task in served

    return _totals(release.entries, tasks, serves, counts)


def totals_by_bundle(release: TrainingRelease, counts: Mapping[str, EntryCount]) -> dict[str, Total]:
    """Add up what comes from each bundle; an entry that names two bundles counts for both.

    Args:
        release: Any.
        counts: Of its entries.

    Returns:
        By bundle, in the order of ``meta.bundle_versions``.
    """
    bundles = release.meta.bundle_versions
    return _totals(release.entries, bundles, lambda entry, bundle: bundle in (entry.bundle_versions or bundles), counts)


def add_up(counts: Mapping[str, EntryCount]) -> Total:
    """Add up entries.

    Args:
        counts: By name.

    Returns:
        The total.
    """
    known = [count for count in counts.values() if count.num_samples is not None]
    samples = sum(count.num_samples or 0 for count in known)
    effective = sum(count.effective or 0 for count in known)
    return Total(samples, effective, tuple(name for name, count in counts.items() if count.num_samples is None))


def _totals(
    entries: Iterable[ReleaseEntry],
    keys: Iterable[str],
    belongs: Callable[[ReleaseEntry, str], bool],
    counts: Mapping[str, EntryCount],
) -> dict[str, Total]:
    listed = list(entries)
    return {key: add_up({entry.name: counts[entry.name] for entry in listed if belongs(entry, key)}) for key in keys}


def _count(release: TrainingRelease, entry: ReleaseEntry) -> EntryCount:
    if entry.integrity is not None:
        return EntryCount(entry.integrity.num_samples, entry.duplicate)
    if not entry.obs_path:
        return EntryCount(None, entry.duplicate, "its production is pending")
    if is_remote(entry):
        return EntryCount(None, entry.duplicate, "its index file is remote and not pinned by integrity")
    try:
        return EntryCount(len(JsonlIndex(release.locate(entry).path)), entry.duplicate)
    except AdmlopsError as error:
        return EntryCount(None, entry.duplicate, f"[{error.code}] {error.what}" if error.code else error.what)
