"""Records are counted without parsing, as an index counts them."""

import hashlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from release_files import make_record

from admlops.data_release import JsonlIndex, scan_lines


def line(sample_id):
    return json.dumps(make_record(sample_id)).encode()


A, B = line("a"), line("b")


@pytest.mark.parametrize(
    ("content", "num_records"),
    [
        (A, 1),
        (A + b"\n", 1),
        (A + b"\n" + B, 2),
        (A + b"\r\n" + B + b"\r\n", 2),
        (b"\n\n" + A + b"\n \t\r\n" + B + b"\n\n  ", 2),
        (b" \t" + A + b"  \r\n", 1),
        (b"\r" + A, 1),
    ],
)
def test_an_index_has_as_many_records(tmp_path, content, num_records):
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    found = scan_lines.scan_lines(path)
    assert (found.num_records, found.num_bytes, found.faults) == (num_records, len(content), ())
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    assert len(JsonlIndex(path)) == num_records


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b" ", b"\t", b"{}", b"x", b"\x0b", b"\0"])), st.integers(1, 5))
def test_chunks_may_end_anywhere(tmp_path, monkeypatch, pieces, chunk_bytes):
    content = b"".join(pieces)
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    monkeypatch.setattr(scan_lines, "_CHUNK_BYTES", chunk_bytes)
    found = scan_lines.scan_lines(path)
    with path.open("rb") as file:  # lines as those of an index
        filled = [stripped for one in file if (stripped := one.strip(b" \t\r\n"))]
    assert (found.num_bytes, found.num_records) == (len(content), len(filled))
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    signs = [not filled, b"\0" in content, bool(filled) and not filled[-1].endswith(b"}")]
    assert len(found.faults) == sum(signs)
    if b"\0" in content:
        byte = content.index(b"\0")
        (nul,) = [fault for fault in found.faults if "NUL" in fault.what]
        assert nul.where == f"{path}:{content.count(bytes([10]), 0, byte) + 1} (byte {byte})"


def test_a_known_hash_is_not_computed_again(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(A)
    assert scan_lines.scan_lines(path, "f" * 64).sha256 == "f" * 64
