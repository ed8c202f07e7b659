from __future__ import annotations

import pytest

from admlops.conversion.json_list import stream_json_list
from admlops.errors import ConversionError


def test_items_come_one_after_the_other(tmp_path):
    path = tmp_path / "frames.json"
    path.write_text(' [{"name": "a", "labels": [1, 2.5, null]}, {"name": "b"}, 3]\n')
    items = stream_json_list(path)
    assert next(items) == {"name": "a", "labels": [1, 2.5, None]}
    assert list(items) == [{"name": "b"}, 3]
    path.write_text("[]")
    assert list(stream_json_list(path)) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"name": "a"}, {"na', r"truncated or malformed(.|\n)*about byte 20 of 20(.|\n)*premature EOF"),
        ('[{"name": "a"} {"name": "b"}]', r"truncated or malformed(.|\n)*after array element"),
        ("[1, 2] 3", r"truncated or malformed(.|\n)*trailing garbage"),
        ('{"frames": []}', r"is no list(.|\n)*got: +'{'"),
        ("", r"is no list(.|\n)*an empty file"),
        (None, r"an annotation file is missing(.|\n)*frames\.json"),
    ],
)
def test_broken_files_are_named(tmp_path, text, message):
    path = tmp_path / "frames.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConversionError, match=message):
        list(stream_json_list(path))


def test_list_in_an_object(tmp_path):
    path = tmp_path / "frames.json"
    path.write_text('{"info": {"frames": [0]}, "frames": [1, [2]], "more": []}')
    assert list(stream_json_list(path, "frames")) == [1, [2]]
    assert list(stream_json_list(path, "missing")) == []
    path.write_text('{"frames": [1, 2], "more": ')
    with pytest.raises(ConversionError, match=r"truncated or malformed(.|\n)*one complete JSON object"):
        list(stream_json_list(path, "frames"))
    path.write_text("[1, 2]")
    with pytest.raises(ConversionError, match=r"is no object(.|\n)*got: +'\['"):
        list(stream_json_list(path, "frames"))
