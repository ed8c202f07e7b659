"""Pictures of an analysis as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from admlops.analysis.analysis_run import Analysis
from admlops.analysis.class_states import SET_ONLY, STATES
from admlops.analysis.counts import MEASURES, SourceCounts
from admlops.analysis.log_histogram import BINS_PER_OCTAVE, bin_edges
from admlops.analysis.tables import split_totals
from admlops.figures import short_count, to_png
from admlops.task_spec import TaskKind

DPI = 110
STATE_COLORS = ("#2e9e5b", "#f0b429", "#8e6bbf", "#e3e3e3")
"""Of the states of a class, in the order of ``STATES``."""

_SPLIT_COLORS = ("#2b6cb0", "#dd6b20", "#38a169", "#805ad5", "#d53f8c", "#718096")
_MAP_COLUMNS = 6
_MOST_SOURCES = 40
_BINS_DRAWN = BINS_PER_OCTAVE // 4


def draw_plots(analysis: Analysis) -> dict[str, tuple[str, bytes]]:
    """Draw everything that can be drawn of an analysis.

    Args:
        analysis: The counts.

    Returns:
        Title and PNG file by name; position and co-occurrence once a split.
    """
    totals = split_totals(analysis)
    plots = {}
    if analysis.tasks:
        plots["availability"] = ("What is labelled, by class and source", _draw_availability(analysis))
        plots["images"] = ("Images that show a class, by source", _draw_images(analysis))
    if any(total.box_sizes.any() for total in totals.values()):
        plots["box_sizes"] = ("Shorter side of boxes in the network's input", _draw_box_sizes(analysis, totals))
    if any(total.image_sizes for total in totals.values()):
        plots["image_sizes"] = ("Image sizes", _draw_image_sizes(analysis, totals))
    for split, total in totals.items():
        if total.position.any():
            plots[f"positions_{split}"] = (f"Where classes are in the image: {split}", _draw_positions(analysis, total))
        if np.any(total.together != np.diag(np.diagonal(total.together))):
            title = f"Classes in one image: {split}"
            plots[f"co_occurrence_{split}"] = (title, _draw_co_occurrence(analysis, total))
    return plots


def _draw_availability(analysis: Analysis) -> bytes:
    columns, parts = _columns(analysis)
    rows = list(analysis.classes())
    figure = Figure(figsize=(3.2 + 0.95 * len(columns), 1.6 + 0.27 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for x, part in enumerate(parts):
        for y, (_, _, position) in enumerate(rows):
            left = x - 0.46
            for state, color in enumerate(STATE_COLORS):
                width = 0.92 * part.states[position, state] / max(part.records, 1)
                axes.barh(y, width, 0.82, left, color=color, linewidth=0)
                left += width
    _label_matrix(axes, analysis, columns)
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    handles = [Patch(color=color, label=name.replace("_", " ")) for name, color in zip(STATES, STATE_COLORS, strict=True)]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(STATES), frameon=False)
    return to_png(figure, DPI)


def _draw_images(analysis: Analysis) -> bytes:
    columns, parts = _columns(analysis)
    rows = list(analysis.classes())
    values = np.array([[part.images[position] for part in parts] for _, _, position in rows], dtype=np.float64)
    known = np.array([[part.states[position, :SET_ONLY].any() for part in parts] for _, _, position in rows])
    in_set = ~known & np.array([[part.states[position, SET_ONLY] > 0 for part in parts] for _, _, position in rows])
    figure = Figure(figsize=(3.2 + 0.95 * len(columns), 1.4 + 0.27 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor("0.93")
    shown = np.where(known & (values > 0), values, np.nan)
    norm = LogNorm(1, max(float(values.max(initial=1)), 10))
    axes.imshow(shown, cmap="YlGnBu", norm=norm, aspect="auto")
    for y, x in np.argwhere(known).tolist():
        dark = values[y, x] > 0 and norm(values[y, x]) > 0.6
        color = "white" if dark else ("black" if values[y, x] else "#c53030")
        is_unread = analysis.is_unread(parts[x], rows[y][0])
        axes.text(x, y, "?" if is_unread else short_count(int(values[y, x])), ha="center", va="center", fontsize=8, color=color)
    for y, x in np.argwhere(in_set).tolist():
        axes.text(x, y, "set", ha="center", va="center", fontsize=8, color=STATE_COLORS[SET_ONLY])
    _label_matrix(axes, analysis, columns)
    axes.set_xlabel(
        "empty: unknown; set: only in category sets; ?: masks were not read; red 0: labelled, and nowhere to be seen",
        fontsize=9,
    )
    return to_png(figure, DPI)


def _draw_box_sizes(analysis: Analysis, totals: dict[str, SourceCounts]) -> bytes:
    classes = [item for item in analysis.classes() if item[0].kind is TaskKind.DETECTION]
    figure, grid = _grid(len(classes), columns=4, size=(3.3, 2.3))
    edges = bin_edges()[::_BINS_DRAWN]
    measure = MEASURES.index("input_short_side_px")
    limit = analysis.options.min_side_px
    for axes, (task, name, position) in zip(grid, classes, strict=False):
        for color, (split, total) in zip(_SPLIT_COLORS * len(totals), totals.items(), strict=False):
            counts = total.box_sizes[position, measure].reshape(-1, _BINS_DRAWN).sum(axis=1)
            if boxes := counts.sum():
                tiny = total.tiny[position] / boxes
                label = f"{split}: {short_count(int(boxes))}, {tiny:.0%} < {limit:g} px"
                axes.stairs(100 * counts / boxes, edges, color=color, fill=False, linewidth=1.5, label=label)
        axes.axvline(limit, color="0.4", linestyle=":", linewidth=1)
        axes.set_xscale("log", base=2)
        axes.set_xlim(1, 1024)
        axes.set_xticks([2, 8, 32, 128, 512], ["2", "8", "32", "128", "512"])
        axes.set_title(f"{name} ({task.name})", fontsize=9)
        axes.tick_params(labelsize=8)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(fontsize=7, frameon=False, loc="upper right")
        axes.margins(y=0.35)
        axes.set_ylim(bottom=0)
    figure.supxlabel("shorter side, px of the network's input", fontsize=9)
    figure.supylabel("% of boxes", fontsize=9)
    return to_png(figure, DPI)


def _draw_image_sizes(analysis: Analysis, totals: dict[str, SourceCounts]) -> bytes:
    sizes = sorted({size for total in totals.values() for size in total.image_sizes}, key=lambda hw: hw[0] * hw[1])[-24:]
    figure = Figure(figsize=(7, 1.2 + 0.25 * len(sizes) * max(len(totals), 1)), layout="constrained")
    axes = figure.add_subplot()
    height = 0.8 / len(totals)
    for number, (split, total) in enumerate(totals.items()):
        counts = [total.image_sizes[size] for size in sizes]
        y = np.arange(len(sizes)) - 0.4 + height * (number + 0.5)
        bars = axes.barh(y, counts, height, color=_SPLIT_COLORS[number % len(_SPLIT_COLORS)], label=split)
        axes.bar_label(bars, [f"{count:,}" if count else "" for count in counts], padding=3, fontsize=8)
    axes.set_yticks(range(len(sizes)), [f"{h} x {w}" for h, w in sizes])
    axes.set(xlabel="images", ylabel="h x w, px")
    axes.margins(x=0.12)
    figure.legend(frameon=False, loc="outside upper right", ncols=len(totals))
    return to_png(figure, DPI)


def _draw_positions(analysis: Analysis, total: SourceCounts) -> bytes:
    classes = [item for item in analysis.classes() if total.position[item[2]].any()]
    figure, grid = _grid(len(classes), columns=_MAP_COLUMNS, size=(2.3, 1.65))
    for axes, (task, name, position) in zip(grid, classes, strict=False):
        # All pictures are stretched to one shape, 16:9 like most of them.
        axes.imshow(total.position[position], cmap="magma", aspect="auto", vmin=0)
        axes.set_title(f"{name}\n{task.name}", fontsize=8, linespacing=1.2)
        axes.set(xticks=[], yticks=[])
    return to_png(figure, DPI)


def _draw_co_occurrence(analysis: Analysis, total: SourceCounts) -> bytes:
    classes = [item for item in analysis.classes() if total.images[item[2]]]
    positions = [position for _, _, position in classes]
    together = total.together[np.ix_(positions, positions)].astype(np.float64)
    compared = total.compared[np.ix_(positions, positions)]
    share = np.where(compared > 0, 100 * together / np.maximum(compared, 1), np.nan)
    np.fill_diagonal(share, np.nan)
    side = 3.0 + 0.36 * len(classes)
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor("0.93")
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    for y, x in np.argwhere(share >= 0.5).tolist():
        color = "white" if share[y, x] > 55 else "black"
        axes.text(x, y, f"{share[y, x]:.0f}", ha="center", va="center", fontsize=7, color=color)
    names = [f"{name} ({task.name})" for task, name, _ in classes]
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
    counts = [short_count(int(total.images[position])) for position in positions]
    axes.set_yticks(range(len(names)), [f"{name} {count}" for name, count in zip(names, counts, strict=True)], fontsize=8)
    axes.set(
        ylabel="of the images with this class ...", xlabel="... % show this class too (of those that tell whether it is there)"
    )
    figure.colorbar(image, ax=axes, fraction=0.03, pad=0.02)
    return to_png(figure, DPI)


def _columns(analysis: Analysis) -> tuple[list[str], list[SourceCounts]]:
    # With many sources a column each would be unreadable: then one a split; the tables have them all.
    if len(analysis.counts) > _MOST_SOURCES:
        totals = split_totals(analysis)
        return list(totals), list(totals.values())
    names = [f"{source.name}\n{source.split}, {short_count(source.num_records)}" for source in analysis.splits.sources]
    return names, list(analysis.counts)


def _label_matrix(axes: Any, analysis: Analysis, columns: Sequence[str]) -> None:
    classes = list(analysis.classes())
    axes.set_xticks(range(len(columns)), columns, rotation=40, ha="left", rotation_mode="anchor", fontsize=8)
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(classes)), [f"{name} ({task.name})" for task, name, _ in classes], fontsize=8)
    tasks = [task.name for task, _, _ in classes]
    for y in range(1, len(tasks)):
        if tasks[y] != tasks[y - 1]:
            axes.axhline(y - 0.5, color="black", linewidth=0.7)


def _grid(count: int, columns: int, size: tuple[float, float]) -> tuple[Figure, list[Any]]:
    columns = min(columns, max(count, 1))
    rows = -(-max(count, 1) // columns)
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    grid: npt.NDArray[Any] = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axes in grid[count:]:
        axes.set_visible(False)
    return figure, list(grid)
