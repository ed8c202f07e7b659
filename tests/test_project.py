"""The project's root: the checkout, unless ADMLOPS names another folder."""

from pathlib import Path

import pytest

from admlops.errors import ConfigError
from admlops.project import find_in_project, project_root


def test_root_is_the_checkout(monkeypatch):
    monkeypatch.delenv("ADMLOPS", raising=False)
    assert (project_root() / "pyproject.toml").is_file()


def test_admlops_names_another_root(monkeypatch, tmp_path):
    (tmp_path / "configs").mkdir()
    monkeypatch.setenv("ADMLOPS", str(tmp_path))
    assert project_root() == tmp_path.resolve()


def test_admlops_that_is_no_root_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("ADMLOPS", str(tmp_path / "typo"))
    with pytest.raises(ConfigError, match="ADMLOPS") as caught:
        project_root()
    assert str(tmp_path / "typo") in str(caught.value)


def test_paths_are_found_from_here_then_from_the_root(monkeypatch, tmp_path):
    root, here = tmp_path / "root", tmp_path / "here"
    (root / "configs").mkdir(parents=True)
    here.mkdir()
    monkeypatch.setenv("ADMLOPS", str(root))
    monkeypatch.chdir(here)
    assert find_in_project("data/sample") == root.resolve() / "data" / "sample"
    (here / "data" / "sample").mkdir(parents=True)
    assert find_in_project("data/sample") == Path("data/sample")
    assert find_in_project("/elsewhere") == Path("/elsewhere")
