"""Quantiles of sizes in constant memory: histograms whose bins grow by 2.2 %."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

BINS_PER_OCTAVE = 32
_FIRST_OCTAVE, _LAST_OCTAVE = -6, 15
NUM_BINS = (_LAST_OCTAVE - _FIRST_OCTAVE) * BINS_PER_OCTAVE

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def bin_edges() -> Floats:
    """Where the bins begin and end.

    Returns:
        (NUM_BINS + 1,) from 1/64 to 32768, geometric.
    """
    edges: Floats = np.exp2(np.arange(NUM_BINS + 1) / BINS_PER_OCTAVE + _FIRST_OCTAVE)
    return edges


def bins_of(values: Floats) -> Counts:
    """Find the bins of values.

    Args:
        values: Positive, any shape; what lies outside of the edges counts to the outermost bins.

    Returns:
        Of the same shape, 0 to NUM_BINS - 1.
    """
    bins = np.floor((np.log2(np.maximum(values, 1e-9)) - _FIRST_OCTAVE) * BINS_PER_OCTAVE)
    clipped: Counts = np.clip(bins, 0, NUM_BINS - 1).astype(np.int64)
    return clipped


def quantiles(counts: Counts, shares: Sequence[float]) -> list[float | None]:
    """Read quantiles from a histogram.

    Args:
        counts: (NUM_BINS,).
        shares: From 0 to 1.

    Returns:
        The centre of the bin that holds each quantile, at most 1.1 % off; None where nothing was counted.
    """
    total = int(counts.sum())
    if not total:
        return [None] * len(shares)
    ranks = [min(max(int(np.ceil(share * total)), 1), total) for share in shares]
    bins = np.searchsorted(np.cumsum(counts), ranks)
    return [float(value) for value in np.exp2((bins + 0.5) / BINS_PER_OCTAVE + _FIRST_OCTAVE)]
