"""The data section of a lineage: which release a run reads, down to the hash of every index file. JSON values only."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from admlops.data_release.cache import sha256_of
from admlops.data_release.code_state import origin_url
from admlops.data_release.repository.trace import open_hub, trace_release
from admlops.data_release.schema import ReleaseEntry
from admlops.data_release.training_release import SelectedEntry, TrainingRelease
from admlops.errors import AdmlopsError

SUFFIX = ".lineage.json"

FOLDER, TAG, BRANCH, COMMIT = "folder", "tag", "branch", "commit"
"""What a release was read from. Only a tag says what everybody else reads under the same name."""


def describe_release(
    release: TrainingRelease,
    selected: Sequence[SelectedEntry],
    tasks: Sequence[str],
    draws: Mapping[str, int],
    *,
    repeats: bool = True,
) -> dict[str, Any]:
    """Describe what a run reads.

    Args:
        release: The release.
        selected: Its entries that the run reads.
        tasks: Tasks that were requested.
        draws: By the name of a selected entry: samples that one pass takes from it.
        repeats: Whether a pass takes every sample ``duplicate`` times; a test takes each once.

    Returns:
        ``repository`` (address of its ``origin``), ``ref``, ``ref_kind``, ``tag_object``, ``commit``, ``kind``,
        ``file_sha256``, ``digest``, the release's name and versions, ``entries`` (all of the file; ``sha256`` and
        ``num_samples`` are null where the run does not read an entry and nothing pins it), ``trace``, and ``selection``:
        ``tasks`` and ``samples_per_task`` (samples of a pass that serve each, repeats counted).
    """
    read = {entry.name: entry for entry in selected}
    tracked = _tracked(release)
    entries = []
    for entry in release.entries:
        used = read.get(entry.name)
        pinned = entry.integrity
        sha256 = pinned.sha256 if pinned is not None else sha256_of(used.index_path) if used is not None else None
        drawn = draws[entry.name] // (entry.duplicate if repeats else 1) if used is not None else None
        entries.append(
            {
                "name": entry.name,
                "obs_path": entry.obs_path,
                "sha256": sha256,
                "num_samples": drawn if drawn is not None else pinned.num_samples if pinned is not None else None,
                "duplicate": entry.duplicate,
                "task_tags": None if entry.task_tags is None else list(entry.task_tags),
                "read_for": sorted(used.tasks) if used is not None else [],
                "pinned_by": _pinned_by(entry, tracked),
            }
        )
    per_task = {task: sum(draws[name] for name, entry in read.items() if task in entry.tasks) for task in sorted(tasks)}
    meta = release.meta
    return {
        **describe_ref(release),
        "kind": release.kind,
        "file_sha256": release.file_sha256,
        "digest": release.digest,
        "release_name": meta.release_name,
        "version": meta.version,
        "consumer": meta.consumer,
        "consumer_version": meta.consumer_version,
        "bundle_versions": list(meta.bundle_versions),
        "entries": entries,
        "trace": describe_trace(release),
        "selection": {"tasks": sorted(tasks), "samples_per_task": per_task},
    }


def describe_ref(release: TrainingRelease) -> dict[str, Any]:
    """Describe under which name a release was read.

    Args:
        release: Any.

    Returns:
        ``repository``, ``ref``, ``ref_kind``, ``tag_object`` (of a lightweight tag the commit), ``commit``.
    """
    repository, ref = release.origin.repository, release.ref
    if repository is None or ref is None:
        return {"repository": None, "ref": None, "ref_kind": FOLDER, "tag_object": None, "commit": None}
    name = ref.removeprefix("refs/tags/")
    answer = repository.git("rev-parse", "--verify", "--quiet", f"refs/tags/{name}")
    tag = answer.stdout.decode("ascii").strip() or None
    kind = TAG if tag else COMMIT if release.commit is not None and release.commit.startswith(ref) else BRANCH
    return {
        "repository": origin_url(repository),
        "ref": name if tag else ref,
        "ref_kind": kind,
        "tag_object": tag,
        "commit": release.commit,
    }


def describe_trace(release: TrainingRelease) -> dict[str, Any]:
    """Follow a release to its channels' specifications, where the repository says where DataSpecHub is.

    Args:
        release: Any.

    Returns:
        What ``admlops data trace`` tells, without the path of the checkout; ``absent`` with the reason where it cannot.
    """
    if release.origin.repository is None:
        return {"absent": "the release is in no repository"}
    try:
        hub = open_hub(release.origin.repository, release.commit)
        found = trace_release(release, hub, ref=release.ref or "", kind=release.kind).to_json()
    except AdmlopsError as error:
        return {"absent": error.what}
    return {**found, "hub": {key: value for key, value in found["hub"].items() if key != "path"}}


def unpinned_entries(release: TrainingRelease) -> tuple[str, ...]:
    """Find the entries whose content nothing fixes: neither ``integrity`` nor the commit.

    Args:
        release: Any.

    Returns:
        Their names.
    """
    tracked = _tracked(release)
    return tuple(entry.name for entry in release.entries if _pinned_by(entry, tracked) is None)


def _pinned_by(entry: ReleaseEntry, tracked: frozenset[str]) -> str | None:
    if entry.integrity is not None:
        return "integrity"
    return "commit" if posixpath.normpath(entry.obs_path) in tracked else None


def _tracked(release: TrainingRelease) -> frozenset[str]:
    repository, commit = release.origin.repository, release.commit
    loose = [entry for entry in release.entries if entry.integrity is None and entry.obs_path]
    if repository is None or commit is None or not loose:
        return frozenset()
    # All at once: a process for each of thousands of entries would take longer than reading them.
    return frozenset(repository.run("ls-tree", "-r", "-z", "--name-only", "--full-tree", commit).split("\0"))


def lineage_path(checkpoint: str | Path) -> Path:
    """Name the file that tells where another comes from.

    Args:
        checkpoint: A checkpoint or an export.

    Returns:
        ``<checkpoint>.lineage.json``.
    """
    path = Path(checkpoint)
    return path.with_name(f"{path.name}{SUFFIX}")
