"""Batches of a fixed composition: how many slots of a global batch each task signature gets, and what fills them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from admlops.datasets.keyed_permutation import U64Array
from admlops.datasets.release_dataset import Segment
from admlops.errors import ConfigError, nearest


@dataclass(frozen=True)
class SignatureMix:
    """Ratio mixing over disjoint task signatures, so that a source that labels several tasks is never counted twice.

    Attributes:
        ratio: Weight by signature.
        slots: Slots of a global batch, by signature in the order of ``ratio``.
        segments: Segments of every signature, same order.
    """

    ratio: dict[str, float]
    slots: tuple[int, ...]
    segments: tuple[tuple[Segment, ...], ...]

    @classmethod
    def from_config(cls, mix: object, segments: Sequence[Segment]) -> SignatureMix:
        """Check a config's ``mix`` against what the release holds.

        Args:
            mix: ``dict(ratio={signature: weight}, global_batch_size=)``.
            segments: Of the data set.

        Returns:
            The mix.

        Raises:
            ConfigError: See ``ReleaseSampler``.
        """
        if not isinstance(mix, Mapping) or set(mix) != {"ratio", "global_batch_size"} or not mix["ratio"]:
            expected = "'natural' or dict(ratio={signature: weight}, global_batch_size=)"
            raise ConfigError("unusable mix", expected=expected, got=mix)
        ratio = {str(signature): float(weight) for signature, weight in mix["ratio"].items()}
        known = {segment.signature for segment in segments}
        for signature, weight in ratio.items():
            if signature not in known:
                raise ConfigError(
                    f"no entry of the release has the task signature {signature!r}",
                    where="mix.ratio",
                    expected=f"one of {', '.join(sorted(known))}",
                    got=repr(signature),
                    remedy=nearest(signature, known),
                )
            if not weight > 0:
                raise ConfigError(f"weight of {signature!r} must be positive", where="mix.ratio", got=weight)
        slots = largest_remainder(list(ratio.values()), int(mix["global_batch_size"]))
        if 0 in slots:
            starved = list(ratio)[slots.index(0)]
            raise ConfigError(
                f"{starved!r} gets no slot in a global batch of {mix['global_batch_size']}",
                where="mix.ratio",
                expected="every signature to appear in every batch",
                got=dict(zip(ratio, slots, strict=True)),
                remedy="raise its weight or the batch size, or leave it out",
                code="E303",
            )
        groups = tuple(tuple(s for s in segments if s.signature == signature) for signature in ratio)
        return cls(ratio, tuple(slots), groups)

    def to_config(self) -> dict[str, Any]:
        """Give back what ``from_config`` takes.

        Returns:
            Plain ``ratio`` and ``global_batch_size``.
        """
        return {"ratio": dict(self.ratio), "global_batch_size": sum(self.slots)}

    def indices_at(self, positions: U64Array, shuffled: Callable[[U64Array, U64Array, int, str], U64Array]) -> U64Array:
        """Compute which samples stand at places of the global stream.

        Args:
            positions: (N,) uint64.
            shuffled: Maps epochs, offsets, size and name of a signature's own stream to indices below size.

        Returns:
            (N,) uint64 virtual indices into the data set.
        """
        batches, places = np.divmod(positions, np.uint64(sum(self.slots)))
        out = np.empty_like(positions)
        first = 0
        # One signature after the other: since ranks take every W-th place, each rank gets its share of all.
        for signature, slots, segments in zip(self.ratio, self.slots, self.segments, strict=True):
            mine = (places >= first) & (places < first + slots)
            draws = batches[mine] * np.uint64(slots) + (places[mine] - np.uint64(first))
            sizes = [segment.stop - segment.start for segment in segments]
            epochs, offsets = np.divmod(draws, np.uint64(sum(sizes)))
            chosen = shuffled(epochs, offsets, sum(sizes), signature)
            stops = np.cumsum(sizes)
            number = np.searchsorted(stops, chosen.astype(np.int64), side="right")
            shift = np.array([s.start for s in segments]) - np.array([0, *stops[:-1]])
            out[mine] = (chosen.astype(np.int64) + shift[number]).astype(np.uint64)
            first += slots
        return out


def largest_remainder(weights: Sequence[float], num_slots: int) -> list[int]:
    """Share slots out in proportion to weights (Hamilton's method).

    Args:
        weights: Positive.
        num_slots: To share out.

    Returns:
        Slots by weight; their sum is ``num_slots``. Ties go to the earlier.
    """
    quotas = [num_slots * weight / sum(weights) for weight in weights]
    slots = [int(quota) for quota in quotas]
    by_remainder = sorted(range(len(weights)), key=lambda i: slots[i] - quotas[i])
    for i in by_remainder[: num_slots - sum(slots)]:
        slots[i] += 1
    return slots
