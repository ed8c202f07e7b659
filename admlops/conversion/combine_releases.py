"""Several releases -> one that lists the entries of all: what a training on several sources reads."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from admlops.data_release import JsonlIndex, open_release, read_dataset_file
from admlops.data_release.new_release import release_content
from admlops.data_release.schema import DATASET_FILE
from admlops.errors import DataReleaseError


@dataclass(frozen=True)
class CombinedEntry:
    """One entry of a combined release.

    Attributes:
        name: The entry's name.
        folder: The release that it comes from.
        num_records: Records of its index file.
        duplicate: How often an epoch visits each.
        tasks: Tasks that it serves.
    """

    name: str
    folder: Path
    num_records: int
    duplicate: int
    tasks: tuple[str, ...]


def combine_releases(
    folders: Sequence[Path], out_dir: Path, *, name: str | None = None, version: str = "v1.0.0"
) -> list[CombinedEntry]:
    """Make a release of the entries of other releases, whose files stay where they are.

    Index files are named by paths relative to the new folder: all folders together can be moved.

    Args:
        folders: Release folders.
        out_dir: The release folder to make; it must not exist.
        name: Of the release; the name of ``out_dir`` where None.
        version: Of the release.

    Returns:
        The entries, in the order of ``folders``.

    Raises:
        DataReleaseError: A folder is no release, or its index files are missing or changed; an entry occurs twice; ``out_dir``
            exists; ``name`` or ``version`` are invalid.
    """
    out_dir = Path(out_dir).absolute()
    if out_dir.exists():
        raise DataReleaseError(
            "the output folder exists",
            where=out_dir,
            expected="a folder that does not exist yet",
            remedy="choose another --out-dir, or delete this one",
        )
    if not folders:
        raise DataReleaseError("there is nothing to combine", expected="one release folder or more")
    combined: list[CombinedEntry] = []
    raw_entries: list[dict[str, Any]] = []
    origin_of: dict[tuple[str, object], str] = {}
    for folder in folders:
        for entry, raw, index_path in _entries(folder):
            _refuse_repeated(origin_of, entry, index_path)
            combined.append(entry)
            # Both without links: `..` of a linked folder leads elsewhere.
            relative = os.path.relpath(index_path.resolve(), out_dir.resolve())
            raw_entries.append({**raw, "obs_path": relative, "task_tags": list(entry.tasks)})
    content = release_content(name or out_dir.name, version, raw_entries)
    read_dataset_file(content, out_dir / DATASET_FILE, strict=True)
    partial = out_dir.with_name(f"{out_dir.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    (partial / DATASET_FILE).write_bytes(content)
    partial.rename(out_dir)
    return combined


def format_combined(entries: Sequence[CombinedEntry]) -> str:
    """Lay the entries out for a terminal.

    Args:
        entries: What ``combine_releases`` returned.

    Returns:
        A table.
    """
    width = max(len("total"), *(len(entry.name) for entry in entries))
    lines = [f"{'entry':<{width}}  {'records':>9}  {'duplicate':>9}  tasks"]
    lines += [f"{e.name:<{width}}  {e.num_records:>9,}  {e.duplicate:>9}  {', '.join(e.tasks)}" for e in entries]
    tasks = dict.fromkeys(task for entry in entries for task in entry.tasks)
    total = sum(entry.num_records for entry in entries)
    return "\n".join([*lines, f"{'total':<{width}}  {total:>9,}  {'':>9}  {', '.join(tasks)}"])


def _entries(folder: Path) -> list[tuple[CombinedEntry, dict[str, Any], Path]]:
    release = open_release(root=folder)
    # The raw entries, because the parsed ones lack a team's own keys, x_...
    raw_entries = json.loads((Path(folder) / DATASET_FILE).read_bytes())["dataset_index"]
    if not release.tasks or any(entry.task_tags is None and release.meta.tasks is None for entry in release.entries):
        raise DataReleaseError(
            "a release does not say which tasks it serves",
            where=release.where,
            expected="meta.tasks, or task_tags in every entry",
            remedy="add them; beside other sources an entry must not serve their tasks",
        )
    selected = {entry.name: entry for entry in release.select(sorted(release.tasks))}
    found = []
    for raw, entry in zip(raw_entries, release.entries, strict=True):
        index_path = selected[entry.name].index_path
        tasks = entry.task_tags or release.meta.tasks or ()
        raw = {**raw, "bundle_versions": list(entry.bundle_versions or release.meta.bundle_versions)}
        combined = CombinedEntry(entry.name, Path(folder), len(JsonlIndex(index_path)), entry.duplicate, tuple(tasks))
        found.append((combined, raw, index_path))
    return found


def _refuse_repeated(origin_of: dict[tuple[str, object], str], entry: CombinedEntry, index_path: Path) -> None:
    name = unicodedata.normalize("NFC", entry.name).casefold()
    for kind, key in (("name", name), ("index file", index_path.resolve())):
        here = f"{entry.name} in {entry.folder}"
        first = origin_of.setdefault((kind, key), here)
        if first is not here:
            raise DataReleaseError(
                f"two entries have the same {kind}",
                where=here,
                expected="each entry once, under a name of its own",
                got=f"also {first}",
                remedy="convert one of them with another --name" if kind == "name" else "leave one of the folders out",
            )
