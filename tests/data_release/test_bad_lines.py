"""Bad lines are refused; left out only when asked, counted, written down, up to a number."""

import json
import pickle

import pytest
from release_files import make_record, write_jsonl, write_release

from admlops.data_release import JsonlIndex, open_release
from admlops.errors import ConfigError, RecordError

GOOD = [json.dumps(make_record(name)).encode() + b"\n" for name in "abc"]


def write_bad(path):
    path.write_bytes(b"{oops\n" + GOOD[0] + b"[1]\n\n" + GOOD[1] + GOOD[2] + GOOD[2][:-9])
    return path


def test_bad_lines_are_left_out_and_written_down(tmp_path):
    path = write_bad(tmp_path / "a.jsonl")
    for index in (JsonlIndex(path, max_bad=3), pickle.loads(pickle.dumps(JsonlIndex(path, max_bad=5)))):
        assert [index[i]["sample_id"] for i in range(len(index))] == ["a", "b", "c"]
        assert index.where(1) == f"{path}:5 (byte {6 + len(GOOD[0]) + 5})"
        assert [(bad.line, bad.byte, bad.code) for bad in index.quarantined] == [
            (1, 0, "E405"),
            (3, 6 + len(GOOD[0]), "E410"),
            (7, 6 + sum(map(len, GOOD)) + 5, "E405"),
        ]
        rows = [json.loads(line) for line in index.sidecar.read_text().splitlines()]
        assert [row["line"] for row in rows] == [1, 3, 7]
        assert rows[0]["path"] == str(path)
        assert "no JSON" in rows[0]["reason"]


def test_who_does_not_ask_for_it_gets_the_error_also_afterwards(tmp_path):
    path = write_bad(tmp_path / "a.jsonl")
    JsonlIndex(path, max_bad=3)
    for max_bad, what in ((0, "no JSON"), (2, "more than 2 bad lines")):
        with pytest.raises(RecordError, match=what) as caught:
            JsonlIndex(path, max_bad=max_bad)
        assert caught.value.code == "E405"


def test_too_many_at_first_build(tmp_path):
    path = write_bad(tmp_path / "a.jsonl")
    with pytest.raises(RecordError, match="more than 1 bad lines") as caught:
        JsonlIndex(path, max_bad=1)
    assert caught.value.where == f"{path}:3 (byte {6 + len(GOOD[0])})"


def test_a_clean_file_has_none(tmp_path):
    index = JsonlIndex(write_jsonl(tmp_path / "a.jsonl", ["a"]), max_bad=3)
    assert (index.quarantined, index.sidecar) == ((), None)


def test_a_release_is_asked(release_dir, document):
    write_bad(release_dir / "people.jsonl")
    root = write_release(release_dir, document)
    release = open_release(root=root, on_bad_line="quarantine", max_bad=3)
    people, _ = release.select(["det_person"])
    assert len(JsonlIndex(people.index_path, max_bad=people.max_bad)) == 3


@pytest.mark.parametrize(
    "settings", [("quarantine", None), ("quarantine", 0), ("raise", 3), ("skip", None), ("quarantine", True)]
)
def test_settings_that_do_not_fit(release_dir, settings):
    with pytest.raises(ConfigError, match="on_bad_line='quarantine', max_bad=10"):
        open_release(root=release_dir, on_bad_line=settings[0], max_bad=settings[1])
