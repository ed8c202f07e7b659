"""Figures with Chinese names: a font that has them where one is installed, else a note and no flood of warnings."""

import warnings

import pytest
from matplotlib.figure import Figure

from admlops import figures


@pytest.fixture(autouse=True)
def nothing_said_before():
    figures._warn_of_boxes.cache_clear()


def figure_of(text):
    figure = Figure(figsize=(2, 1))
    figure.text(0.5, 0.5, text)
    return figure


def test_chinese_fonts_that_are_installed_are_used(monkeypatch, caplog):
    monkeypatch.setattr(figures, "_installed_chinese_fonts", lambda: ("DejaVu Serif",))
    figure = figure_of("高速")
    figures.to_png(figure, 50)
    assert figure.texts[0].get_fontfamily() == ["DejaVu Sans", "DejaVu Serif"]
    assert not caplog.records


def test_without_such_a_font_one_note_and_no_warnings(monkeypatch, caplog):
    monkeypatch.setattr(figures, "_installed_chinese_fonts", tuple)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            figures.to_png(figure_of("高速"), 50)
        figures.to_png(figure_of("highway, 50 µm"), 50)
    assert [record.getMessage()[:12] for record in caplog.records] == ["no font with"]


def test_nothing_to_say_of_latin_names(monkeypatch, caplog):
    monkeypatch.setattr(figures, "_installed_chinese_fonts", tuple)
    figures.to_png(figure_of("Köln, αβγ"), 50)
    assert not caplog.records


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (999, "999"), (1000, "1k"), (12_345, "12.3k"), (2_500_000, "2.5M"), (10**9, "1G")]
)
def test_counts_in_three_digits(count, text):
    assert figures.short_count(count) == text
