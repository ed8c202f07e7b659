"""Tables in plain text, for terminals and for Markdown."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_MARKUP = re.compile(r"[\\`*\[\]<|]|(?<!\w)_|_(?!\w)")


def text_table(header: Sequence[str], rows: Sequence[Sequence[object]], indent: str = "") -> str:
    """Lay rows out in columns.

    Args:
        header: Name of each column.
        rows: Cells; numbers are set to the right.
        indent: Before each line.

    Returns:
        Lines without trailing spaces.
    """
    cells = [[_grouped(cell) for cell in row] for row in (header, *rows)]
    widths = [max(width(row[column]) for row in cells) for column in range(len(header))]
    to_right = [bool(rows) and all(isinstance(row[column], int) for row in rows) for column in range(len(header))]
    lines = []
    for row in cells:
        padded = [
            " " * (space - width(cell)) + cell if right else cell + " " * (space - width(cell))
            for cell, space, right in zip(row, widths, to_right, strict=True)
        ]
        lines.append((indent + "  ".join(padded)).rstrip())
    return "\n".join(lines)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Write a Markdown table.

    Args:
        header: Name of each column.
        rows: Cells.

    Returns:
        Lines.
    """
    lines = [[escape_markdown(_grouped(cell)) for cell in row] for row in (header, *rows)]
    lines.insert(1, ["---"] * len(header))
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def width(text: str) -> int:
    """Columns that a text takes in a terminal: Chinese characters take two.

    Args:
        text: One line.

    Returns:
        Its width.
    """
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _grouped(cell: object) -> str:
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def escape_markdown(text: str) -> str:
    """Let a text stand in Markdown as it is.

    Args:
        text: One line, such as an entry's name.

    Returns:
        The text with what Markdown would interpret escaped; an underscore inside a word means nothing to it.
    """
    return _MARKUP.sub(r"\\\g<0>", text).replace("\n", " ")
