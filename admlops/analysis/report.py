"""Write an analysis: ``report.html`` to forward, ``report.json`` with all numbers, a CSV file a table, the plots as PNG."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from admlops.analysis.analysis_run import Analysis
from admlops.analysis.findings import DataWarning, Need
from admlops.analysis.html_report import render_html
from admlops.analysis.plots import draw_plots
from admlops.analysis.tables import Table, split_totals
from admlops.errors import MachineError
from admlops.task_spec import LIDAR_TASKS


def write_report(
    analysis: Analysis, need: Need, warnings: tuple[DataWarning, ...], tables: tuple[Table, ...], out_dir: Path
) -> None:
    """Write all files of a report; each appears complete or not at all.

    Args:
        analysis: The counts.
        need: What the data was held against.
        warnings: Where it falls short.
        tables: The numbers.
        out_dir: Folder; made where missing. Files of an earlier report are replaced.

    Raises:
        MachineError: The folder cannot be written.
    """
    plots = draw_plots(analysis)
    for table in tables:
        _write(out_dir / "tables" / f"{table.name}.csv", _csv(table))
    for name, (_, png) in plots.items():
        _write(out_dir / "plots" / f"{name}.png", png)
    title = f"Data: {', '.join(analysis.splits.names)}"
    html = render_html(title, describe(analysis), warnings, plots, tables)
    _write(out_dir / "report.html", html.encode("utf-8"))
    _write(out_dir / "report.json", orjson.dumps(_as_json(analysis, need, warnings, tables), option=orjson.OPT_INDENT_2))


def describe(analysis: Analysis) -> list[str]:
    """Say what was analysed and what was left out.

    Args:
        analysis: The counts.

    Returns:
        Sentences.
    """
    options = analysis.options
    notes = []
    for split, total in split_totals(analysis).items():
        sources = [source for source, _ in analysis.of_split(split)]
        effective = sum(source.num_effective for source in sources)
        listed = f"{len(sources)} source" + ("s" if len(sources) > 1 else "")
        notes.append(f"{split}: {total.records:,} records in {listed}, {effective:,} samples an epoch.")
    in_images = np.array([task.name not in LIDAR_TASKS for task in analysis.layout.tasks])
    masks = sum(int(counts.masks[in_images].sum()) for counts in analysis.counts)
    read = sum(int(counts.masks_read[in_images].sum()) for counts in analysis.counts)
    if read < masks:
        notes.append(
            f"SAMPLED: {read:,} of {masks:,} masks were read; pixels, and images of classes that masks show, come from these."
        )
    if not options.read_images:
        notes.append("Pictures were not read: equal files and near duplicates were not looked for.")
    if any(counts.masks[~in_images].any() for counts in analysis.counts):
        notes.append("Labels of sweeps were counted, not looked into: their cells are made while training.")
    if any(counts.image_sizes for counts in analysis.counts):
        h, w = options.resize_hw
        notes.append(f"Network input: min_max_pairs {h}x{w} (h x w).")
    return notes


def format_summary(analysis: Analysis, warnings: tuple[DataWarning, ...]) -> str:
    """Lay the essentials out for a terminal.

    Args:
        analysis: The counts.
        warnings: Where the data falls short.

    Returns:
        Several lines of text.
    """
    totals = split_totals(analysis)
    width = max(len(split) for split in totals) + 2
    lines = [*describe(analysis), "", f"{'images that show':<40}" + "".join(f"{split:>{max(width, 10)}}" for split in totals)]
    for task, name, position in analysis.classes():
        cells = [
            "unknown"
            if not total.states[position, :-1].any()
            else "not read"
            if analysis.is_unread(total, task)
            else f"{int(total.images[position]):,}"
            for total in totals.values()
        ]
        lines.append(f"  {task.name + '.' + name:<38}" + "".join(f"{cell:>{max(width, 10)}}" for cell in cells))
    counted = "no warnings" if not warnings else "1 warning" if len(warnings) == 1 else f"{len(warnings)} warnings"
    return "\n".join([*lines, "", counted, *(f"  {warning}" for warning in warnings)])


def _as_json(analysis: Analysis, need: Need, warnings: tuple[DataWarning, ...], tables: tuple[Table, ...]) -> dict[str, Any]:
    return {
        "splits": analysis.splits.names,
        "notes": describe(analysis),
        "options": asdict(analysis.options),
        "need": asdict(need),
        "warnings": [asdict(warning) for warning in warnings],
        "tables": {table.name: [dict(zip(table.columns, row, strict=True)) for row in table.rows] for table in tables},
        "positions": {
            split: {
                f"{task.name}.{name}": total.position[position].round(3).tolist()
                for task, name, position in analysis.classes()
                if total.position[position].any()
            }
            for split, total in split_totals(analysis).items()
        },
    }


def _csv(table: Table) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(table.rows)
    return buffer.getvalue().encode("utf-8")


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        raise MachineError(
            f"the report cannot be written: {error.strerror}",
            where=path,
            expected="a writable folder with free space",
            remedy="free some space, or name another folder: --out-dir",
        ) from error
