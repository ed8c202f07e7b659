"""The report as one HTML file that needs nothing else: pictures inside, no script."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape

from admlops.analysis.findings import DataWarning
from admlops.analysis.tables import Cell, Table

MOST_ROWS = 400
"""Of a table; the CSV file holds all."""

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1200px; padding: 0 1rem; color: #222; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.2rem; border-bottom: 1px solid #ccc; }
table { border-collapse: collapse; font-size: 13px; margin: .6rem 0; }
th, td { padding: .15rem .6rem; border-bottom: 1px solid #e5e5e5; text-align: left; vertical-align: top; }
th { background: #f3f3f3; position: sticky; top: 0; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
.scroll { max-height: 32rem; overflow: auto; } .note { color: #666; font-size: 13px; }
.warnings td:first-child { color: #b7410e; font-weight: 600; white-space: nowrap; } .good { color: #2e7d32; }
img { max-width: 100%; } summary { cursor: pointer; color: #2b6cb0; } nav a { margin-right: 1rem; }
"""


def render_html(
    title: str,
    notes: Sequence[str],
    warnings: Sequence[DataWarning],
    plots: Mapping[str, tuple[str, bytes]],
    tables: Sequence[Table],
) -> str:
    """Lay a report out.

    Args:
        title: Of the report.
        notes: Sentences below it: what was analysed, what was left out.
        warnings: Shown first.
        plots: Title and PNG file by name.
        tables: Shown last, folded.

    Returns:
        A whole HTML document.
    """
    columns = ("id", "where", "what", "what to do")
    rows = tuple((warning.code, warning.where, warning.what, warning.remedy) for warning in warnings)
    good = '<p class="good">Nothing to warn of.</p>'
    body = [
        f"<h1>{escape(title)}</h1>",
        *(f'<p class="note">{escape(note)}</p>' for note in notes),
        f"<h2>Warnings ({len(warnings)})</h2>",
        f'<div class="warnings">{_table(columns, rows)}</div>' if warnings else good,
        *(_figure(caption, png) for caption, png in plots.values()),
        "<h2>Tables</h2>",
        *(_section(table) for table in tables),
    ]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    lines = "\n".join(body)
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}</head>\n<body>\n{lines}\n</body>\n</html>\n'


def _figure(caption: str, png: bytes) -> str:
    data = base64.b64encode(png).decode("ascii")
    return f'<h2>{escape(caption)}</h2>\n<img alt="{escape(caption)}" src="data:image/png;base64,{data}">'


def _section(table: Table) -> str:
    shown = table.rows[:MOST_ROWS]
    rest = len(table.rows) - len(shown)
    more = f'<p class="note">{rest:,} more rows in {table.name}.csv.</p>' if rest else ""
    is_open = " open" if len(table.rows) <= 30 else ""
    return (
        f'<details id="{table.name}"{is_open}><summary>{escape(table.title)} ({len(table.rows):,} rows)</summary>\n'
        f'<p class="note">{escape(table.note)}</p>\n<div class="scroll">{_table(table.columns, shown)}</div>{more}\n</details>'
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    lines = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}\n</tbody></table>"


def _cell(value: Cell) -> str:
    if value is None:
        return "<td></td>"
    if isinstance(value, str):
        return f"<td>{escape(value)}</td>"
    return f'<td class="number">{value:,}</td>'
