"""The thread settings reach libgomp, share the cores, and leave alone what the user has set."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from admlops import threads

ROOT = Path(__file__).resolve().parents[1]


def test_quota_in_whole_cores():
    assert threads.parse_quota("250000", "100000") == 2
    assert threads.parse_quota("50000", "100000") == 1
    assert threads.parse_quota("max", "100000") is None
    assert threads.parse_quota("-1", "100000") is None
    assert threads.parse_quota("", "") is None


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "8"),
        ({"LOCAL_WORLD_SIZE": "4"}, "2"),
        ({"PYTEST_XDIST_WORKER_COUNT": "16"}, "1"),
        ({"OMP_NUM_THREADS": "3"}, "3"),
        ({"OMP_NUM_THREADS": "8", "ADMLOPS_OMP_NUM_THREADS": "8", "LOCAL_WORLD_SIZE": "2"}, "4"),  # inherited from our parent
        ({"OMP_NUM_THREADS": "3", "ADMLOPS_OMP_NUM_THREADS": "8", "LOCAL_WORLD_SIZE": "2"}, "3"),
    ],
)
def test_cores_are_shared_unless_the_user_decides(monkeypatch, environ, expected):
    monkeypatch.setattr(threads, "available_cores", lambda: 8)
    threads.set_thread_defaults(environ)
    assert environ["OMP_NUM_THREADS"] == expected
    assert environ["OMP_WAIT_POLICY"] == "PASSIVE"


def test_wait_policy_of_the_user_stays():
    environ = {"OMP_WAIT_POLICY": "ACTIVE"}
    threads.set_thread_defaults(environ)
    assert environ["OMP_WAIT_POLICY"] == "ACTIVE"
    # libgomp heeds a spin count before the policy.
    assert "GOMP_SPINCOUNT" not in environ


def test_cgroup_and_hyper_threads_limit_the_cores(monkeypatch, tmp_path):
    # Four logical CPUs on two cores.
    for cpu, siblings in enumerate(("0,2", "1,3", "0,2", "1,3")):
        folder = tmp_path / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings + "\n")
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(threads, "_CPU_FOLDER", tmp_path)
    monkeypatch.setattr(threads, "_CGROUP_V2_QUOTA", quota)
    monkeypatch.setattr(threads, "_CGROUP_V1_QUOTA", tmp_path / "absent")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    quota.write_text("max 100000\n")
    assert threads.available_cores() == 2
    quota.write_text("150000 100000\n")
    assert threads.available_cores() == 1
    quota.unlink()
    assert threads.available_cores() == 2


def test_importing_the_package_reaches_the_openmp_runtime():
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_", "ADMLOPS_OMP"))}
    environ |= {"OMP_DISPLAY_ENV": "verbose", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", "import admlops, torch; torch.ones(1)"], env=environ, capture_output=True, text=True, check=True
    )
    # libgomp shows PASSIVE also for an unset policy; only the count of spins tells (300000 unset).
    assert re.search(r"GOMP_SPINCOUNT = '1000'", done.stderr), done.stderr
