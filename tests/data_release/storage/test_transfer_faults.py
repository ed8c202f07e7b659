"""What a server can do to a transfer, over a real socket; what a machine can do to it, with real limits and signals."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fault_server import FaultServer

from admlops.data_release import Integrity
from admlops.data_release.storage import TransferLimits, fetch_object, stat_object
from admlops.errors import DataReleaseError, MachineError

BODY = hashlib.sha256(b"object").digest() * 313  # 10016 bytes
SHA256 = hashlib.sha256(BODY).hexdigest()
PINNED = Integrity(sha256=SHA256, bytes=len(BODY), num_samples=1)
QUICK = TransferLimits(stall_s=0.3, deadline_s=20, attempts=2, backoff_s=0.01)


@pytest.fixture
def server():
    import threading

    server = FaultServer(BODY)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.hold.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(params=["pinned", "unpinned"])
def integrity(request):
    return PINNED if request.param == "pinned" else None


def fetch(server, fault, integrity=PINNED, limits=QUICK):
    return fetch_object(f"{server.url}/{fault}/list.jsonl", integrity=integrity, limits=limits)


@pytest.mark.parametrize("fault", ["plain", "truncated_once", "pieces", "stalled_once", "rude", "hiccup", "slow", "moved"])
def test_faults_that_pass_leave_a_whole_object(server, fault, integrity):
    limits = TransferLimits(stall_s=0.7, deadline_s=20, attempts=4, backoff_s=0.01)
    path = fetch(server, fault, integrity, limits)
    assert path.read_bytes() == BODY
    assert not list(path.parent.glob("*.part*"))


def test_a_truncated_object_is_resumed_where_it_ended(server):
    fetch(server, "truncated_once")
    assert server.gets() == [None, "bytes=1000-"]


@pytest.mark.parametrize(
    ("fault", "code", "what"),
    [
        ("missing", "E401", "no such object"),
        ("forbidden", "E401", "refused"),
        ("failing", "E403", "500"),
        ("gone", "E403", "no answer"),
        ("silent", "E403", "no answer for 0.3 s"),
        ("stalled", "E403", "no byte came for 0.3 s"),
        ("longer", "E406", "ends too early"),
        ("truncated", "E406", "ends too early, again and again"),
    ],
)
def test_faults_that_stay_are_named(server, fault, code, what):
    with pytest.raises(DataReleaseError, match=what) as caught:
        fetch(server, fault, None)
    assert caught.value.code == code
    assert caught.value.where == f"{server.url}/{fault}/list.jsonl"


@pytest.mark.parametrize("fault", ["lying", "shorter", "longer"])
def test_a_server_that_lies_about_a_pinned_object(server, fault, cache_dir):
    with pytest.raises(DataReleaseError, match="changed behind the tag") as caught:
        fetch(server, fault)
    assert caught.value.code == "E402"
    assert [path for path in (cache_dir / "blobs").rglob("*") if path.is_file() and path.suffix != ".lock"] == []


def test_a_drip_ends_at_the_deadline(server):
    start = time.monotonic()
    with pytest.raises(DataReleaseError, match="did not arrive in 1 s") as caught:
        fetch(server, "dripping", limits=TransferLimits(stall_s=0.5, deadline_s=1, attempts=3, backoff_s=0.01))
    assert caught.value.code == "E403"
    assert time.monotonic() - start < 3


def test_nobody_listens():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(DataReleaseError, match="does not answer") as caught:
        fetch_object(f"http://127.0.0.1:{port}/x", limits=QUICK)
    assert caught.value.code == "E403"


def test_an_object_that_changes_between_two_parts_is_read_anew(server):
    """The first half comes from one object, the ETag of the second says that it is another one."""
    server.hold.set()
    new = bytes(reversed(BODY))
    original = server.requests

    class Swap(list):
        def append(self, request):
            super().append(request)
            if len(self) == 2:
                server.body, server.etag = new, '"v2"'

    server.requests = Swap(original)
    integrity = Integrity(sha256=hashlib.sha256(new).hexdigest(), bytes=len(new), num_samples=1)
    assert fetch(server, "truncated_once", integrity).read_bytes() == new


def test_an_unsized_answer_is_checked_by_its_hash(server):
    assert fetch(server, "unsized").read_bytes() == BODY
    assert stat_object(f"{server.url}/plain/x").size == len(BODY)


def test_file_urls_are_not_copied(tmp_path):
    path = tmp_path / "a b.jsonl"
    path.write_bytes(BODY)
    assert fetch_object(f"file://{tmp_path}/a%20b.jsonl", integrity=PINNED) == path
    path.write_bytes(BODY + b"x")
    with pytest.raises(DataReleaseError) as caught:
        fetch_object(str(path), integrity=PINNED)
    assert caught.value.code == "E402"
    with pytest.raises(DataReleaseError, match="a file is missing"):
        fetch_object(f"file://{tmp_path}/a.jsonl")


def run(code, *arguments, **environment):
    prelude = (
        "import sys, os, json, time\n"
        "from admlops.data_release import Integrity\n"
        "from admlops.data_release.storage import fetch_object\n"
        f"PINNED = Integrity(sha256={SHA256!r}, bytes={len(BODY)}, num_samples=1)\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", prelude + code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"ADMLOPS_STALL_S": "20", **environment},
    )


def test_eight_processes_make_one_request(server):
    processes = [
        run("print(fetch_object(sys.argv[1], integrity=PINNED))", f"{server.url}/slow/x", LOCAL_RANK=str(rank))
        for rank in range(8)
    ]
    answers = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert len(answers) == 1
    assert Path(answers.pop()).read_bytes() == BODY
    assert server.gets() == [None]


def test_another_process_completes_the_download_of_one_that_was_killed(server, cache_dir):
    process = run("fetch_object(sys.argv[1], integrity=PINNED)", f"{server.url}/resumable/x")
    part = cache_dir / "blobs" / "sha256" / SHA256[:2] / f"{SHA256}.part"
    limit = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size == len(BODY) // 2) and time.monotonic() < limit:
        time.sleep(0.02)
    waiting = run("print(fetch_object(sys.argv[1], integrity=PINNED))", f"{server.url}/resumable/x")
    time.sleep(1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    answer, complaint = waiting.communicate(timeout=60)
    assert Path(answer.strip()).read_bytes() == BODY, complaint
    assert server.gets() == [None, f"bytes={len(BODY) // 2}-"]


def test_a_part_left_by_another_object_is_thrown_away(server, cache_dir):
    part = cache_dir / "blobs" / "sha256" / SHA256[:2] / f"{SHA256}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 5000)
    server.etag = None
    assert fetch(server, "plain").read_bytes() == BODY
    assert server.gets() == ["bytes=5000-", None]


def test_waiting_for_a_process_that_never_ends_has_a_deadline(server):
    holder = run("fetch_object(sys.argv[1], integrity=PINNED)", f"{server.url}/silent/x")
    limit = time.monotonic() + 30
    while not server.gets() and time.monotonic() < limit:
        time.sleep(0.02)
    with pytest.raises(MachineError, match="another process") as caught:
        fetch(server, "silent", limits=TransferLimits(stall_s=20, deadline_s=0.3))
    assert caught.value.code == "E403"
    holder.kill()
    holder.communicate()


def test_a_limit_on_file_sizes_is_a_full_disk_and_what_arrived_is_kept(server, cache_dir):
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "from admlops.errors import MachineError\n"
        "try: fetch_object(sys.argv[1], integrity=PINNED)\n"
        "except MachineError as error: print(json.dumps([error.code, str(error.got), error.remedy]))\n"
    )
    answer, complaint = run(code, f"{server.url}/plain/x").communicate(timeout=60)
    assert answer, complaint
    assert json.loads(answer)[0] == "E404"
    assert "after 4096 bytes" in answer
    assert fetch(server, "plain").read_bytes() == BODY
    assert server.gets() == [None, "bytes=4096-"]


def test_a_full_disk(server, tmp_path, monkeypatch):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no small file system can be mounted: {mounted.stderr.strip()}")
    try:
        monkeypatch.setenv("ADMLOPS_CACHE", str(small))
        server.body = bytes(100_000)
        with pytest.raises(MachineError, match="no room") as caught:
            fetch(server, "plain", None)
        assert caught.value.code == "E404"
        assert caught.value.expected == "100000 bytes"
        # Where the server does not say how much comes, the disk itself says so.
        server.etag = None
        with pytest.raises(MachineError, match="No space left") as caught:
            fetch(server, "unsized", Integrity(sha256=SHA256, bytes=100_000, num_samples=1))
        assert caught.value.code == "E404"
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_forked_process_opens_its_own_connection(server):
    fetch_object(f"{server.url}/plain/a", limits=QUICK)
    pid = os.fork()
    if pid == 0:
        try:
            ok = fetch_object(f"{server.url}/plain/b", limits=QUICK).read_bytes() == BODY
        finally:
            os._exit(0 if ok else 1)
    assert fetch_object(f"{server.url}/plain/c", limits=QUICK).read_bytes() == BODY
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_connection_is_used_again(server, monkeypatch):
    import http.client

    opened = []
    connect = http.client.HTTPConnection.connect
    monkeypatch.setattr(http.client.HTTPConnection, "connect", lambda self: (opened.append(1), connect(self))[1])
    for name in "abc":
        fetch_object(f"{server.url}/plain/{name}", limits=QUICK)
    assert len(opened) <= 2
