"""What a sampler asks a data set for: which sample, and at which point of the run."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, slots=True)
class SampleKey:
    """One draw of the sampler.

    Attributes:
        index: Virtual index into the data set, duplicates counted.
        epoch: Number of the pass over the data.
        position: Global position in the epoch's stream, over all ranks.
        seed: Of the sampler; ``None`` takes the data set's. Carried along so that a resumed run repeats its random transforms.
        upcoming: Virtual index that this rank draws a while later, to be fetched meanwhile; ``None`` where all data are local.
    """

    index: int
    epoch: int
    position: int
    seed: int | None = None
    upcoming: int | None = field(default=None, compare=False)


def make_rng(seed: int, epoch: int, position: int) -> np.random.Generator:
    """Make the generator from which all random transforms of one draw take their numbers.

    Args:
        seed: Of the run.
        epoch: Number of the pass.
        position: Global position in the epoch.

    Returns:
        A generator; equal arguments give equal streams, whatever process, rank or worker asks.
    """
    # Words of fixed width: SeedSequence would split large integers and let neighbouring arguments run into one another.
    words = np.array([seed % 2**64, epoch, position], dtype=np.uint64).view(np.uint32)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words.tolist())))
