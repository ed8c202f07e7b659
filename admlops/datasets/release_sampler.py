"""The order in which training sees a release: exact, shared by all ranks, resumable at any sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from mmengine.dist import get_dist_info

from admlops.datasets.keyed_permutation import U64Array, epoch_keys, permute, permute_in_windows
from admlops.datasets.release_dataset import ReleaseDataset
from admlops.datasets.sample_key import SampleKey
from admlops.datasets.stream_mix import StreamMix
from admlops.errors import ConfigError, DataReleaseError
from admlops.registry import DATA_SAMPLERS

STATE_VERSION = 1
_CHUNK = 1024


@DATA_SAMPLERS.register_module()
class ReleaseSampler:
    """Infinite stream of ``SampleKey`` over the epochs of a release.

    Global position p -> sample is a pure function of (seed, data, mix), so it does not depend on ranks or workers: rank r of W
    takes positions r, r + W, ... Nothing is stored but a count. Each epoch holds every sample exactly ``duplicate`` times
    (``mix="natural"``); under another mix the same holds for the own stream of every source or signature, so that the counts
    of its samples differ by ``duplicate`` at most.

    ``iter`` may be called any number of times; each iterator starts at ``samples_consumed``, which the train loop sets from
    completed steps (a DataLoader prefetches, so what was drawn says nothing).

    Args:
        dataset: Sampled from.
        seed: Of the order; ``None`` takes the data set's. A Runner passes its own.
        shuffle: ``False`` walks through the release in order.
        shuffle_window: Shuffle windows of that many neighbouring lines, then inside them: reads stay local.
        mix: ``"natural"``: in proportion to size. ``"source_balanced"``: every entry of the release equally often, whatever its
            size; with S entries every S positions hold each once, in an order of their own. ``dict(sources={name: weight})``:
            so many times each, spread evenly over as many positions as the whole weights sum to; entries not named are left
            out. ``dict(ratio={signature: weight}, global_batch_size=)``: exactly the largest-remainder share of every
            signature (``det_person+seg_lane``, sorted task names) in every global batch; signatures not named are left out.

    Raises:
        ConfigError: Unknown mix, source or signature, an unusable weight, or no slot in a batch for a signature (E303).
    """

    def __init__(
        self,
        dataset: ReleaseDataset,
        seed: int | None = None,
        shuffle: bool = True,
        shuffle_window: int | None = None,
        mix: str | Mapping[str, Any] = "natural",
    ) -> None:
        if shuffle_window is not None and shuffle_window < 1:
            raise ConfigError("shuffle_window must hold a sample", expected="None or at least 1", got=shuffle_window)
        rank, world_size = get_dist_info()
        self.rank = int(rank)
        self.world_size = int(world_size)
        self.seed = dataset.seed if seed is None else seed
        self.shuffle = shuffle
        self.shuffle_window = shuffle_window
        self.length = len(dataset)
        self._read_ahead = getattr(dataset, "read_ahead", 0)
        self.samples_consumed = 0
        self._metainfo = dataset.metainfo
        self._mix = None if mix == "natural" else StreamMix.from_config(mix, dataset.segments)

    def __len__(self) -> int:
        return -(-self.length // self.world_size)

    @property
    def epoch(self) -> int:
        """Passes completed: as many samples consumed as the data set is long."""
        return self.samples_consumed // self.length

    @property
    def global_batch_size(self) -> int | None:
        """Samples of one step over all ranks that a ratio mix counts on; ``None`` where any will do."""
        return None if self._mix is None or self._mix.ratio is None else self._mix.round_length

    def set_samples_consumed(self, count: int) -> None:
        """Set where the next iterator starts.

        Args:
            count: Samples consumed by completed steps, over all ranks.
        """
        self.samples_consumed = count

    def __iter__(self) -> Iterator[SampleKey]:
        start = self.samples_consumed + self.rank
        steps = np.arange(_CHUNK, dtype=np.uint64) * np.uint64(self.world_size)
        while True:
            positions = steps + np.uint64(start)
            indices = self.indices_at(positions)
            epochs, offsets = np.divmod(positions, np.uint64(self.length))
            upcoming: list[int] | list[None] = [None] * _CHUNK
            if self._read_ahead:
                upcoming = self.indices_at(positions + np.uint64(self._read_ahead * self.world_size)).tolist()
            draws = zip(indices.tolist(), epochs.tolist(), offsets.tolist(), upcoming, strict=True)
            for index, epoch, offset, ahead in draws:
                yield SampleKey(index, epoch, offset, self.seed, ahead)
            start += _CHUNK * self.world_size

    def indices_at(self, positions: U64Array) -> U64Array:
        """Compute which samples stand at places of the global stream.

        Args:
            positions: (N,) uint64, counted from the start of the run over all epochs and ranks.

        Returns:
            (N,) uint64 virtual indices into the data set.
        """
        if self._mix is not None:
            return self._mix.indices_at(positions, self._shuffled, self.seed if self.shuffle else None)
        epochs, offsets = np.divmod(positions, np.uint64(self.length))
        return self._shuffled(epochs, offsets, self.length, "natural")

    def _shuffled(self, epochs: U64Array, offsets: U64Array, size: int, stream: str) -> U64Array:
        if not self.shuffle:
            return offsets
        keys = epoch_keys(self.seed, stream, epochs)
        if self.shuffle_window is None or self.shuffle_window >= size:
            return permute(offsets, size, keys)
        return permute_in_windows(offsets, size, self.shuffle_window, keys)

    def state_dict(self) -> dict[str, Any]:
        """Describe where the stream stands, for a checkpoint.

        Returns:
            Plain values: version, seed, epoch, samples_consumed, digest, tasks, mix, order, length.
        """
        return {
            "version": STATE_VERSION,
            "seed": self.seed,
            "epoch": self.epoch,
            "samples_consumed": self.samples_consumed,
            "digest": self._metainfo["digest"],
            "tasks": sorted(self._metainfo["tasks"]),
            "mix": "natural" if self._mix is None else self._mix.to_config(),
            "order": {"shuffle": self.shuffle, "shuffle_window": self.shuffle_window},
            "length": self.length,
        }

    def load_state_dict(self, state: Mapping[str, Any], rebase: bool = False) -> None:
        """Continue a stream, at any world size.

        Args:
            state: Of ``state_dict``.
            rebase: Continue at the same count although data, tasks or mix have changed, on what is then a new stream.

        Raises:
            DataReleaseError: E304, the state belongs to other data, tasks, mix or order.
        """
        if state["version"] != STATE_VERSION:
            raise DataReleaseError(
                "sampler state of another version", expected=STATE_VERSION, got=state["version"], code="E304"
            )
        mine = self.state_dict()
        for key in ("digest", "tasks", "mix", "order", "length"):
            if state[key] != mine[key] and not rebase:
                raise DataReleaseError(
                    f"the checkpoint was trained on other data: {key} differs",
                    where="sampler state",
                    expected=state[key],
                    got=mine[key],
                    remedy="resume with the data release and sampler of that run, or start anew from its weights: load_from",
                    code="E304",
                )
        self.seed = state["seed"]
        self.samples_consumed = state["samples_consumed"]
