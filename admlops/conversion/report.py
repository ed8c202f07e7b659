"""What a conversion reports: records, counts per class, what stays unknown, what was refused and why."""

from __future__ import annotations

from typing import Any

from admlops.conversion.converter import Converter
from admlops.conversion.tally import WHOLE_TASK, Tally
from admlops.task_spec import TASKS


def build_report(converter: Converter, entry: str, tally: Tally) -> dict[str, Any]:
    """Order a tally as a report.

    Args:
        converter: What was converted.
        entry: Name of the release's entry.
        tally: Counts of the whole conversion.

    Returns:
        JSON object: ``format, split, source, entry, records, image_sizes, lidar {sweeps, points}, labelled_records {task:
        number}, classes {task: {class: {boxes, ignored | pixels | lines, regions | polygons}}}, unknown {task: [class...]}``
        (all classes where the whole task is unknown), ``unknown_records`` (the same with the number of records),
        ``source_categories, refused {reason: count}``.
    """
    unknown = tally.section("unknown")
    return {
        "format": converter.name,
        "split": converter.split,
        "source": str(converter.source_root.absolute()),
        "options": converter.identity,
        "entry": entry,
        "records": tally.counts[("records",)],
        "image_sizes": tally.section("image_sizes"),
        "lidar": tally.section("lidar"),
        "labelled_records": tally.section("labelled"),
        "classes": tally.section("classes"),
        "unknown": {task: list(TASKS[task].classes) if WHOLE_TASK in names else list(names) for task, names in unknown.items()},
        "unknown_records": unknown,
        "source_categories": tally.section("source"),
        "refused": tally.section("refused"),
    }


def format_report(report: dict[str, Any]) -> str:
    """Lay a report out for a terminal.

    Args:
        report: What ``convert_source`` returned.

    Returns:
        Several lines of text.
    """
    lines = [f"{report['entry']}: {report['records']} records from {report['source']} ({report['format']}, {report['split']})"]
    if report["image_sizes"]:
        lines += _table("image sizes", report["image_sizes"])
    if report["lidar"]:
        lines += _table("lidar", report["lidar"])
    lines += _table("records that label", report["labelled_records"])
    for task, classes in report["classes"].items():
        lines.append(f"  {task}")
        for name, counts in classes.items():
            numbers = ", ".join(f"{number:,} {unit}" for unit, number in counts.items())
            lines.append(f"    {name:<24} {numbers}")
    lines.append("  unknown (no loss, no metric)")
    lines += [f"    {task:<24} {', '.join(names)}" for task, names in report["unknown"].items()] or ["    nothing"]
    lines += _table("in the source", report["source_categories"])
    lines += _table("refused", report["refused"])
    return "\n".join(lines)


def _table(title: str, counts: dict[str, int]) -> list[str]:
    rows = [f"    {number:>13,}  {name}" for name, number in counts.items() if number]
    return [f"  {title}", *(rows or ["    nothing"])]
