"""matplotlib's figures as PNG, Chinese names included; without pyplot, so that no display and no global state is touched."""

from __future__ import annotations

import functools
import io
import logging
import warnings

from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

_LOGGER = logging.getLogger(__name__)
_LATIN_FONT = "DejaVu Sans"  # comes with matplotlib
_CHINESE_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "SimHei",
    "Microsoft YaHei",
    "PingFang SC",
)
_FIRST_CJK_LETTER = "\u2e80"


def to_png(figure: Figure, dpi: int) -> bytes:
    """Draw a figure; names of entries, tasks and classes may be Chinese.

    Args:
        figure: The figure.
        dpi: Pixels an inch.

    Returns:
        A PNG file.
    """
    fonts = [_LATIN_FONT, *_installed_chinese_fonts()]
    FigureCanvasAgg(figure)
    for text in figure.findobj(Text):
        if isinstance(text, Text):
            text.set_fontfamily(fonts)
            if len(fonts) == 1 and max(text.get_text(), default="") >= _FIRST_CJK_LETTER:
                _warn_of_boxes()
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight")
    return buffer.getvalue()


def short_count(count: int) -> str:
    """Write a count in three digits.

    Args:
        count: From 0.

    Returns:
        Such as ``12.3k``.
    """
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return str(count)


@functools.cache
def _installed_chinese_fonts() -> tuple[str, ...]:
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return tuple(name for name in _CHINESE_FONTS if name in installed)


@functools.cache
def _warn_of_boxes() -> None:
    _LOGGER.warning(
        "no font with Chinese letters is installed: plots show boxes in their place (tables are not affected). "
        "Install one, such as fonts-noto-cjk."
    )
