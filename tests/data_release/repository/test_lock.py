"""``admlops data lock`` on local files: what is written, what is refused, what is left alone."""

import hashlib
import http.server
import json
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from release_files import BUNDLE, make_record, write_jsonl

from admlops.cli.main import admlops
from admlops.data_release import open_release
from admlops.data_release.repository import pin_objects
from admlops.data_release.repository.lock import UnlockableError, lock
from admlops.errors import DataReleaseError, MachineError, RecordError


def line(sample_id: str) -> bytes:
    return json.dumps(make_record(sample_id)).encode() + b"\n"


def measure(path: Path, num_samples: int) -> dict[str, Any]:
    content = path.read_bytes()
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), "num_samples": num_samples}


def add_entries(repo: Path, **obs_paths: str) -> None:
    dataset = repo / "training_dataset.json"
    document = json.loads(dataset.read_text())
    document["dataset_index"] += [
        {"name": name, "obs_path": path, "bundle_versions": [BUNDLE]} for name, path in obs_paths.items()
    ]
    dataset.write_text(json.dumps(document, ensure_ascii=False, indent=2))


def run(repo: Path, *options: str) -> Any:
    return CliRunner().invoke(admlops, ["data", "lock", "--repo", str(repo), *options])


@pytest.fixture
def repo(release_dir: Path) -> Path:
    subprocess.run(["git", "init", "--quiet", str(release_dir)], check=True)
    return release_dir


def test_writes_what_the_objects_are_and_nothing_else(repo: Path) -> None:
    dataset = repo / "training_dataset.json"
    dataset.chmod(0o640)
    before = dataset.read_text()
    outcome = lock(repo)
    assert [(entry.name, entry.state) for entry in outcome.entries] == [("people", "new"), ("高速_joint", "new")]
    people, joint = measure(repo / "people.jsonl", 2), measure(repo / "lists" / "joint.jsonl", 3)
    document = json.loads(dataset.read_text())
    assert [entry.pop("integrity") for entry in document["dataset_index"]] == [people, joint]
    after = dataset.read_text()
    assert json.dumps(document, ensure_ascii=False, indent=2) == before
    added = r',\n      "integrity": \{\n        "sha256": "\w{64}",\n        "bytes": \d+,\n        "num_samples": \d\n      \}'
    assert re.sub(added, "", after) == before
    assert dataset.stat().st_mode & 0o777 == 0o640
    assert list(repo.glob(".*")) == [repo / ".git"]
    assert [entry.num_samples for entry in (e.integrity for e in open_release(root=repo).entries)] == [2, 3]


def test_a_second_run_finds_nothing_to_write(repo: Path) -> None:
    lock(repo)
    stat = (repo / "training_dataset.json").stat()
    assert [entry.state for entry in lock(repo).entries] == ["same", "same"]
    assert (repo / "training_dataset.json").stat() == stat


def test_check_writes_nothing_and_exits_with_1_where_something_differs(repo: Path) -> None:
    before = (repo / "training_dataset.json").read_bytes()
    answer = run(repo, "--check", "--json")
    assert answer.exit_code == 1
    assert [entry["state"] for entry in json.loads(answer.stdout)["entries"]] == ["new", "new"]
    assert (repo / "training_dataset.json").read_bytes() == before
    assert run(repo).exit_code == 0
    assert run(repo, "--check").exit_code == 0
    write_jsonl(repo / "people.jsonl", ["p0", "p1", "p2"])
    answer = run(repo, "--check")
    assert answer.exit_code == 1
    assert "changed  people  3 samples" in answer.stdout


def test_only_the_named_entries_are_pinned(repo: Path) -> None:
    (repo / "people.jsonl").unlink()  # not looked at
    assert [entry.name for entry in lock(repo, ["高速_joint"]).entries] == ["高速_joint"]
    entries = json.loads((repo / "training_dataset.json").read_text())["dataset_index"]
    assert [entry.keys() & {"integrity"} for entry in entries] == [set(), {"integrity"}]
    with pytest.raises(DataReleaseError, match="did you mean 'people'"):
        lock(repo, ["poeple"])


def test_pending_entries_are_left_alone(repo: Path) -> None:
    add_entries(repo, night="")
    assert [entry.state for entry in lock(repo).entries] == ["new", "new", "pending"]
    assert run(repo, "--check").exit_code == 0


def test_the_dagger_file_is_locked_by_itself(repo: Path) -> None:
    regular = repo / "training_dataset.json"
    document = json.loads(regular.read_text())
    document["meta"]["training_type"] = "dagger"
    (repo / "training_dataset.dagger.json").write_text(json.dumps(document))
    before = regular.read_bytes()
    assert run(repo, "--kind", "dagger").exit_code == 0
    assert regular.read_bytes() == before
    assert '"integrity"' in (repo / "training_dataset.dagger.json").read_text()


def test_a_link_to_the_dataset_file_stays_one(repo: Path) -> None:
    dataset = repo / "training_dataset.json"
    dataset.rename(repo / "real.json")
    dataset.symlink_to("real.json")
    lock(repo)
    assert dataset.is_symlink()
    assert '"integrity"' in (repo / "real.json").read_text()


BAD_LINES = {
    "comma": (b'{"sample_id": "b",}\n', "E405", "3:18"),
    "nan": (b'{"sample_id": NaN}\n', "E405", "3:15"),
    "utf8": (b'{"sample_id": "\xff"}\n', "E405", "3:16"),
    "list": (b"[1, 2]\n", "E410", "3 "),
    "twice": (line("a"), "E407", "3 "),
    "cut": (line("b")[:-9], "E405", "3:"),
}


def test_all_faults_of_all_entries_are_told_before_anything_is_written(repo: Path) -> None:
    for name, (bad, _, _) in BAD_LINES.items():
        (repo / f"{name}.jsonl").write_bytes(line("a") + b"\n" + bad)
    (repo / "comma.jsonl").open("ab").write(line("c") + b"{\n")
    add_entries(repo, **{name: f"{name}.jsonl" for name in BAD_LINES}, gone="goen.jsonl")
    before = (repo / "training_dataset.json").read_bytes()
    with pytest.raises(UnlockableError) as caught:
        lock(repo, deep=True)
    assert (repo / "training_dataset.json").read_bytes() == before
    found = {problem.json_path: [] for problem in caught.value.problems}
    for problem in caught.value.problems:
        found[problem.json_path].append(problem)
    assert list(found) == [f"$.dataset_index[{i}]" for i in range(2, 9)]
    for i, (name, (_, code, place)) in enumerate(BAD_LINES.items(), start=2):
        problem = found[f"$.dataset_index[{i}]"][0]
        assert problem.code == code
        assert problem.what.startswith(f"entry {name!r}: ")
        assert problem.where.startswith(f"{repo / name}.jsonl:{place}")
        assert re.search(r"\(byte \d+\)$", problem.where)
    assert found["$.dataset_index[2]"][0].where.endswith(f"(byte {len(line('a')) + 1 + 17})")
    assert [problem.where.split(":")[1] for problem in found["$.dataset_index[2]"]] == ["3", "5"]
    assert found["$.dataset_index[8]"][0].code == "E401"
    answer = run(repo, "--deep")
    assert answer.exit_code == 1  # bad data weighs more than a missing file
    assert answer.stderr.count("[E4") == 8 + 1
    assert run(repo, "--entry", "gone").exit_code == 3


def test_a_file_of_bad_lines_names_the_first_twenty(repo: Path) -> None:
    (repo / "people.jsonl").write_bytes(b"{\n" * 1000)
    with pytest.raises(UnlockableError) as caught:
        lock(repo, deep=True)
    assert len(caught.value.problems) == 20


DAMAGED = {
    "empty": (b"", "holds no record", ""),
    "blank": (b"\n \r\n", "holds no record", ""),
    "cut": (line("a") + line("b")[:-9] + b"\n", "no closing brace", f":2 (byte {2 * len(line('a')) - 9})"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\nsize 7\n", "no closing brace", ":2 (byte 49)"),
    "nul": (line("a") + b"\0" * 4096 + line("b"), "NUL", f":2 (byte {len(line('a'))})"),
}


def test_damage_is_told_without_parsing_a_record(repo: Path) -> None:
    for name, (content, _, _) in DAMAGED.items():
        (repo / f"{name}.jsonl").write_bytes(content)
    add_entries(repo, **{name: f"{name}.jsonl" for name in DAMAGED})
    before = (repo / "training_dataset.json").read_bytes()
    with pytest.raises(UnlockableError) as caught:
        lock(repo)
    assert (repo / "training_dataset.json").read_bytes() == before
    assert len(caught.value.problems) == len(DAMAGED)
    for problem, (name, (_, what, place)) in zip(caught.value.problems, DAMAGED.items(), strict=True):
        assert (problem.code, what in problem.what) == ("E405", True)
        assert problem.where == f"{repo / name}.jsonl{place}"
    with pytest.raises(UnlockableError) as caught:
        lock(repo, deep=True)
    assert {problem.what.split("'")[1] for problem in caught.value.problems} == set(DAMAGED)


def test_a_bad_line_among_others_is_left_to_deep_and_to_training(repo: Path) -> None:
    (repo / "people.jsonl").write_bytes(line("a") + b'{"sample_id": 1}\n' + line("b"))
    assert lock(repo).entries[0].measured.num_samples == 3
    with pytest.raises(UnlockableError) as caught:
        lock(repo, deep=True)
    assert [problem.code for problem in caught.value.problems] == ["E410"]
    with pytest.raises(RecordError) as refused:
        open_release(root=repo).select(["det_person"])
    assert refused.value.code == "E410"


@pytest.mark.parametrize("damage", ["cut at a newline", "another byte", "count"])
def test_a_file_that_still_parses_is_not_taken_for_the_pinned_one(repo: Path, damage: str) -> None:
    lock(repo)
    path, dataset = repo / "people.jsonl", repo / "training_dataset.json"
    if damage == "cut at a newline":
        os.truncate(path, len(line("p0")))
    elif damage == "another byte":
        path.write_bytes(path.read_bytes().replace(b"30.5", b"30.6"))
    else:
        dataset.write_text(dataset.read_text().replace('"num_samples": 2', '"num_samples": 1'))
    with pytest.raises(DataReleaseError) as caught:
        open_release(root=repo).select(["det_person"])
    assert caught.value.code == "E402"
    assert [entry.name for entry in lock(repo, check=True).differing] == ["people"]
    assert lock(repo).ok
    assert open_release(root=repo).select(["det_person"])[0].name == "people"


def test_a_file_that_grows_while_it_is_read_is_refused(repo: Path) -> None:
    # Whole valid records, so that only the change itself can be noticed.
    code = (
        "import sys, time\nfile = open(sys.argv[1], 'ab', buffering=0)\nprint(flush=True)\n"
        "for i in range(100000):\n    file.write(sys.argv[2].replace('#', str(i)).encode() + b'\\n'); time.sleep(0.001)"
    )
    command = [sys.executable, "-c", code, str(repo / "people.jsonl"), line("#").decode().strip()]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        writer.stdout.readline()
        try:
            with pytest.raises(UnlockableError) as caught:
                lock(repo)
        finally:
            writer.kill()
    assert [(problem.code, problem.json_path) for problem in caught.value.problems] == [("E406", "$.dataset_index[0]")]


def test_an_edit_of_the_dataset_file_meanwhile_is_not_overwritten(repo: Path) -> None:
    dataset = repo / "training_dataset.json"

    class EditsFirst(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            dataset.write_text(dataset.read_text().replace('"duplicate": 5', '"duplicate": 6'))
            self.send_response(200)
            self.send_header("Content-Length", str(len(line("w"))))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(line("w"))

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), EditsFirst)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    add_entries(repo, web=f"http://127.0.0.1:{server.server_port}/web.jsonl")
    try:
        with pytest.raises(DataReleaseError, match="lock again") as caught:
            lock(repo)
        assert caught.value.code == "E406"
        assert '"duplicate": 6' in dataset.read_text()
        assert '"integrity"' not in dataset.read_text()
        lock(repo)
    finally:
        server.shutdown()
        server.server_close()
    entry = json.loads(dataset.read_text())["dataset_index"][2]
    assert entry["integrity"] == {"sha256": hashlib.sha256(line("w")).hexdigest(), "bytes": len(line("w")), "num_samples": 1}


def test_no_room_for_the_dataset_file_leaves_the_old_one(repo: Path) -> None:
    dataset = repo / "training_dataset.json"
    document = json.loads(dataset.read_text())
    document["meta"]["description"] = "x" * 5000
    dataset.write_text(json.dumps(document))
    before = dataset.read_bytes()
    code = "from admlops.cli.main import main; main()"
    command = [sys.executable, "-c", code, "data", "lock", "--repo", str(repo)]
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))  # noqa: E731
    done = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "[E404]" in done.stderr
    assert dataset.read_bytes() == before
    assert list(repo.glob(".training*")) == []


def test_large_files_are_checked_in_processes(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pin_objects, "_WORTH_A_PROCESS_BYTES", (repo / "people.jsonl").stat().st_size + 1)
    (repo / "people.jsonl").write_bytes(b"{}\n")
    (repo / "lists" / "joint.jsonl").write_bytes(b"{}\n" * 300)
    sent: list[Path] = []
    check = pin_objects.check_in_process
    monkeypatch.setattr(pin_objects, "check_in_process", lambda path: (sent.append(path), check(path))[1])
    with pytest.raises(UnlockableError) as caught:
        lock(repo, deep=True)
    assert len(caught.value.problems) == 1 + 20
    assert sent == [repo / "lists" / "joint.jsonl"]


def test_a_killed_checker_is_an_error_not_a_wait(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pin_objects, "_WORTH_A_PROCESS_BYTES", 0)

    def kill_the_first() -> None:
        while not (children := multiprocessing.active_children()):
            time.sleep(0.001)
        os.kill(children[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    with pytest.raises((MachineError, UnlockableError), match="killed"):
        lock(repo, deep=True)
    killer.join()
