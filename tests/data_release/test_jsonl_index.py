import json
import multiprocessing
import os
import pickle
import subprocess
import sys

import pytest
from release_files import make_record, write_jsonl

from admlops.data_release import JsonlIndex, line_offsets
from admlops.errors import MachineError, RecordError


def line(sample_id):
    return json.dumps(make_record(sample_id)).encode()


def ids(index):
    return [index[i]["sample_id"] for i in range(len(index))]


def test_reads_any_record_and_names_its_place(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", ["a", "b", "c"])
    index = JsonlIndex(path)
    assert len(index) == 3
    assert index[1] == make_record("b")
    assert index[-1] == make_record("c")
    assert index.where(2) == f"{path}:3 (byte {2 * len(line('a')) + 2})"
    for outside in (3, -4):
        with pytest.raises(IndexError):
            index[outside]


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (line("a") + b"\n" + line("b"), [1, 2]),
        (line("a") + b"\r\n" + line("b") + b"\r\n", [1, 2]),
        (b"\n \t\r\n" + line("a") + b"\n\n\n" + line("b") + b"\n\n  ", [3, 6]),
        (b"", []),
        (b"\n\n", []),
    ],
)
def test_line_ends_and_empty_lines(tmp_path, content, lines):
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    for index in (JsonlIndex(path), JsonlIndex(path)):
        assert ids(index) == ["a", "b"][: len(lines)]
        places = [f"{path}:{number} (byte {content.index(line(name))})" for number, name in zip(lines, "ab", strict=False)]
        assert [index.where(i) for i in range(len(index))] == places


def test_offsets_are_read_from_the_cache(tmp_path, monkeypatch):
    path = write_jsonl(tmp_path / "a.jsonl", ["a", "b"])
    JsonlIndex(path)
    monkeypatch.setattr(line_offsets, "_build", None)
    assert ids(JsonlIndex(path)) == ["a", "b"]


def test_damaged_cache_file_is_built_again(tmp_path, cache_dir):
    path = write_jsonl(tmp_path / "a.jsonl", ["a", "b"])
    JsonlIndex(path)
    (cached,) = (cache_dir / "index").glob("*.u64")
    for damage in (b"", b"x" * 64, cached.read_bytes()[:-8]):
        cached.unlink()
        cached.write_bytes(damage)
        assert ids(JsonlIndex(path)) == ["a", "b"]


def test_changed_file_of_the_same_size_and_time_is_never_read_with_old_offsets(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(line("a") + b"\n" + line("bb") + b"\n")
    stat = path.stat()
    assert ids(JsonlIndex(path)) == ["a", "bb"]
    path.write_bytes(line("aa") + b"\n" + line("b") + b"\n")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_size == stat.st_size
    assert ids(JsonlIndex(path)) == ["aa", "b"]


@pytest.mark.parametrize(
    ("second", "code", "column", "message"),
    [
        (b'{"sample_id": "b",}', "E405", 18, "no JSON"),
        (b"{'sample_id': 'b'}", "E405", 2, "no JSON"),
        (b'{"sample_id": NaN}', "E405", 15, "no JSON"),
        (b'{"sample_id": "b"} {"sample_id": "c"}', "E405", 20, "no JSON"),
        (b'{"sample_id": "\xff"}', "E405", 16, "not UTF-8"),
        (b"\xef\xbb\xbf" + line("b"), "E405", 1, "byte order mark"),
        (b"version https://git-lfs.github.com/spec/v1", "E405", 1, "git lfs pull"),
        (b"[1, 2]", "E410", None, "not an object"),
        (line("b").replace(b"[1, 2, 30.5, 40]", b"[1, 2, 1e400, 40]"), "E405", None, "infinity"),
        (line("b")[:-1] + b', "attributes": {"id": 18446744073709551616}}', "E410", None, "64 bits"),
        (line("a"), "E407", None, "'a' appears twice"),
    ],
)
def test_bad_line_names_file_line_byte_and_reason(tmp_path, second, code, column, message):
    path = tmp_path / "a.jsonl"
    path.write_bytes(line("a") + b"\n\n" + second + b"\n" + line("d") + b"\n")
    with pytest.raises(RecordError, match=message) as caught:
        JsonlIndex(path)
    assert caught.value.code == code
    start = len(line("a")) + 2
    if column is None:
        assert str(caught.value.where).startswith(f"{path}:3")
    else:
        assert caught.value.where == f"{path}:3:{column} (byte {start + column - 1})"


def test_byte_of_a_fault_after_chinese_characters(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"sample_id": "高速",}\n'.encode())
    with pytest.raises(RecordError) as caught:
        JsonlIndex(path)
    assert caught.value.where == f"{path}:1:19 (byte 22)"  # two characters of three bytes each


def test_cut_last_line(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(line("a") + b"\n" + line("b")[:-9])
    with pytest.raises(RecordError, match="cut off"):
        JsonlIndex(path)


def test_missing_file_names_the_nearest(tmp_path):
    write_jsonl(tmp_path / "train.jsonl", ["a"])
    with pytest.raises(RecordError, match="did you mean 'train.jsonl'") as caught:
        JsonlIndex(tmp_path / "trian.jsonl")
    assert caught.value.code == "E401"


def test_nothing_is_cached_of_a_bad_file(tmp_path, cache_dir):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"{")
    for _ in range(2):
        with pytest.raises(RecordError):
            JsonlIndex(path)
    assert not list(cache_dir.rglob("*.u64"))


@pytest.mark.parametrize("opened", [True, False])
def test_file_cut_after_opening_is_an_error(tmp_path, opened):
    path = write_jsonl(tmp_path / "a.jsonl", ["a", "b"])
    index = JsonlIndex(path)
    if opened:
        assert index[0]["sample_id"] == "a"
    os.truncate(path, len(line("a")) + 5)
    with pytest.raises(RecordError) as caught:
        index[1]
    assert caught.value.code == "E406"


def test_file_rewritten_before_the_first_read_is_an_error(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", ["a", "b"])
    index = JsonlIndex(path)
    write_jsonl(path, ["c", "d"])
    with pytest.raises(RecordError) as caught:
        index[0]
    assert caught.value.code == "E406"


def test_copy_in_another_process_refuses_a_file_that_changed(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", ["a", "b"])
    pickled = pickle.dumps(JsonlIndex(path))
    assert len(pickled) < 160 + len(str(path))
    assert ids(pickle.loads(pickled)) == ["a", "b"]
    write_jsonl(path, ["a", "b", "c"])
    with pytest.raises(RecordError) as caught:
        pickle.loads(pickled)
    assert caught.value.code == "E406"


def test_change_of_mode_does_not_stop_a_running_job(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", ["a", "b"])
    index = JsonlIndex(path)
    pickled = pickle.dumps(index)
    path.chmod(0o600)
    (tmp_path / "link").hardlink_to(path)
    assert ids(index) == ids(pickle.loads(pickled)) == ["a", "b"]


def _read(index, queue):
    queue.put((ids(index), index._fd))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_reads_in_other_processes(tmp_path, method):
    index = JsonlIndex(write_jsonl(tmp_path / "a.jsonl", ["a", "b", "c"]))
    assert index[0]["sample_id"] == "a"
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    children = [context.Process(target=_read, args=(index, queue)) for _ in range(2)]
    for child in children:
        child.start()
    answers = [queue.get(timeout=60) for _ in children]
    for child in children:
        child.join()
    assert [answer[0] for answer in answers] == [["a", "b", "c"]] * 2
    if method == "fork":
        assert all(fd != index._fd for _, fd in answers)
    assert index[2]["sample_id"] == "c"


def test_many_processes_build_once(tmp_path, cache_dir):
    path = write_jsonl(tmp_path / "a.jsonl", [f"s{i}" for i in range(2000)])
    code = (
        "import sys, time; from admlops.data_release import JsonlIndex, line_offsets\n"
        "build, calls = line_offsets._build, []\n"
        "line_offsets._build = lambda *a: (calls.append(1), time.sleep(1), build(*a))\n"
        "print(len(JsonlIndex(sys.argv[1])), len(calls))"
    )
    command = [sys.executable, "-c", code, str(path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    answers = [process.communicate()[0].split() for process in processes]
    assert [answer[0] for answer in answers] == ["2000"] * 4
    assert sum(int(answer[1]) for answer in answers) == 1


def test_cache_that_is_a_file_says_what_to_do(tmp_path, monkeypatch):
    path = write_jsonl(tmp_path / "a.jsonl", ["a"])
    monkeypatch.setenv("ADMLOPS_CACHE", str(path))
    with pytest.raises(MachineError, match="ADMLOPS_CACHE"):
        JsonlIndex(path)
