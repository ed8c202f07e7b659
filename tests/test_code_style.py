"""Style, types, documented arguments and the layers of the package, by the tools that `make lint` runs too."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
MAX_LINES = 400
MAX_FUNCTION_LINES = 80
# Names that say nothing about what is in the module; the established configs are the exception.
BANNED_NAMES = {"utils", "misc", "common", "core", "helpers"}


def check(*command: str) -> None:
    words = [str(BIN / command[0]), *command[1:]]
    # Caches stay out of the checkout: it may be read-only, and two runs may share it.
    paths = os.pathsep.join([str(ROOT), str(ROOT / "projects" / "god")])
    environ = os.environ | {"PYTHONPATH": paths, "RUFF_NO_CACHE": "true", "NO_COLOR": "1"}
    done = subprocess.run(words, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


def python_files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")) if ".mim" not in path.parts]


def test_ruff():
    check("ruff", "check", ".")


def test_format():
    check("ruff", "format", "--check", ".")


def test_types():
    # PyTorch takes most of the time, so the cache is kept.
    cache = Path(os.environ.get("ADMLOPS_CACHE") or "~/.cache/admlops").expanduser() / "mypy"
    check("mypy", f"--cache-dir={cache}", "admlops", "projects/god/god", "tools/setup_environment.py")


def test_layers():
    check("lint-imports", "--no-cache")


def test_docstrings_name_the_arguments():
    check("pydoclint", "--quiet", "--config=pyproject.toml", "admlops", "projects/god/god")


@pytest.mark.parametrize("folder", ["admlops", "projects", "tools"])
def test_modules_stay_readable(folder):
    long = {
        str(path.relative_to(ROOT)): lines
        for path in python_files(folder)
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    }
    assert long == {}


@pytest.mark.parametrize("folder", ["admlops", "projects", "tools"])
def test_functions_stay_readable(folder):
    long = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": lines
        for path in python_files(folder)
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := node.end_lineno - node.lineno + 1) >= MAX_FUNCTION_LINES
    }
    assert long == {}


def test_names_say_what_is_inside():
    files = python_files("admlops", "projects", "tools", "benchmarks")
    assert [str(path) for path in files if {path.stem, path.parent.name} & BANNED_NAMES] == []


def test_no_two_test_files_have_one_name():
    names = [path.name for path in python_files("tests") if path.name.startswith("test_")]
    assert sorted(set(names)) == sorted(names), "pytest imports one of them and leaves the other out"


def test_shell_scripts_parse_and_stop_at_errors():
    scripts = [*sorted((ROOT / "tools").glob("*.sh")), ROOT / ".ci" / "run"]
    for script in scripts:
        subprocess.run(["bash", "-n", script], check=True)
        assert re.search(r"^set -euo pipefail$", script.read_text(encoding="utf-8"), re.MULTILINE), script
        assert os.access(script, os.X_OK), script
