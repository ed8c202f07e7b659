"""Pictures of what a release is made of, as PNG."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence

from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from admlops.data_release.repository.stats import EntryStatistics, ReleaseStatistics
from admlops.data_release.sample_counts import ANY_TASK

_DPI = 110
_MOST_PARTS = 12
_MOST_ENTRIES = 40
_REST = "#cfcfcf"
_COLORS = (
    "#2b6cb0", "#dd6b20", "#38a169", "#805ad5", "#d53f8c", "#718096",
    "#63b3ed", "#f6ad55", "#9ae6b4", "#b794f4", "#fbb6ce", "#a0aec0",
)  # fmt: skip
# Entries often have Chinese names; the first font of this list that is installed draws them.
_FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "SimHei")


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
    return _png(figure)


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
    return _png(figure)


def _largest(entries: Sequence[EntryStatistics]) -> list[EntryStatistics]:
    return sorted(entries, key=lambda entry: -(entry.count.effective or 0))


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    installed = {font.name for font in font_manager.fontManager.ttflist}
    for text in figure.findobj(Text):
        if isinstance(text, Text):
            text.set_fontfamily([name for name in _FONTS if name in installed])
    with warnings.catch_warnings():
        # A letter that no font here has is drawn as a box; the tables have it in any case.
        warnings.simplefilter("ignore", UserWarning)
        figure.savefig(buffer, format="png", dpi=_DPI, bbox_inches="tight")
    return buffer.getvalue()
