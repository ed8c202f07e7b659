"""Statistics of a release in a folder: numbers, plots, and the classes of those index files that are on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from admlops.analysis.analysis_run import scan_splits
from admlops.analysis.findings import Need, find_warnings
from admlops.analysis.record_scan import ScanOptions
from admlops.analysis.release_plots import draw_release
from admlops.analysis.report import format_summary, write_report
from admlops.analysis.splits import OpenedSplits, Source
from admlops.analysis.tables import build_tables
from admlops.data_release import JsonlIndex, TrainingRelease
from admlops.data_release.repository.open_at import open_at
from admlops.data_release.repository.output_file import output_file
from admlops.data_release.repository.stats import ReleaseStatistics, statistics_of
from admlops.data_release.sample_counts import is_remote
from admlops.data_release.schema import Kind, ReleaseEntry
from admlops.data_release.storage.blob_cache import cached_blob
from admlops.errors import AdmlopsError, DataReleaseError
from admlops.task_spec import TASKS


@dataclass(frozen=True)
class ReleaseReport:
    """What was written.

    Attributes:
        statistics: The numbers.
        out_dir: The folder.
        files: What lies in it, relative; ``classes/report.html`` where index files could be read.
        summary: Classes in a few lines; empty where none could be counted.
        left_out: Why by name of the entries whose classes were not counted.
    """

    statistics: ReleaseStatistics
    out_dir: Path
    files: tuple[str, ...]
    summary: str
    left_out: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        content = self.statistics.to_json()
        return {**content, "out_dir": str(self.out_dir), "files": list(self.files), "left_out": self.left_out}

    def to_text(self) -> str:
        """Lay it out for a terminal."""
        left_out = [f"  {name}: {why}" for name, why in self.left_out.items()]
        lines = [self.statistics.to_text(), "", self.summary] if self.summary else [self.statistics.to_text()]
        if left_out:
            lines += ["", "classes not counted of", *left_out]
        return "\n".join([*lines, "", *(f"-> {self.out_dir / file}" for file in self.files)])


def report_release(repo: str | Path, ref: str, out_dir: Path, *, kind: Kind = "regular") -> ReleaseReport:
    """Write the statistics of a release of a repository, downloading nothing.

    Args:
        repo: The repository.
        ref: Tag, commit, branch, or ``WORKTREE``.
        out_dir: Folder; made where missing. Files of an earlier report are replaced.
        kind: Which of the two dataset files; the other is not opened.

    Returns:
        What was written.

    Raises:
        DataReleaseError: No such repository, ref (E207) or file (E201), or the file is invalid.
        RecordError: A record contradicts its task.
        MachineError: The folder cannot be written.
    """
    release = open_at(repo, ref, kind)
    statistics = statistics_of(release, ref, kind)
    files = {f"plots/{name}.png": png for name, png in draw_release(statistics).items()}
    files["statistics.json"] = orjson.dumps(statistics.to_json(), option=orjson.OPT_INDENT_2)
    for name, content in files.items():
        with output_file(out_dir / name) as file:
            file.write(content)
    splits, left_out = _open_sources(release)
    summary = ""
    if splits.sources and splits.tasks:
        # Counts come from the index files alone, which is quick; tools/analyze.py looks into masks and pictures too.
        analysis = scan_splits(splits, ScanOptions(max_masks=0, read_images=False))
        need = Need()
        findings = find_warnings(analysis, need)
        write_report(analysis, need, findings, build_tables(analysis), out_dir / "classes")
        summary = format_summary(analysis, findings)
    written = [*files, *(["classes/report.html"] if summary else [])]
    return ReleaseReport(statistics, out_dir, tuple(sorted(written)), summary, left_out)


def _open_sources(release: TrainingRelease) -> tuple[OpenedSplits, dict[str, str]]:
    specs = tuple(spec for spec in TASKS.values() if not release.tasks or spec.name in release.tasks)
    names = frozenset(spec.name for spec in specs)
    sources: list[Source] = []
    left_out = {}
    for entry in release.entries:
        served = release.tasks_of(entry)
        tasks = names if served is None else names & served
        if not tasks:
            left_out[entry.name] = "serves none of the networks' tasks"
            continue
        try:
            sources += _open_source(release, entry, tasks)
        except AdmlopsError as error:
            left_out[entry.name] = f"[{error.code}] {error.what}" if error.code else error.what
    if not sources or not specs:
        specs = ()
    return OpenedSplits(("release",), tuple(sources), specs, names if release.tasks else frozenset()), left_out


def _open_source(release: TrainingRelease, entry: ReleaseEntry, tasks: frozenset[str]) -> Iterator[Source]:
    path = _cached(entry) if is_remote(entry) else release.locate(entry).path
    index = JsonlIndex(path)
    if not len(index):
        raise DataReleaseError("an empty index file")
    # No file that a record names is read here, so it does not matter where relative paths lead.
    yield Source("release", entry.name, path, index.version, path.parent, len(index), entry.duplicate, tasks)


def _cached(entry: ReleaseEntry) -> Path:
    path = cached_blob(entry.integrity.sha256) if entry.integrity else Path()
    if not path.is_file():
        raise DataReleaseError("not on this machine: `admlops data fetch`")
    return path
