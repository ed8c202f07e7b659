"""Which samples two index files share: compared by hashes, so that millions of lines need no more memory than that.

Both files are read once, in order. 16 bytes a line are kept, 64-bit hashes of its id and of the line, and some 60 are
needed for a moment to match them. Only lines whose ids match and whose bytes differ are read again, and what they say is
compared: the order of keys and spaces change nothing.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import orjson

from admlops.data_release.jsonl_index import JsonlIndex
from admlops.errors import RecordError

Change = Literal["added", "removed", "changed"]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SampleDiff:
    """Samples that differ between two index files. Made by ``compare_samples``.

    Attributes:
        before: The older file.
        after: The newer file.
        positions: Of the samples of each change, sorted; those removed in the older file, all others in the newer.
    """

    before: JsonlIndex
    after: JsonlIndex
    positions: dict[Change, Ints]

    def count(self, change: Change) -> int:
        """Count the samples of a change.

        Args:
            change: Which.

        Returns:
            How many.
        """
        return len(self.positions[change])

    def sample_ids(self, change: Change) -> Iterator[str]:
        """Read the ids of a change one by one.

        Args:
            change: Which.

        Yields:
            ``sample_id`` in the order of the file.
        """
        index = self.before if change == "removed" else self.after
        for position in self.positions[change]:
            yield str(index[int(position)]["sample_id"])


def compare_samples(before: Path, after: Path) -> SampleDiff:
    """Compare two index files sample by sample.

    Args:
        before: The older file.
        after: The newer file.

    Returns:
        What was added, removed and changed.

    Raises:
        RecordError: A file is missing, holds an invalid line, or changes meanwhile.
        MachineError: E404, the cache cannot be written.
    """
    old, new = JsonlIndex(before), JsonlIndex(after)
    old_ids, old_lines = _fingerprints(old)
    new_ids, new_lines = _fingerprints(new)
    old_alone, new_alone = _unambiguous(old_ids, new_ids)
    ids, a, b = np.intersect1d(old_ids[old_alone], new_ids[new_alone], assume_unique=True, return_indices=True)
    a, b = old_alone[a], new_alone[b]
    pairs = [*_pairs_by_name(old, new, old_alone, new_alone)]
    old_kept, new_kept = np.zeros(len(old), bool), np.zeros(len(new), bool)
    old_kept[a] = new_kept[b] = True
    differing = old_lines[a] != new_lines[b]
    changed = []
    for x, y in [*zip(a[differing].tolist(), b[differing].tolist(), strict=True), *pairs]:
        one, other = old[x], new[y]
        same_sample = one["sample_id"] == other["sample_id"]
        old_kept[x] = new_kept[y] = same_sample
        if same_sample and _canonical(one) != _canonical(other):
            changed.append(y)
    positions: dict[Change, Ints] = {
        "added": np.flatnonzero(~new_kept),
        "removed": np.flatnonzero(~old_kept),
        "changed": np.array(sorted(changed), dtype=np.int64),
    }
    return SampleDiff(old, new, positions)


def _fingerprints(index: JsonlIndex) -> tuple[Ints, Ints]:
    ids, lines = array("q"), array("q")
    with index.path.open("rb") as file:
        for line in file:
            if text := line.strip(b" \t\r\n"):
                try:
                    ids.append(hash_text(orjson.loads(text)["sample_id"]))
                except (orjson.JSONDecodeError, KeyError, TypeError) as error:
                    raise _changed(index) from error
                lines.append(hash(text))
    if len(ids) != len(index):
        raise _changed(index)
    return np.asarray(ids, dtype=np.int64), np.asarray(lines, dtype=np.int64)


def hash_text(text: str) -> int:
    """Hash a sample's id, the same within this process.

    Args:
        text: The id.

    Returns:
        64 bits.
    """
    return hash(text)


def _unambiguous(old_ids: Ints, new_ids: Ints) -> tuple[Ints, Ints]:
    """Positions whose hash no other sample of either file has twice; the others, next to none, are paired by name."""
    repeated = []
    for ids in (old_ids, new_ids):
        ordered = np.sort(ids)
        repeated.append(ordered[1:][ordered[1:] == ordered[:-1]])
    ambiguous = np.concatenate(repeated)
    return np.flatnonzero(~np.isin(old_ids, ambiguous)), np.flatnonzero(~np.isin(new_ids, ambiguous))


def _pairs_by_name(old: JsonlIndex, new: JsonlIndex, old_alone: Ints, new_alone: Ints) -> Iterator[tuple[int, int]]:
    positions: dict[str, list[int]] = defaultdict(list)
    for index, alone in ((old, old_alone), (new, new_alone)):
        for position in np.setdiff1d(np.arange(len(index) if len(alone) < len(index) else 0), alone).tolist():
            positions[index[position]["sample_id"]].append(position)
    # Ids are unique in a file, so two positions are one in each.
    yield from ((found[0], found[1]) for found in positions.values() if len(found) == 2)


def _canonical(record: dict[str, Any]) -> bytes:
    return orjson.dumps(record, option=orjson.OPT_SORT_KEYS)


def _changed(index: JsonlIndex) -> RecordError:
    return RecordError("an index file changes while it is read", where=index.path, remedy="wait for its writer", code="E406")
