"""``with_integrity`` changes nothing but the key that it writes."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admlops.data_release.repository.write_integrity import with_integrity
from admlops.data_release.schema import Integrity

PINNED = Integrity(sha256="a" * 64, bytes=12, num_samples=3)
VERSIONED = Integrity(sha256="b" * 64, bytes=7, num_samples=1, version_id="v/1")
A = f'"sha256": "{"a" * 64}"'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            '{\n  "dataset_index": [\n    {\n      "name": "高速",\n      "x_cost": 1.10\n    }\n  ]\n}\n',
            '{\n  "dataset_index": [\n    {\n      "name": "高速",\n      "x_cost": 1.10,\n      "integrity": {\n'
            f'        {A},\n        "bytes": 12,\n        "num_samples": 3\n      }}\n    }}\n  ]\n}}\n',
        ),
        (
            '{"dataset_index": [{"name": "a" }]}',
            f'{{"dataset_index": [{{"name": "a", "integrity": {{{A}, "bytes": 12, "num_samples": 3}} }}]}}',
        ),
        (
            '{\r\n\t"dataset_index": [{"integrity" : null, "name": "\\u9ad8"}]}',
            f'{{\r\n\t"dataset_index": [{{"integrity" : {{{A}, "bytes": 12, "num_samples": 3}}, "name": "\\u9ad8"}}]}}',
        ),
        (
            '{"dataset_index": [\n   {\n         "integrity": {"x_by": "me", "bytes": 1, "version_id": "9"},\n'
            '         "name": "a"}]}',
            f'{{"dataset_index": [\n   {{\n         "integrity": {{\n            {A},\n            "bytes": 12,\n'
            '            "num_samples": 3,\n            "x_by": "me"\n         },\n         "name": "a"}]}',
        ),
    ],
)
def test_everything_else_stays_as_it_is(before: str, after: str) -> None:
    assert with_integrity(before.encode(), {0: PINNED}).decode() == after


def test_only_chosen_entries_change() -> None:
    document = {"dataset_index": [{"name": name} for name in "abc"], "x_note": "integrity"}
    content = json.dumps(document, indent=4).encode()
    changed = json.loads(with_integrity(content, {0: PINNED, 2: VERSIONED}))
    assert [entry.pop("integrity", None) for entry in changed["dataset_index"]] == [
        {"sha256": "a" * 64, "bytes": 12, "num_samples": 3},
        None,
        {"sha256": "b" * 64, "bytes": 7, "num_samples": 1, "version_id": "v/1"},
    ]
    assert changed == document


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(
    entries=st.lists(
        st.dictionaries(st.sampled_from(["name", "integrity", "x_a", "高"]), JSON, max_size=4), min_size=1, max_size=3
    ),
    indent=st.sampled_from([None, 2, 4, "\t"]),
    ascii_only=st.booleans(),
)
def test_any_layout_is_read_back(entries: list[dict[str, object]], indent: object, ascii_only: bool) -> None:
    for entry in entries:
        entry["name"] = "a"
        if "integrity" in entry:
            entry["integrity"] = None
    document = {"meta": {}, "dataset_index": entries}
    content = json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode()
    pinned = dict.fromkeys(range(len(entries)), PINNED)
    changed = with_integrity(content, pinned)
    assert json.loads(changed)["dataset_index"] == [
        {**entry, "integrity": PINNED.model_dump(exclude_none=True)} for entry in entries
    ]
    assert with_integrity(changed, pinned) == changed
