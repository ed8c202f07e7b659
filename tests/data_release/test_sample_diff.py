"""Samples added, removed and changed, by hand, by property, and with a hash that knows three values."""

import json
import random
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from release_files import make_record, write_jsonl

from admlops.data_release import sample_diff
from admlops.data_release.sample_diff import compare_samples


def write(path, samples):
    """One line a sample id, its width the number given."""
    lines = []
    for sample_id, width in samples.items():
        record = make_record(sample_id)
        record["image"]["width"] = width
        lines.append(json.dumps(record) + "\n")
    path.write_text("".join(lines))
    return path


def compare(tmp_path, before, after):
    found = compare_samples(write(tmp_path / "before.jsonl", before), write(tmp_path / "after.jsonl", after))
    return {change: list(found.sample_ids(change)) for change in ("added", "removed", "changed")}


def test_by_hand(tmp_path):
    assert compare(tmp_path, {"a": 1, "b": 2, "c": 3}, {"d": 4, "c": 3, "b": 9}) == {
        "added": ["d"],
        "removed": ["a"],
        "changed": ["b"],
    }


def test_order_of_keys_spaces_and_empty_lines_change_nothing(tmp_path):
    before = write_jsonl(tmp_path / "before.jsonl", ["a", "b"])
    turned = [json.dumps(dict(reversed(make_record(name).items())), separators=(",", ":")) for name in ("b", "a")]
    after = tmp_path / "after.jsonl"
    after.write_text("\n" + "\r\n\n".join(turned))
    found = compare_samples(before, after)
    assert [found.count(change) for change in ("added", "removed", "changed")] == [0, 0, 0]


def test_a_number_that_became_text_or_a_flag_is_a_change(tmp_path):
    before, after = make_record("a"), make_record("a")
    before["attributes"], after["attributes"] = {"wet": 1}, {"wet": True}
    (tmp_path / "before.jsonl").write_text(json.dumps(before))
    (tmp_path / "after.jsonl").write_text(json.dumps(after))
    assert compare_samples(tmp_path / "before.jsonl", tmp_path / "after.jsonl").count("changed") == 1


files = st.dictionaries(st.sampled_from([f"s{number}" for number in range(12)]), st.integers(1, 3), max_size=12)


@pytest.mark.parametrize("num_hashes", [1 << 60, 3])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=files, after=files)
def test_as_dictionaries_say_even_where_hashes_collide(tmp_path, num_hashes, before, after):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample_diff, "hash_text", lambda text: hash(text) % num_hashes)
        assert compare(tmp_path, before, after) == {
            "added": [name for name in after if name not in before],
            "removed": [name for name in before if name not in after],
            "changed": [name for name in after if name in before and before[name] != after[name]],
        }


def test_memory_stays_some_ten_bytes_a_line(tmp_path):
    count = 20_000
    names = [f"sample_{number:08d}" for number in range(count)]
    before = write_jsonl(tmp_path / "before.jsonl", names)
    random.Random(0).shuffle(names)
    after = write_jsonl(tmp_path / "after.jsonl", [*names[:-7], "new"])
    compare_samples(before, after)  # builds the line offsets
    tracemalloc.start()
    found = compare_samples(before, after)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found.count("added"), found.count("removed"), found.count("changed")) == (1, 7, 0)
    assert peak < 100 * (2 * count)  # a parsed record takes over 1,000 bytes
