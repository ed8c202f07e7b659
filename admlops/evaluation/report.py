"""Metrics as a table on screen and as files: ``metrics.json``, ``metrics.csv``, ``pr_<task>.png``, ``confusion_<task>.png``.

``metrics.json`` is ``{"metrics": {"<task>/<class>/<metric>": number or null}, "lineage": {...} or null}``; null means that the
data do not define the number. ``metrics.csv`` has the columns task, class, metric, value; class is empty for the whole task,
value where it is undefined. Files appear whole or not at all.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from admlops.evaluation.detection_metric import DetectionDetails
from admlops.evaluation.plots import draw_confusion, draw_precision_recall
from admlops.evaluation.semantic_metric import ConfusionDetails
from admlops.evaluation.task_metric import COUNT_PREFIX

TABLE_WIDTH = 120
"""Columns of text; more than any terminal's default, so that class names stay whole."""


def write_report(
    out_dir: str | os.PathLike[str],
    metrics: Mapping[str, float],
    details: Mapping[str, Any],
    lineage: Mapping[str, Any] | None = None,
) -> tuple[Path, ...]:
    """Write all files of a report.

    Args:
        out_dir: Folder, made where it is absent.
        metrics: Flat metrics as an evaluator returns them.
        details: Of each task, as ``MultiTaskEvaluator.details`` has them.
        lineage: Where code, data and checkpoint come from; JSON types.

    Returns:
        The files, in the order in which they were written.
    """
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    defined = {key: float(value) if math.isfinite(value) else None for key, value in metrics.items()}
    document = {"metrics": defined, "lineage": dict(lineage) if lineage is not None else None}
    files = {"metrics.json": (json.dumps(document, indent=2, allow_nan=False) + "\n").encode(), "metrics.csv": _csv(defined)}
    for task_name, detail in details.items():
        if isinstance(detail, DetectionDetails):
            files[f"pr_{task_name}.png"] = draw_precision_recall(detail)
        elif isinstance(detail, ConfusionDetails):
            files[f"confusion_{task_name}.png"] = draw_confusion(detail)
    for name, content in files.items():
        _write_atomically(folder / name, content)
    return tuple(folder / name for name in files)


def format_table(metrics: Mapping[str, float]) -> str:
    """Lay metrics out for a terminal: one table for the tasks that share their columns, one row a class.

    Columns that do not fit beside the others go into a table of their own, with the rows that have them.

    Args:
        metrics: Flat metrics as an evaluator returns them.

    Returns:
        Lines of text without colours; shares in percent, ``num_`` metrics as they are, ``-`` where undefined.
    """
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for key, value in metrics.items():
        task, class_name, metric = _split(key)
        # The mean over classes stands in the classes' column.
        rows.setdefault(task, {}).setdefault(class_name, {})["IoU" if metric == "mIoU" else metric] = value
    groups: dict[tuple[str, ...], list[str]] = {}
    for task, classes in rows.items():
        groups.setdefault(tuple(dict.fromkeys(name for row in classes.values() for name in row)), []).append(task)
    buffer = io.StringIO()
    console = Console(file=buffer, width=TABLE_WIDTH, color_system=None)
    for columns, tasks in groups.items():
        for fitting in _fit({task: rows[task] for task in tasks}, columns):
            console.print(_table({task: rows[task] for task in tasks}, fitting))
    return buffer.getvalue().rstrip("\n")


Rows = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Values by task, class and metric."""


def _fit(rows: Rows, columns: Sequence[str]) -> Iterator[list[str]]:
    """Split columns into tables that are not wider than ``TABLE_WIDTH``."""
    edges = 3
    names = (max(map(len, rows)), max(len(name) for classes in rows.values() for name in classes))
    start = 1 + sum(max(width, len("class")) + edges for width in names)
    fitting: list[str] = []
    used = start
    for column in columns:
        texts = [_cell(column, row[column]) for classes in rows.values() for row in classes.values() if column in row]
        width = max(map(len, (*texts, *_heading(column).split("\n")))) + edges
        if fitting and used + width > TABLE_WIDTH:
            yield fitting
            fitting, used = [], start
        fitting.append(column)
        used += width
    yield fitting


def _table(rows: Rows, columns: Sequence[str]) -> Table:
    table = Table("task", "class")
    for column in columns:
        table.add_column(_heading(column), justify="right")
    for task, classes in rows.items():
        shown = {name: row for name, row in classes.items() if any(column in row for column in columns)}
        for number, (class_name, row) in enumerate(shown.items()):
            cells = (_cell(column, row[column]) if column in row else "" for column in columns)
            table.add_row("" if number else task, class_name or "all", *cells)
        table.add_section()
    return table


def _heading(column: str) -> str:
    return column.replace("_", "\n") if column.startswith(COUNT_PREFIX) else f"{column.replace('_', chr(10))} %"


def _cell(column: str, value: float) -> str:
    if not math.isfinite(value):
        return "-"
    if column.startswith(COUNT_PREFIX):
        return f"{value:.0f}" if value == round(value) else f"{value:.2f}"
    return f"{100 * value:.1f}"


def _split(key: str) -> tuple[str, str, str]:
    task, _, rest = key.partition("/")
    class_name, _, metric = rest.rpartition("/")
    return task, class_name, metric


def _csv(metrics: Mapping[str, float | None]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("task", "class", "metric", "value"))
    for key, value in metrics.items():
        writer.writerow((*_split(key), "" if value is None else repr(value)))
    return text.getvalue().encode()


def _write_atomically(path: Path, content: bytes) -> None:
    # In the same folder, so that the rename stays on one file system.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
