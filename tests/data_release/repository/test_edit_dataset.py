"""``with_changes`` touches nothing but what changed, however the file is laid out."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admlops.data_release.repository.edit_dataset import with_changes

HAND_WRITTEN = """\
{
    "meta": {"tasks": ["a"], "x_cost": 1.10},
    "dataset_index": [
        {
            "name": "高速",   "task_tags": ["a", "b"],
            "x_cost": 1.10
        },
        {"name": "second"}
    ]
}
"""


def test_more_entries_by_hand():
    changed = json.loads(HAND_WRITTEN)
    changed["dataset_index"].append({"name": "new", "task_tags": ["a", "b"]})
    added = '},\n        {\n            "name": "new",\n            "task_tags": ["a", "b"]\n        }\n    ]'
    assert with_changes(HAND_WRITTEN.encode(), changed).decode() == HAND_WRITTEN.replace("}\n    ]", added)


def test_a_change_in_place_and_in_meta():
    changed = json.loads(HAND_WRITTEN)
    changed["meta"]["tasks"].append("b")
    changed["dataset_index"][1]["duplicate"] = 2
    text = with_changes(HAND_WRITTEN.encode(), changed).decode()
    assert '    "meta": {\n        "tasks": ["a", "b"],\n        "x_cost": 1.1\n    },\n' in text
    assert text.split('"dataset_index"')[1].startswith(HAND_WRITTEN.split('"dataset_index"')[1].partition('{"name')[0])
    assert json.loads(text) == changed


ENTRY = st.dictionaries(st.text(max_size=3), st.text(max_size=6) | st.lists(st.text(max_size=4), max_size=3), max_size=3)


@settings(max_examples=60, deadline=None)
@given(
    entries=st.lists(ENTRY, min_size=1, max_size=3),
    more=st.lists(ENTRY, max_size=2),
    other=ENTRY,
    indent=st.sampled_from([None, 2, 4, "\t"]),
    place=st.integers(0, 2),
)
def test_any_content(entries, more, other, indent, place):
    before = {"meta": {"a": ["b"]}, "dataset_index": entries}
    changed = copy.deepcopy(before)
    changed["dataset_index"][place % len(entries)] = other
    changed["dataset_index"] += more
    changed["meta"] = other
    content = json.dumps(before, indent=indent, ensure_ascii=False).encode()
    assert json.loads(with_changes(content, changed)) == changed
    assert with_changes(content, before) == content


@pytest.mark.parametrize("indent", [2, 4, "\t"])
def test_a_dumped_file_is_dumped_again(indent):
    before = {"meta": {"tasks": ["a"]}, "dataset_index": [{"name": "x", "tags": ["a", "b"]}]}
    changed = copy.deepcopy(before)
    changed["dataset_index"].append({"name": "y", "tags": ["c"], "integrity": {"bytes": 1}})
    content = json.dumps(before, indent=indent).encode()
    assert with_changes(content, changed) == json.dumps(changed, indent=indent).encode()
