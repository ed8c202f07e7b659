"""All pairs of 64-bit hashes within a Hamming distance, exactly, without comparing each with each.

Pigeonhole: cut the bits into t + 1 bands; hashes that differ in at most t bits agree in at least one band. Only hashes of an
equal band are compared. Where so many share one band's value that comparing them all would be slow (road pictures are alike),
the same cut is made again over the remaining bits. A pair counts in the first band that it shares, so none appears twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

HASH_BITS = 64
MAX_THRESHOLD = 15
"""Above it the bands hold fewer than 4 bits and separate nothing."""

_MAX_BUCKET = 256
_MAX_CUTS = 3
_DENSE = 0.1

U64 = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]

_ONES, _PAIRS, _NIBBLES = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333), np.uint64(0x0F0F0F0F0F0F0F0F)
_SUM_BYTES, _TOP = np.uint64(0x0101010101010101), np.uint64(56)


def count_bits(values: U64) -> npt.NDArray[np.uint64]:
    """Count the bits that are set.

    Args:
        values: Any shape.

    Returns:
        Of the same shape, 0 to 64.
    """
    values = values - ((values >> np.uint64(1)) & _ONES)
    values = (values & _PAIRS) + ((values >> np.uint64(2)) & _PAIRS)
    values = (values + (values >> np.uint64(4))) & _NIBBLES
    counts: U64 = (values * _SUM_BYTES) >> _TOP
    return counts


def near_pairs(hashes: U64, threshold: int) -> Iterator[tuple[Indices, Indices]]:
    """Find all pairs of hashes that differ in at most ``threshold`` bits.

    Args:
        hashes: (N,) distinct hashes.
        threshold: 0 to 15 bits.

    Yields:
        Blocks (i, j) of equal length: positions in ``hashes`` with i < j, each pair in one block only.
    """
    yield from _search(hashes, np.arange(len(hashes)), range(HASH_BITS), threshold, _MAX_CUTS)


def _search(
    hashes: U64, members: Indices, bits: Sequence[int], threshold: int, num_cuts: int
) -> Iterator[tuple[Indices, Indices]]:
    edges = np.linspace(0, len(bits), threshold + 2).round().astype(int).tolist()
    bands = [bits[begin:end] for begin, end in zip(edges, edges[1:], strict=False)]
    masks = [np.uint64(sum(1 << bit for bit in band)) for band in bands]
    for number, mask in enumerate(masks):
        keys = hashes[members] & mask
        order = np.argsort(keys, kind="stable")
        ordered, keys = members[order], keys[order]
        starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if len(keys) else np.zeros(0, np.int64)
        sizes = np.diff(np.r_[starts, len(keys)])
        band_bits = set(bands[number])
        rest = [bit for bit in bits if bit not in band_bits]
        # A cut of a bucket pays only while each band keeps a bit to cut by.
        large = (sizes > _MAX_BUCKET) & (len(rest) > threshold) & (num_cuts > 1)
        for bucket in np.flatnonzero(large).tolist():
            begin, size = int(starts[bucket]), int(sizes[bucket])
            large[bucket] = not _is_dense(hashes[ordered[begin : begin + size]], threshold)
        blocks: list[Iterator[tuple[Indices, Indices]]] = [
            _search(hashes, ordered[start : start + size], rest, threshold, num_cuts - 1)
            for start, size in zip(starts[large].tolist(), sizes[large].tolist(), strict=True)
        ]
        blocks.append(_compare(hashes, ordered, sizes, large, threshold))
        for block in blocks:
            for first, second in block:
                difference = hashes[first] ^ hashes[second]
                earlier = np.zeros(len(first), dtype=bool)
                for other in masks[:number]:
                    earlier |= (difference & other) == 0
                if not earlier.all():
                    yield first[~earlier], second[~earlier]


def _is_dense(bucket: U64, threshold: int) -> bool:
    # Where many are near each other (a car that stands still), every band holds them all, and each cut would do all work anew.
    half = len(bucket) // 2
    return bool((count_bits(bucket[:half] ^ bucket[half : 2 * half]) <= threshold).mean() > _DENSE)


def _compare(
    hashes: U64, ordered: Indices, sizes: Indices, large: npt.NDArray[np.bool_], threshold: int
) -> Iterator[tuple[Indices, Indices]]:
    # Element i meets i + 1, i + 2, ... of its bucket: one pass over all buckets for each distance.
    ends = np.repeat(np.cumsum(sizes), sizes)
    active = np.flatnonzero(~np.repeat(large, sizes))
    distance = 0
    while True:
        distance += 1
        active = active[active + distance < ends[active]]
        if not len(active):
            return
        first, second = ordered[active], ordered[active + distance]
        near = count_bits(hashes[first] ^ hashes[second]) <= threshold
        if near.any():
            first, second = first[near], second[near]
            yield np.minimum(first, second), np.maximum(first, second)
