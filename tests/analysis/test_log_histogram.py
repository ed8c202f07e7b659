"""Quantiles from bins."""

import numpy as np
import pytest

from admlops.analysis.log_histogram import NUM_BINS, bin_edges, bins_of, quantiles


def test_quantiles_are_at_most_a_bin_off():
    counts = np.bincount(bins_of(np.array([10.0, 20.0, 30.0, 40.0])), minlength=NUM_BINS)
    assert quantiles(counts, [0.25, 0.5, 0.75, 1.0]) == pytest.approx([10, 20, 30, 40], rel=0.011)


def test_nothing_counted_has_no_quantile():
    assert quantiles(np.zeros(NUM_BINS, np.int64), [0.5]) == [None]


def test_bins_begin_at_their_edges_and_the_outermost_take_the_rest():
    assert bins_of(bin_edges()[[0, 7, NUM_BINS - 1]] * 1.001).tolist() == [0, 7, NUM_BINS - 1]
    assert bins_of(np.array([1e-12, 1e12])).tolist() == [0, NUM_BINS - 1]
