import pytest

from admlops.data_release.strict_json import Position, parse_strict, positions
from admlops.errors import DataReleaseError


@pytest.mark.parametrize(
    ("content", "place", "message"),
    [
        (b"\xef\xbb\xbf{}", "1:1", "byte order mark"),
        (b'{\n "a": "\xff"}', "2:8", "not UTF-8"),
        (b'{\n "a": 1, // why\n "b": 2}', "2:10", "delete the comment"),
        (b'{"a": [1,\n 2,\n]}', "2:3", "delete the comma"),
        (b'{"a": 1,\n "b": NaN}', "2:7", "holds NaN"),
        (b'{"a": -Infinity}', "1:7", "holds -Infinity"),
        ('{"路": {"x": 1,\n  "y": [{}],\n  "x": 2}, "a": 1}'.encode(), "3:3", "key 'x' twice"),
        (b'{"a":\n "\\ud800"}', "2:2", "surrogate"),
        (b'{"a": 1', "1:8", "not JSON"),
        (b"", "1:1", "not JSON"),
        (b'{"a": 1} {}', "1:10", "not JSON"),
        (b"[" * 100_000, "1:1", "nested too deeply"),
    ],
)
def test_refuses_what_is_no_standard_json(content, place, message):
    with pytest.raises(DataReleaseError, match=message) as caught:
        parse_strict(content, "f.json")
    assert caught.value.code == "E100"
    assert caught.value.where == f"f.json:{place}"


def test_same_key_in_different_objects_and_escaped_pairs_are_fine():
    assert parse_strict(b'{"a": {"a": 1}, "b": [{"a": "\\ud83d\\ude97"}]}', "f.json") == {"a": {"a": 1}, "b": [{"a": "🚗"}]}


def test_positions_count_characters_not_bytes():
    content = '{"高速": [10,\n  {"速": null}]}'.encode()
    assert positions(content) == {
        (): Position(1, 1),
        ("高速",): Position(1, 2),
        ("高速", 0): Position(1, 9),
        ("高速", 1): Position(2, 3),
        ("高速", 1, "速"): Position(2, 4),
    }
