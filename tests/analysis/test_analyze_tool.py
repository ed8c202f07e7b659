"""The tool: what it writes, what it says, how it exits."""

import csv
import importlib.util
import json
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_splits import boxes, camera, write_index, write_release

from admlops.analysis import SplitPlace
from admlops.errors import ConfigError

TOOL = Path(__file__).resolve().parents[2] / "tools" / "analyze.py"


class Page(HTMLParser):
    """Tags that are open, cells of all tables, what is loaded from where."""

    def __init__(self):
        super().__init__()
        self.open, self.cells, self.sources, self.seen = [], [], [], set()

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.sources += [value for key, value in attrs if key in {"src", "href"}]
        if tag not in {"meta", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in {"td", "th"}:
            self.cells.append(data)


@pytest.fixture
def analyze(monkeypatch):
    spec = importlib.util.spec_from_file_location("analyze", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda *words: module.main([str(word) for word in words])


@pytest.fixture
def release(tmp_path):
    labels = boxes(("person", [0, 0, 9, 30]), ("person", [5, 5, 90, 90]))
    records = [camera("<a>", (90, 160), det_person=labels), camera("b", (90, 160), det_person=boxes())]
    (tmp_path / "train" / "images").mkdir(parents=True)
    for number, record in enumerate(records):
        pixels = np.random.default_rng(number).integers(0, 256, (90, 160, 3)).astype(np.uint8)
        cv2.imwrite(str(tmp_path / "train" / record["image"]["path"]), pixels)
    return write_release(tmp_path / "train", **{"people & co": (records, ["det_person"], 1)})


def test_report(analyze, release, tmp_path, capsys):
    assert analyze(release, "--out-dir", tmp_path / "out", "--workers", 1) == 0
    out = tmp_path / "out"
    shown = capsys.readouterr().out
    assert "train: 2 records in 1 source" in shown
    assert "[A204] train, det_person" in shown
    page = Page()
    page.feed((out / "report.html").read_text())
    assert page.open == []
    assert {"people & co", "det_person", "A204", "availability"} - set(page.cells) == {"availability"}
    assert "script" not in page.seen
    assert page.sources
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    report = json.loads((out / "report.json").read_text())
    assert report["warnings"][0]["code"] == "A204"
    for name, rows in report["tables"].items():
        with (out / "tables" / f"{name}.csv").open() as file:
            assert len(list(csv.DictReader(file))) == len(rows), name
    assert report["tables"]["instances"][0]["instances"] == 2
    for plot in (out / "plots").iterdir():
        assert plot.read_bytes().startswith(b"\x89PNG")
    assert {plot.stem for plot in (out / "plots").iterdir()} == {
        "availability", "images", "box_sizes", "image_sizes", "positions_train",
    }  # fmt: skip


def test_strict_exits_with_one_where_there_are_warnings(analyze, release, tmp_path):
    quick = [release, "--no-images", "--out-dir", tmp_path / "out", "--strict"]
    assert analyze(*quick) == 1
    assert analyze(*quick, "--min-images", 1, "--min-instances", 1, "--crop-hw", 512, 512) == 0


def test_faults_exit_with_one_and_write_nothing(analyze, release, tmp_path, capsys):
    (release / "images" / "b.png").unlink()
    assert analyze(release, "--workers", 1, "--out-dir", tmp_path / "out") == 1
    assert "an image cannot be read" in capsys.readouterr().err
    assert analyze("--out-dir", tmp_path / "out") == 1
    assert "nothing to analyse" in capsys.readouterr().err
    assert analyze(release, release, "--out-dir", tmp_path / "out") == 1
    assert "two splits have one name" in capsys.readouterr().err
    assert analyze("--repo", release, "--out-dir", tmp_path / "out") == 1
    assert "each repository needs a ref" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_repository_at_a_tag(analyze, release, tmp_path):
    git = ["git", "-C", str(release), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"], ["tag", "v1"]):
        subprocess.run([*git, *words], check=True)
    write_index(release / "people & co.jsonl", [])  # the working tree is not read
    words = ["--repo", f"val={release}", "--ref", "v1", "--no-images", "--out-dir", tmp_path / "out"]
    assert analyze(*words) == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text())["tables"]["sources"][0]["records"] == 2


def test_processes_give_the_same_numbers(analyze, tmp_path):
    records = [camera(str(i), det_person=boxes(("person", [0, 0, 9 + i % 50, 30]))) for i in range(5000)]
    index = write_index(tmp_path / "many.jsonl", records)
    for workers in (1, 2):
        assert analyze(index, "--no-images", "--workers", workers, "--out-dir", tmp_path / str(workers)) == 0
    assert (tmp_path / "1" / "report.json").read_bytes() == (tmp_path / "2" / "report.json").read_bytes()


@pytest.mark.parametrize(
    ("text", "name"),
    [("train=a/b", "train"), ("a/b", "b"), ("a/val.jsonl", "val"), ("a/x=1/b", "b"), ("t=a/x=1/b.jsonl", "t")],
)
def test_names_of_splits(text, name):
    assert SplitPlace.parse(text).name == name


def test_a_split_without_a_path_is_refused():
    with pytest.raises(ConfigError, match="no place"):
        SplitPlace.parse("train=")
