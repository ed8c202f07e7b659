"""Put pictures side by side, with a title above each, notes below and one legend for all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from admlops.task_spec import Color, TaskSpec
from admlops.visualization.overlay import FONT, ImageArray, put_text, text_scale

BACKDROP = 32
"""Grey of the strips with text."""
TEXT_COLOR: Color = (235, 235, 235)
NOTE_COLOR: Color = (255, 170, 120)
HEADING_COLOR: Color = (150, 150, 150)
GAP_PX = 4


@dataclass(frozen=True)
class Panel:
    """One picture.

    Attributes:
        image: (H, W, 3) BGR.
        title: Written above it.
        notes: Written below it, such as what is unknown; wrapped at words.
    """

    image: ImageArray
    title: str
    notes: tuple[str, ...] = ()


def compose(panels: Sequence[Panel], tasks: Sequence[TaskSpec]) -> ImageArray:
    """Lay panels out from left to right over a legend.

    Args:
        panels: Pictures of equal height.
        tasks: What the legend explains.

    Returns:
        One BGR picture.
    """
    scale = text_scale(panels[0].image.shape[0])
    notes = [_wrap(panel.notes, panel.image.shape[1], scale) for panel in panels]
    num_notes = max(len(lines) for lines in notes)
    columns: list[ImageArray] = []
    for panel, lines in zip(panels, notes, strict=True):
        width = panel.image.shape[1]
        rows = [_text_rows([panel.title], width, scale, TEXT_COLOR), panel.image]
        if num_notes:
            rows.append(_text_rows([*lines, *[""] * (num_notes - len(lines))], width, scale, NOTE_COLOR))
        if columns:
            columns.append(np.full((sum(row.shape[0] for row in rows), GAP_PX, 3), BACKDROP, np.uint8))
        columns.append(np.vstack(rows))
    body = np.hstack(columns)
    return np.vstack([body, _legend(tasks, body.shape[1], scale)])


def _line_px(scale: float) -> int:
    return round(34 * scale) + 4


def _text_rows(lines: Sequence[str], width_px: int, scale: float, color: Color) -> ImageArray:
    line_px = _line_px(scale)
    strip = np.full((line_px * len(lines) + 4, width_px, 3), BACKDROP, np.uint8)
    for index, line in enumerate(lines):
        put_text(strip, line, (6, (index + 1) * line_px - line_px // 4), scale, color)
    return strip


def _wrap(notes: Sequence[str], width_px: int, scale: float) -> list[str]:
    lines: list[str] = []
    for note in notes:
        line = ""
        for word in note.split(" "):
            longer = f"{line} {word}" if line else word
            if line and _text_px(longer, scale) > width_px - 12:
                lines.append(line)
                longer = f"    {word}"
            line = longer
        lines.append(line)
    return lines


def _text_px(text: str, scale: float) -> int:
    return int(cv2.getTextSize(text, FONT, scale, 1)[0][0])


def _legend(tasks: Sequence[TaskSpec], width_px: int, scale: float) -> ImageArray:
    line_px, places = _line_px(scale), list(_flow(tasks, width_px, scale))
    height = (max((row for _, row, _, _ in places), default=-1) + 1) * line_px + 6
    strip = np.full((height, width_px, 3), BACKDROP, np.uint8)
    side = line_px // 2
    for x, row, text, color in places:
        base = (row + 1) * line_px - line_px // 4
        if color is None:
            put_text(strip, text, (x, base), scale, HEADING_COLOR)
        else:
            cv2.rectangle(strip, (x, base - side + 1), (x + side, base + 1), color[::-1], -1)
            put_text(strip, text, (x + side + 4, base), scale, TEXT_COLOR)
    return strip


def _flow(tasks: Sequence[TaskSpec], width_px: int, scale: float) -> Iterator[tuple[int, int, str, Color | None]]:
    """Places of headings and entries: x, row, text and the swatch's colour (none for a heading)."""
    x, row, swatch = 6, 0, _line_px(scale) // 2 + 4
    for task in tasks:
        entries: list[tuple[str, Color | None]] = [(f"{task.name}:", None), *zip(task.classes, task.palette, strict=True)]
        for text, color in entries:
            need = _text_px(text, scale) + (swatch if color else 0) + 10
            # A heading stays with its first entry.
            lookahead = need if color else need + _text_px(task.classes[0], scale) + swatch
            if x > 6 and x + lookahead > width_px:
                x, row = 6, row + 1
            yield x, row, text, color
            x += need
        x += 10
