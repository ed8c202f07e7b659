"""A parity table on screen and as files: ``parity.json``, ``parity.csv``, ``parity.png``."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from rich.text import Text

from admlops.data_release.cache import write_atomically
from admlops.engine.parity import Column, ParityTable
from admlops.evaluation.report import TABLE_WIDTH
from admlops.figures import short_count, to_png

DIFFERS, EXCEEDS = "*", "!"
"""Marks behind a number that differs from the float one, and behind one that loses more than it may."""
LEGEND = f"{DIFFERS} differs from the float column, {EXCEEDS} loses more than the config's budget allows"
_SHOWN_DIFFERENCE = 0.005
"""Points below which two numbers are printed alike."""


def format_parity(table: ParityTable, *, color: bool = False) -> str:
    """Lay a table out for a terminal.

    Args:
        table: The table.
        color: Whether marks are coloured too.

    Returns:
        Lines of text: numbers in percent, with their difference from floats in points.
    """
    grid = Table("metric, %")
    for column in table.columns:
        grid.add_column(column.name, justify="right")
    for row in table.rows:
        grid.add_row(row, *(_cell(table, column, row) for column in table.columns))
    if table.exact is not None:
        grid.add_section()
        for title, attribute in (("differing integers", "integers"), ("differing raw values", "raw")):
            grid.add_row(title, *(_count(table, column, attribute) for column in table.columns))
    buffer = io.StringIO()
    width = TABLE_WIDTH + 16 * max(0, len(table.columns) - 4)
    Console(file=buffer, width=width, force_terminal=color, color_system="standard" if color else None).print(grid)
    lines = [buffer.getvalue().rstrip("\n"), LEGEND]
    if table.exact is not None:
        lines.append(
            f"differing from {table.exact.reference} on {table.exact.pictures} pictures, all variants of a runtime summed"
        )
    return "\n".join(lines)


def write_parity(folder: str | Path, table: ParityTable) -> tuple[Path, ...]:
    """Write a table, each file whole or not at all.

    Args:
        folder: Gets the files; made where it is absent.
        table: The table.

    Returns:
        The files.
    """
    files = {"parity.json": _json(table), "parity.csv": _csv(table), "parity.png": draw_parity(table)}
    for name, content in files.items():
        with write_atomically(Path(folder) / name) as handle:
            handle.write(content)
    return tuple(Path(folder) / name for name in files)


def draw_parity(table: ParityTable) -> bytes:
    """Draw what each rung differs from floats by.

    Args:
        table: The table.

    Returns:
        A PNG file.
    """
    columns = [column for column in table.columns if not column.absent and not column.is_float]
    figure = Figure(figsize=(max(6.4, 0.9 * len(table.rows) + 2), 4.4), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(table.rows))
    width = 0.8 / max(len(columns), 1)
    for index, column in enumerate(columns):
        points = [-drop if math.isfinite(drop := table.drop(column, row)) else 0.0 for row in table.rows]
        axes.bar(places + (index - (len(columns) - 1) / 2) * width, points, width, label=column.name)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.axhline(-table.budget.branch_drop, color="red", linestyle=":", linewidth=1, label="budget of a branch")
    axes.axhline(-table.budget.mean_drop, color="red", linestyle="--", linewidth=1, label="budget of the mean")
    axes.set_xticks(places, table.rows, rotation=30, ha="right")
    axes.set_ylabel("points against float")
    axes.grid(axis="y", alpha=0.3)
    figure.legend(loc="outside right upper", frameon=False, fontsize="small")
    return to_png(figure, 120)


def _cell(table: ParityTable, column: Column, row: str) -> Text:
    value = column.metrics.get(row, math.nan)
    if column.absent:
        return Text("absent", style="red")
    if not math.isfinite(value):
        return Text("-")
    drop = table.drop(column, row)
    if column.is_float or not math.isfinite(drop):
        return Text(f"{100 * value:.2f}")
    if abs(drop) < _SHOWN_DIFFERENCE:
        return Text(f"{100 * value:.2f}  ")
    exceeds = table.exceeds(column, row)
    return Text(f"{100 * value:.2f} ({-drop:+.2f}){EXCEEDS if exceeds else DIFFERS}", style="bold red" if exceeds else "yellow")


def _count(table: ParityTable, column: Column, attribute: str) -> Text:
    name = column.name if column.backend else "integer" if column.is_integer else ""
    found = table.exact.of(name) if table.exact is not None and name else ()
    total = sum(getattr(each, attribute) for each in found)
    if not total:
        return Text("")
    differing = sum(getattr(each, f"differing_{attribute}") for each in found)
    return Text(f"{differing:,} of {short_count(total)}", style="bold red" if differing else "green")


def _json(table: ParityTable) -> bytes:
    columns: dict[str, Any] = {}
    for column in table.columns:
        metrics = {name: value if math.isfinite(value) else None for name, value in column.metrics.items()}
        columns[column.name] = {
            "model": column.model.name,
            "sha256": column.sha256,
            "backend": column.backend,
            "absent": column.absent,
            "metrics": metrics,
        }
    document = {
        "rows": table.rows,
        "columns": columns,
        "budget": asdict(table.budget),
        "exact": None if table.exact is None else asdict(table.exact),
        "power_of_two": table.power_of_two,
        "faults": table.faults,
    }
    return (json.dumps(document, indent=2, allow_nan=False) + "\n").encode()


def _csv(table: ParityTable) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("metric", "column", "value", "points_against_float"))
    for row in table.rows:
        for column in table.columns:
            value, drop = column.metrics.get(row, math.nan), table.drop(column, row)
            cells = ("" if not math.isfinite(value) else repr(value), "" if not math.isfinite(drop) else f"{-drop:.4f}")
            writer.writerow((row, column.name, *cells))
    return text.getvalue().encode()
