import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from admlops.datasets.keyed_permutation import epoch_keys, permute, permute_in_windows


def _keys(seed: int, epoch: int, count: int) -> np.ndarray:
    return epoch_keys(seed, "test", np.full(count, epoch, dtype=np.uint64))


def _positions(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.uint64)


@settings(max_examples=150, deadline=None)
@given(size=st.integers(1, 3000), seed=st.integers(0, 2**63), epoch=st.integers(0, 2**40))
def test_permute_is_a_bijection(size: int, seed: int, epoch: int) -> None:
    assert sorted(permute(_positions(size), size, _keys(seed, epoch, size)).tolist()) == list(range(size))


@settings(max_examples=150, deadline=None)
@given(size=st.integers(1, 2000), window=st.integers(1, 2100), seed=st.integers(0, 2**63))
def test_windows_are_a_bijection(size: int, window: int, seed: int) -> None:
    indices = permute_in_windows(_positions(size), size, window, _keys(seed, 0, size))
    assert sorted(indices.tolist()) == list(range(size))


def test_windows_stay_together() -> None:
    # 1003 indices in windows of 100: every run between two changes of window is a whole window, the tail of 3 one of them.
    indices = permute_in_windows(_positions(1003), 1003, 100, _keys(5, 0, 1003)).astype(int)
    windows = indices // 100
    order = windows[np.flatnonzero(np.diff(windows, prepend=-1))]
    assert sorted(order.tolist()) == list(range(11))
    assert order.tolist() != list(range(11))
    assert not np.array_equal(indices[windows == 4], np.arange(400, 500))


def test_seed_and_epoch_do_not_collide() -> None:
    orders = {
        (seed, epoch): permute(_positions(50), 50, _keys(seed, epoch, 50)).tobytes() for seed in range(4) for epoch in range(4)
    }
    assert len(set(orders.values())) == 16


def test_permutations_are_as_even_as_random_ones() -> None:
    # Where index 0 goes in 8 places over 4000 epochs: 500 each, standard deviation 21; 5 sigma.
    epochs = np.arange(4000, dtype=np.uint64)
    places = permute(np.zeros(4000, dtype=np.uint64), 8, epoch_keys(1, "test", epochs))
    assert np.abs(np.bincount(places.astype(int), minlength=8) - 500).max() < 105
    # Neighbours of a long permutation: mean distance of two random places of n is n / 3, its error about n * 0.24 / sqrt(n).
    n = 20000
    order = permute(_positions(n), n, _keys(3, 0, n)).astype(np.int64)
    assert abs(np.abs(np.diff(order)).mean() / n - 1 / 3) < 0.01
