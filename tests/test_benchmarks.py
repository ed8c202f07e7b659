"""The benchmarks run, and their figures reach the table. What the figures are is no test's business."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def run_all(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location("run_all", FOLDER / "run_all.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("pipeline", 3),
        ("evaluation", 2),
        ("data_release", 5),
        ("quantization", 15),
        ("lidar", 2),
        ("index", 4),  # and two more where Hugging Face's package is installed
    ],
)
def test_a_quick_benchmark_states_its_figures(run_all: ModuleType, name: str, figures: int) -> None:
    found = run_all.run(name, quick=True)
    assert len(found) >= figures
    assert any(figure.bound is not None for figure in found)


def test_a_figure_is_read_as_it_was_printed(run_all: ModuleType) -> None:
    figure_line = sys.modules["figure_line"]
    figures = [
        figure_line.Figure("loading: ours / mmdet", "200 (190) images/s / 100 (90) images/s", 2.0, 1.5, at_least=True),
        figure_line.Figure("memory", "6 MB idle", -0.25, 15.0),
        figure_line.Figure("reopening", "37 s / 0.0005 s", 74000.0),
    ]
    printed = "\n".join(["some text", *map(str, figures), "a table = 3"])
    assert figure_line.parse_figures(printed) == figures
    line = "runner / bare loop              1.329 s / 1.286 s = 1.033   (bound 1.05)"
    assert figure_line.parse_figures(line) == [figure_line.Figure("runner / bare loop", "1.329 s / 1.286 s", 1.033, 1.05)]


def test_the_table_tells_what_misses_its_bound(run_all: ModuleType, tmp_path: Path) -> None:
    lines = ["a  x = 1.400   (bound at least 1.5)", "b  y = 1.400   (bound 1.5)", "c  z = 1.400   (no bound)"]
    rows = run_all.table(sys.modules["figure_line"].parse_figures("\n".join(lines))).splitlines()[2:]
    assert rows == ["| a | x | 1.400 | ≥ 1.5 | FAIL |", "| b | y | 1.400 | ≤ 1.5 | pass |", "| c | z | 1.400 |  |  |"]
    page = tmp_path / "page.md"
    page.write_text(f"before\n{run_all.BEGIN}\nold\n{run_all.END}\nafter\n")
    run_all.write_between_marks(page, "new")
    assert page.read_text() == f"before\n{run_all.BEGIN}\nnew\n{run_all.END}\nafter\n"
    page.write_text("no marks")
    with pytest.raises(SystemExit, match="lacks the lines"):
        run_all.write_between_marks(page, "new")


def test_a_benchmark_that_fails_stops_the_run(run_all: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(run_all.QUICK_ARGUMENTS, "index", ["--no-such-option"])
    with pytest.raises(SystemExit, match="index failed with status 2"):
        run_all.run("index", quick=True)
