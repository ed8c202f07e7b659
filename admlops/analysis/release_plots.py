"""Pictures of what a release is made of, as PNG."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from admlops.data_release.repository.stats import EntryStatistics, ReleaseStatistics
from admlops.data_release.sample_counts import ANY_TASK
from admlops.figures import to_png

_DPI = 110
_MOST_PARTS = 12
_MOST_ENTRIES = 40
_REST = "#cfcfcf"
_COLORS = (
    "#2b6cb0", "#dd6b20", "#38a169", "#805ad5", "#d53f8c", "#718096",
    "#63b3ed", "#f6ad55", "#9ae6b4", "#b794f4", "#fbb6ce", "#a0aec0",
)  # fmt: skip


def draw_release(statistics: ReleaseStatistics) -> dict[str, bytes]:
    """Draw what a release is made of.

    Args:
        statistics: Of the release.

    Returns:
        PNG files by name: ``tasks`` and ``bundles``, each bar split into entries, and ``entries``.
    """
    entries = statistics.entries
    named = [task for task in statistics.tasks if task != ANY_TASK]
    tasks = {task: [entry for entry in entries if entry.tasks is None or task in entry.tasks] for task in named}
    bundles = {bundle: [entry for entry in entries if bundle in entry.bundles] for bundle in statistics.bundles}
    return {
        "tasks": _draw_parts(statistics, tasks or {"any task": list(entries)}, "samples an epoch, by task"),
        "bundles": _draw_parts(statistics, bundles, "samples an epoch, by bundle"),
        "entries": _draw_entries(statistics),
    }


def _draw_parts(statistics: ReleaseStatistics, bars: dict[str, list[EntryStatistics]], title: str) -> bytes:
    largest = [entry.name for entry in _largest(statistics.entries)[:_MOST_PARTS]]
    color = dict(zip(largest, _COLORS, strict=False))
    figure = Figure(figsize=(8, 1.6 + 0.45 * len(bars)), layout="constrained")
    axes = figure.add_subplot()
    for y, entries in enumerate(bars.values()):
        left = 0
        for entry in sorted(entries, key=lambda one: largest.index(one.name) if one.name in color else len(largest)):
            size = entry.count.effective or 0
            axes.barh(y, size, 0.7, left, color=color.get(entry.name, _REST), edgecolor="white", linewidth=0.5)
            left += size
        axes.text(left, y, f" {left:,}", va="center", fontsize=8)
    axes.set_yticks(range(len(bars)), list(bars), fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.14)
    axes.set_xlabel(title)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    handles = [axes.barh(0, 0, color=color[name], label=name) for name in largest]
    if len(largest) < len(statistics.entries):
        handles.append(axes.barh(0, 0, color=_REST, label=f"{len(statistics.entries) - len(largest)} others"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return to_png(figure, _DPI)


def _draw_entries(statistics: ReleaseStatistics) -> bytes:
    entries = _largest(statistics.entries)[:_MOST_ENTRIES]
    figure = Figure(figsize=(8, 1.4 + 0.28 * len(entries)), layout="constrained")
    axes = figure.add_subplot()
    for y, entry in enumerate(entries):
        once, epoch = entry.count.num_samples or 0, entry.count.effective or 0
        axes.barh(y, epoch, 0.75, color="#bee3f8")
        axes.barh(y, once, 0.75, color="#2b6cb0")
        text = "unknown" if entry.count.num_samples is None else f"{once:,} x {entry.count.duplicate}"
        axes.text(epoch, y, f" {text}", va="center", fontsize=8)
    axes.set_yticks(range(len(entries)), [entry.name for entry in entries], fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.16)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("samples (dark) and what an epoch draws (light)")
    return to_png(figure, _DPI)


def _largest(entries: Sequence[EntryStatistics]) -> list[EntryStatistics]:
    return sorted(entries, key=lambda entry: -(entry.count.effective or 0))
