"""What every verb shares: it is found by its file, prints text or JSON, ends with 0, 1, 2 or 3."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from admlops.cli.main import admlops
from admlops.errors import DataReleaseError, MachineError


@pytest.fixture
def run(monkeypatch):
    def invoke(outcome, *options):
        def answer(repo, ref):
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr("admlops.data_release.repository.resolve.resolve", answer)
        return CliRunner().invoke(admlops, ["data", "resolve", "v1", *options])

    return invoke


class Found:
    ok = True

    def to_json(self):
        return {"ref": "标签"}

    def to_text(self):
        return "found"


class Refused(Found):
    ok = False


def test_text_and_json(run):
    assert (run(Found()).output, run(Found()).exit_code) == ("found\n", 0)
    assert json.loads(run(Found(), "--json").output) == {"ref": "标签"}


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Refused(), 1),
        (DataReleaseError("two files", code="E201"), 1),
        (DataReleaseError("no such object", code="E401"), 3),
        (MachineError("the disk is full"), 3),
        (PermissionError(13, "Permission denied", "/x"), 3),
    ],
)
def test_exit_codes(run, outcome, status):
    assert run(outcome).exit_code == status


def test_an_error_is_told_in_full_on_stderr_or_as_json(run):
    error = DataReleaseError("two files", where="repo", expected="one", got=2, remedy="delete one", code="E201")
    assert run(error).stderr == "[E201] two files\n  where:    repo\n  expected: one\n  got:      2\n  try:      delete one\n"
    assert json.loads(run(error, "--json").stdout)["error"] == {
        "code": "E201",
        "what": "two files",
        "where": "repo",
        "expected": "one",
        "got": "2",
        "remedy": "delete one",
    }


def test_usage_is_2():
    assert CliRunner().invoke(admlops, ["data", "resolve"]).exit_code == 2
    assert CliRunner().invoke(admlops, ["data", "resolv", "v1"]).exit_code == 2


def test_the_data_verbs_start_without_torch():
    code = (
        "import sys, admlops.cli.main as m\nm.admlops(['data', '--help'], standalone_mode=False)\nprint('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "\n  resolve " in done.stdout
    assert done.stdout.endswith("False\n")
