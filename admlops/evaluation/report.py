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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from admlops.evaluation.detection_metric import DetectionDetails
from admlops.evaluation.plots import draw_confusion, draw_precision_recall
from admlops.evaluation.semantic_metric import ConfusionDetails

TABLE_WIDTH = 100
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

    Args:
        metrics: Flat metrics as an evaluator returns them.

    Returns:
        Lines of text without colours; numbers in percent, ``-`` where undefined.
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
        table = Table("task", "class")
        for column in columns:
            table.add_column(f"{column} %", justify="right")
        for task in tasks:
            for class_name, row in rows[task].items():
                cells = (_percent(row[column]) if column in row else "" for column in columns)
                table.add_row("" if class_name else task, class_name or "all", *cells)
            table.add_section()
        console.print(table)
    return buffer.getvalue().rstrip("\n")


def _split(key: str) -> tuple[str, str, str]:
    task, _, rest = key.partition("/")
    class_name, _, metric = rest.rpartition("/")
    return task, class_name, metric


def _percent(value: float) -> str:
    return f"{100 * value:.1f}" if math.isfinite(value) else "-"


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
