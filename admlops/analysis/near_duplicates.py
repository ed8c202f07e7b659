"""Pictures that two splits share: equal files, near duplicates, frames of one scene.

A near duplicate has a 64-bit difference hash within some bits, and, since hashes of fog and night are nearly arbitrary, also
the same detail: the thumbnails, less their local mean, correlate. Local detail and not the picture as such, because roads
resemble each other at large (bright above, dark below). Among pairs of near hashes, frames of one standing camera correlated
from 0.79 on; over 100,000 pairs of different rendered and real scenes reached 0.65, few of them with near hashes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from admlops.analysis.hash_search import count_bits, near_pairs
from admlops.analysis.thumbnail import difference_hashes

MIN_CORRELATION = 0.75
MIN_DETAIL = 1.0
"""Grey values: pictures whose local deviation is below (a black frame, dense fog) match only as equal files."""

EXAMPLES = 20
_COMPARED_PER_HASH = 16
_GROUPS_AT_ONCE = 1 << 12
_THUMBS_AT_ONCE = 1 << 13
_BLUR_RADIUS = 2

U64 = npt.NDArray[np.uint64]
U8 = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Pictures:
    """What is known of N pictures of all splits.

    Attributes:
        splits: (N,) number of the split.
        scenes: (N,) hash of the scene, 0 where there is none.
        contents: (N,) hash of the file; (0,) where no pictures were read.
        thumbs: (N, 16, 18) uint8; (0, 16, 18) where no pictures were read.
    """

    splits: npt.NDArray[np.int16]
    scenes: U64
    contents: U64
    thumbs: U8


@dataclass(frozen=True)
class Likeness:
    """Two pictures that are alike.

    Attributes:
        first: Number of the picture of the earlier split.
        second: Of the other picture.
        bits: Hamming distance of the hashes.
        correlation: Of their details; 1 for equal files.
        is_equal_file: Their files are the same.
    """

    first: int
    second: int
    bits: int
    correlation: float
    is_equal_file: bool = False


@dataclass(frozen=True)
class Overlap:
    """What two splits share, or, where they are one, what repeats within it.

    Attributes:
        splits: Their numbers, the smaller first.
        equal_files: Pictures of the second split whose file is in the first too (within a split: that repeat an earlier file).
        near_duplicates: Pictures of the second split like one of the first, equal files left out (within: with one like them).
        rejected: Pairs whose hashes are near, but whose detail differs.
        scenes: Scenes in both splits.
        scene_records: Records of the second split in these scenes.
        examples: Some of the pairs, the most alike first.
        shared_scenes: Some of the scenes: a record of each split.
    """

    splits: tuple[int, int]
    equal_files: int
    near_duplicates: int
    rejected: int
    scenes: int
    scene_records: int
    examples: tuple[Likeness, ...]
    shared_scenes: tuple[tuple[int, int], ...]


def find_overlaps(pictures: Pictures, num_splits: int, threshold: int) -> list[Overlap]:
    """Compare all splits with each other and with themselves.

    Args:
        pictures: Of all splits.
        num_splits: Number of splits.
        threshold: Bits in which hashes of near duplicates may differ.

    Returns:
        One overlap for each two splits, then one within each.
    """
    findings = _near_duplicates(pictures, threshold)
    between = [(a, b) for a in range(num_splits) for b in range(a + 1, num_splits)]
    overlaps = []
    for a, b in [*between, *((a, a) for a in range(num_splits))]:
        shared, records = _shared_scenes(pictures, a, b)
        pairs = [*_equal_examples(pictures, a, b), *findings.examples[a, b]]
        overlaps.append(
            Overlap(
                splits=(a, b),
                equal_files=_count_equal(pictures, a, b),
                near_duplicates=findings.num_found(a, b),
                rejected=findings.rejected[a, b],
                scenes=len(shared),
                scene_records=records,
                examples=tuple(pairs[:EXAMPLES]),
                shared_scenes=tuple(shared[:EXAMPLES]),
            )
        )
    return overlaps


def correlate(first: U8, second: U8) -> npt.NDArray[np.float32]:
    """Compare the detail of pictures.

    Args:
        first: (N, 16, 18).
        second: (N, 16, 18).

    Returns:
        (N,) from -1 to 1; 0 where one of the two has no detail.
    """
    detail_first, detail_second = _detail(first), _detail(second)
    norms = np.linalg.norm(detail_first, axis=1) * np.linalg.norm(detail_second, axis=1)
    least = MIN_DETAIL * np.sqrt(detail_first.shape[1])
    plain = (np.linalg.norm(detail_first, axis=1) < least) | (np.linalg.norm(detail_second, axis=1) < least)
    products = (detail_first * detail_second).sum(axis=1)
    correlation: npt.NDArray[np.float32] = np.where(plain, 0, products / np.maximum(norms, 1e-9))
    return correlation


def _detail(thumbs: U8) -> Floats:
    # Less the mean of 5x5 cells, by sums of shifted copies: thousands of thumbnails at once.
    side = 2 * _BLUR_RADIUS + 1
    padded = np.pad(thumbs.astype(np.float32), ((0, 0), (_BLUR_RADIUS,) * 2, (_BLUR_RADIUS,) * 2), mode="symmetric")
    h, w = thumbs.shape[1:]
    rows = sum((padded[:, shift : shift + h] for shift in range(1, side)), padded[:, :h])
    blurred = sum((rows[:, :, shift : shift + w] for shift in range(1, side)), rows[:, :, :w])
    flat = (thumbs - blurred / side**2).reshape(len(thumbs), -1)
    detail: Floats = (flat - flat.mean(axis=1, keepdims=True)).astype(np.float32)
    return detail


def _count_equal(pictures: Pictures, a: int, b: int) -> int:
    if not len(pictures.contents):
        return 0
    second = pictures.contents[pictures.splits == b]
    if a == b:
        return len(second) - len(np.unique(second))
    return int(np.isin(second, pictures.contents[pictures.splits == a]).sum())


def _equal_examples(pictures: Pictures, a: int, b: int) -> list[Likeness]:
    if not len(pictures.contents):
        return []
    first, second = np.flatnonzero(pictures.splits == a), np.flatnonzero(pictures.splits == b)
    if a == b:
        order = first[np.argsort(pictures.contents[first], kind="stable")]
        same = np.flatnonzero(pictures.contents[order[1:]] == pictures.contents[order[:-1]])
        pairs = zip(order[same].tolist(), order[same + 1].tolist(), strict=True)
    else:
        _, left, right = np.intersect1d(pictures.contents[first], pictures.contents[second], return_indices=True)
        pairs = zip(first[left].tolist(), second[right].tolist(), strict=True)
    return [Likeness(i, j, 0, 1.0, is_equal_file=True) for i, j in sorted(pairs)[:EXAMPLES]]


def _shared_scenes(pictures: Pictures, a: int, b: int) -> tuple[list[tuple[int, int]], int]:
    if a == b:
        return [], 0
    first, second = np.flatnonzero(pictures.splits == a), np.flatnonzero(pictures.splits == b)
    scenes, left, right = np.intersect1d(pictures.scenes[first], pictures.scenes[second], return_indices=True)
    named = scenes != 0
    records = int(np.isin(pictures.scenes[second], scenes[named]).sum())
    return list(zip(first[left[named]].tolist(), second[right[named]].tolist(), strict=True)), records


class _Findings:
    """Near duplicates of each two splits, as they are found."""

    def __init__(self, pictures: Pictures) -> None:
        self.pictures = pictures
        self.examples: dict[tuple[int, int], list[Likeness]] = defaultdict(list)
        self.rejected: dict[tuple[int, int], int] = defaultdict(int)
        self._found: dict[tuple[int, int], set[int]] = defaultdict(set)

    def compare(self, first: Ints, second: Ints, bits: Ints) -> None:
        splits, thumbs = self.pictures.splits, self.pictures.thumbs
        swap = splits[first] > splits[second]
        first, second = np.where(swap, second, first), np.where(swap, first, second)
        correlation = correlate(thumbs[first], thumbs[second])
        keys = splits[first].astype(np.int64) << 16 | splits[second]
        for key in np.unique(keys).tolist():
            pair = (key >> 16, key & 0xFFFF)
            rows = np.flatnonzero(keys == key)
            accepted = rows[correlation[rows] >= MIN_CORRELATION]
            self.rejected[pair] += len(rows) - len(accepted)
            self._found[pair].update(second[accepted].tolist())
            if pair[0] == pair[1]:
                self._found[pair].update(first[accepted].tolist())
            best = accepted[np.argsort(-correlation[accepted], kind="stable")][:EXAMPLES]
            columns = (first[best], second[best], bits[best], correlation[best].round(4))
            self.examples[pair] += [Likeness(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
            self.examples[pair] = sorted(self.examples[pair], key=lambda like: -like.correlation)[:EXAMPLES]

    def num_found(self, a: int, b: int) -> int:
        contents, splits = self.pictures.contents, self.pictures.splits
        found = np.array(sorted(self._found[a, b]), dtype=np.int64)
        if a != b:
            found = found[~np.isin(contents[found], contents[splits == a])] if len(found) else found
        return len(found)


def _near_duplicates(pictures: Pictures, threshold: int) -> _Findings:
    findings = _Findings(pictures)
    if not len(pictures.contents):
        return findings
    # One picture of each file and split, and of those with one hash a few of each split: what repeats endlessly costs little.
    _, members = np.unique(np.stack([pictures.contents, pictures.splits.astype(np.uint64)]), axis=1, return_index=True)
    members = np.sort(members)
    # Records without a picture have a thumbnail of zeros.
    members = np.concatenate([part[pictures.thumbs[part].any(axis=(1, 2))] for part in _parts(members, _THUMBS_AT_ONCE)])
    if not len(members):
        return findings
    hashes = np.concatenate([difference_hashes(pictures.thumbs[part]) for part in _parts(members, _THUMBS_AT_ONCE)])
    order = np.lexsort((pictures.splits[members], hashes))
    members, hashes = members[order], hashes[order]
    kept = _first_of_each(hashes, pictures.splits[members])
    members, hashes = members[kept], hashes[kept]
    distinct, starts, sizes = np.unique(hashes, return_index=True, return_counts=True)
    for i, j in _groups(distinct, sizes, threshold):
        for first, second in _pairs_of_groups(starts, sizes, i, j):
            bits = count_bits(hashes[first] ^ hashes[second]).astype(np.int64)
            findings.compare(members[first], members[second], bits)
    return findings


def _groups(distinct: U64, sizes: Ints, threshold: int) -> Iterator[tuple[Ints, Ints]]:
    several = np.flatnonzero(sizes > 1)
    yield several, several
    yield from near_pairs(distinct, threshold)


def _pairs_of_groups(starts: Ints, sizes: Ints, i: Ints, j: Ints) -> Iterator[tuple[Ints, Ints]]:
    for part in _parts(np.arange(len(i)), _GROUPS_AT_ONCE):
        a, b = i[part], j[part]
        counts = sizes[a] * sizes[b]
        group = np.repeat(np.arange(len(part)), counts)
        within = np.arange(len(group)) - np.repeat(np.cumsum(counts) - counts, counts)
        first = starts[a][group] + within // sizes[b][group]
        second = starts[b][group] + within % sizes[b][group]
        # Within a group each pair would come twice, and each picture with itself.
        once = (a != b)[group] | (first < second)
        first, second = first[once], second[once]
        for rows in _parts(np.arange(len(first)), _THUMBS_AT_ONCE):
            yield first[rows], second[rows]


def _first_of_each(hashes: U64, splits: npt.NDArray[np.int16]) -> npt.NDArray[np.bool_]:
    # Sorted by hash, then split: number the members of each run.
    new = np.r_[True, (hashes[1:] != hashes[:-1]) | (splits[1:] != splits[:-1])]
    run_starts = np.flatnonzero(new)
    rank = np.arange(len(hashes)) - run_starts[np.cumsum(new) - 1]
    few: npt.NDArray[np.bool_] = rank < _COMPARED_PER_HASH
    return few


def _parts(values: Ints, size: int) -> Iterator[Ints]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
