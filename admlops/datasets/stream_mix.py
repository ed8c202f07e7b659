"""Batches of a known composition: how often each part of a release is drawn, and in which order the parts take turns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from admlops.datasets.keyed_permutation import U64Array, epoch_keys
from admlops.datasets.release_dataset import Segment
from admlops.errors import ConfigError, nearest

Shuffle: TypeAlias = Callable[[U64Array, U64Array, int, str], U64Array]


@dataclass(frozen=True)
class Stream:
    """A part of the release that is drawn from on its own.

    Attributes:
        name: Of the task signature, or of the entry.
        slots: Draws a round.
        segments: What it draws from.
    """

    name: str
    slots: int
    segments: tuple[Segment, ...]

    def indices_at(self, draws: U64Array, shuffled: Shuffle) -> U64Array:
        """Compute what the stream's own draws are.

        Args:
            draws: (N,) uint64, counted from the start of the run.
            shuffled: Maps epochs, offsets, size and name of a stream to indices below size.

        Returns:
            (N,) uint64 virtual indices into the data set.
        """
        sizes = [segment.stop - segment.start for segment in self.segments]
        epochs, offsets = np.divmod(draws, np.uint64(sum(sizes)))
        chosen = shuffled(epochs, offsets, sum(sizes), self.name).astype(np.int64)
        stops = np.cumsum(sizes)
        shift = np.array([s.start for s in self.segments]) - np.array([0, *stops[:-1]])
        indices: U64Array = (chosen + shift[np.searchsorted(stops, chosen, side="right")]).astype(np.uint64)
        return indices


@dataclass(frozen=True)
class StreamMix:
    """Rounds in which every stream has a fixed number of slots; a position's sample is computed from the position alone.

    By task signature, a round is a global batch, and a source that labels several tasks is never counted twice. By source,
    rounds have nothing to do with batches.

    Attributes:
        streams: In the order of the config.
        ratio: Weight by signature; ``None`` where the streams are the sources.
    """

    streams: tuple[Stream, ...]
    ratio: dict[str, float] | None = None

    @classmethod
    def from_config(cls, mix: object, segments: Sequence[Segment]) -> StreamMix:
        """Check a config's ``mix`` against what the release holds.

        Args:
            mix: See ``ReleaseSampler``, other than ``"natural"``.
            segments: Of the data set.

        Returns:
            The mix.

        Raises:
            ConfigError: See ``ReleaseSampler``.
        """
        if mix == "source_balanced":
            mix = {"sources": {segment.name: 1 for segment in segments}}
        if isinstance(mix, Mapping):
            if set(mix) == {"sources"} and mix["sources"]:
                return cls._by_source(mix["sources"], segments)
            if set(mix) == {"ratio", "global_batch_size"} and mix["ratio"]:
                return cls._by_signature(mix["ratio"], int(mix["global_batch_size"]), segments)
        raise ConfigError(
            "unusable mix",
            expected="'natural', 'source_balanced', dict(sources={name: weight}) "
            "or dict(ratio={signature: weight}, global_batch_size=)",
            got=mix,
        )

    @classmethod
    def _by_source(cls, weights: Mapping[str, int], segments: Sequence[Segment]) -> StreamMix:
        _check_names("mix.sources", "name", weights, {segment.name for segment in segments})
        for name, weight in weights.items():
            if not isinstance(weight, int) or weight < 1:
                raise ConfigError(
                    f"weight of {name!r} must be a whole number",
                    where="mix.sources",
                    expected="at least 1; 3 and 2 for one and a half times as often",
                    got=weight,
                )
        divisor = math.gcd(*weights.values())
        return cls(
            tuple(
                Stream(name, weight // divisor, tuple(s for s in segments if s.name == name))
                for name, weight in weights.items()
            )
        )

    @classmethod
    def _by_signature(cls, weights: Mapping[str, float], batch_size: int, segments: Sequence[Segment]) -> StreamMix:
        ratio = {str(signature): float(weight) for signature, weight in weights.items()}
        _check_names("mix.ratio", "task signature", ratio, {segment.signature for segment in segments})
        for signature, weight in ratio.items():
            if not weight > 0:
                raise ConfigError(f"weight of {signature!r} must be positive", where="mix.ratio", got=weight)
        slots = largest_remainder(list(ratio.values()), batch_size)
        if 0 in slots:
            starved = list(ratio)[slots.index(0)]
            raise ConfigError(
                f"{starved!r} gets no slot in a global batch of {batch_size}",
                where="mix.ratio",
                expected="every signature to appear in every batch",
                got=dict(zip(ratio, slots, strict=True)),
                remedy="raise its weight or the batch size, or leave it out",
                code="E303",
            )
        streams = (
            Stream(signature, number, tuple(s for s in segments if s.signature == signature))
            for signature, number in zip(ratio, slots, strict=True)
        )
        return cls(tuple(streams), ratio)

    @property
    def round_length(self) -> int:
        """Positions of a round."""
        return sum(stream.slots for stream in self.streams)

    def to_config(self) -> dict[str, Any]:
        """Give back what ``from_config`` takes.

        Returns:
            Plain values; equal for mixes that give equal streams of samples.
        """
        if self.ratio is None:
            return {"sources": {stream.name: stream.slots for stream in self.streams}}
        return {"ratio": dict(self.ratio), "global_batch_size": self.round_length}

    def indices_at(self, positions: U64Array, shuffled: Shuffle, seed: int | None) -> U64Array:
        """Compute which samples stand at places of the global stream.

        Args:
            positions: (N,) uint64.
            shuffled: Maps epochs, offsets, size and name of a stream to indices below size.
            seed: Of the order in which sources take turns; ``None`` for the same order in every round.

        Returns:
            (N,) uint64 virtual indices into the data set.
        """
        rounds, slots = np.divmod(positions, np.uint64(self.round_length))
        if self.ratio is None:
            slots = self._interleaved(rounds, slots, seed)
        # By signature, one after the other: since ranks take every W-th place, each rank gets its share of all.
        out = np.empty_like(positions)
        first = 0
        for stream in self.streams:
            mine = (slots >= first) & (slots < first + stream.slots)
            draws = rounds[mine] * np.uint64(stream.slots) + (slots[mine] - np.uint64(first))
            out[mine] = stream.indices_at(draws, shuffled)
            first += stream.slots
        return out

    def _interleaved(self, rounds: U64Array, places: U64Array, seed: int | None) -> U64Array:
        """Find the slots at places of rounds. Slot j of a stream of n comes at a time in [j / n, (j + 1) / n) of the round.

        Jittered sampling: no stream clusters, and none has a fixed place (Cook, "Stochastic Sampling in Computer Graphics",
        1986).
        """
        distinct, which = np.unique(rounds, return_inverse=True)
        times = []
        for stream in self.streams:
            for j in range(stream.slots):
                jitter = 0.5 if seed is None else epoch_keys(seed, f"turn {j} of {stream.name}", distinct) / 2.0**64
                times.append((j + jitter) / stream.slots * np.ones(len(distinct)))
        order = np.argsort(np.stack(times, axis=1), axis=1, kind="stable")
        # A stream's slots come in their order, so that its own stream is a permutation wherever a run stops.
        slots: U64Array = order[which, places.astype(np.int64)].astype(np.uint64)
        return slots


def _check_names(where: str, what: str, names: Mapping[str, Any], known: set[str]) -> None:
    for name in names:
        if name not in known:
            raise ConfigError(
                f"no entry of the release has the {what} {name!r}",
                where=where,
                expected=f"one of {', '.join(sorted(known))}",
                got=repr(name),
                remedy=nearest(name, known),
            )


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
