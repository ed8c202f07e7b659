"""The search for near hashes, against comparing each with each."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admlops.analysis import hash_search
from admlops.analysis.hash_search import count_bits, near_pairs


def found(hashes, threshold):
    pairs = [pair for i, j in near_pairs(hashes, threshold) for pair in zip(i.tolist(), j.tolist(), strict=True)]
    assert len(pairs) == len(set(pairs))
    return set(pairs)


def brute_force(hashes, threshold):
    values = hashes.tolist()
    return {
        (i, j)
        for i in range(len(values))
        for j in range(i + 1, len(values))
        if (values[i] ^ values[j]).bit_count() <= threshold
    }


def test_bits_are_counted():
    values = np.array([0, 1, 0xFF, 2**64 - 1, 0x8000000000000001], np.uint64)
    assert count_bits(values).tolist() == [0, 1, 8, 64, 2]


def test_three_hashes_by_hand():
    assert found(np.array([0b0000, 0b0111, 0b0001], np.uint64), 2) == {(0, 2), (1, 2)}


@settings(max_examples=25, deadline=None)
@given(
    seeds=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4),
    flips=st.lists(st.tuples(st.integers(0, 3), st.sets(st.integers(0, 63), max_size=9)), max_size=40),
    threshold=st.integers(0, hash_search.MAX_THRESHOLD),
    bucket=st.sampled_from([2, 8, 256]),
)
def test_equals_brute_force(seeds, flips, threshold, bucket):
    # Clusters around a few hashes; tiny buckets make the search cut again and again.
    near = [seeds[number % len(seeds)] ^ sum(1 << bit for bit in bits) for number, bits in flips]
    hashes = np.unique(np.array([*seeds, *near], np.uint64))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hash_search, "_MAX_BUCKET", bucket)
        assert found(hashes, threshold) == brute_force(hashes, threshold)
