"""Shuffles without memory: position -> index is computed, so that any position of any epoch is reached at once.

A Feistel network over ``Z_a x Z_b`` with ``a * b >= size`` is a bijection whatever its round function is; the at most ``a - 1``
indices beyond ``size`` are walked out of (applied again until they fall inside), which keeps it one. Black and Rogaway,
"Ciphers with Arbitrary Finite Domains", 2002. Everything is vectorised, with one key per element.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import numpy.typing as npt

U64Array = npt.NDArray[np.uint64]

_NUM_ROUNDS = 8
_GOLDEN = 0x9E3779B97F4A7C15
_ROUND_KEYS = [np.uint64((_GOLDEN * (r + 1)) % 2**64) for r in range(_NUM_ROUNDS)]
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def epoch_keys(seed: int, stream: str, epochs: U64Array) -> U64Array:
    """Derive the key of every epoch; (seed 1, epoch 0) and (seed 0, epoch 1) are unrelated.

    Args:
        seed: Of the run.
        stream: Name of an independent stream under the same seed.
        epochs: (N,) uint64.

    Returns:
        (N,) uint64 keys.
    """
    digest = hashlib.blake2b(f"{seed}/{stream}".encode(), digest_size=8).digest()
    return _mix(_mix(epochs) ^ np.uint64(int.from_bytes(digest, "little")))


def permute(positions: U64Array, size: int, keys: U64Array) -> U64Array:
    """Map positions to indices; for one key a bijection of ``range(size)``.

    Args:
        positions: (N,) uint64, each below ``size``.
        size: Length of the permuted range, at least 1.
        keys: (N,) uint64, each element's own.

    Returns:
        (N,) uint64 indices below ``size``.
    """
    radix_high = math.isqrt(size - 1) + 1
    radix_low = -(-size // radix_high)
    out = _feistel(positions, radix_high, radix_low, keys)
    while len(outside := np.flatnonzero(out >= size)):
        out[outside] = _feistel(out[outside], radix_high, radix_low, keys[outside])
    return out


def permute_in_windows(positions: U64Array, size: int, window: int, keys: U64Array) -> U64Array:
    """Shuffle the order of windows of neighbours, then inside each, so that reads stay local.

    Args:
        positions: (N,) uint64, each below ``size``.
        size: Length of the permuted range, at least 1.
        window: Indices a window. The last, shorter window is put at an arbitrary place in the order.
        keys: (N,) uint64.

    Returns:
        (N,) uint64 indices below ``size``; for one key a bijection.
    """
    num_full, tail = divmod(size, window)
    tail_slot = keys % np.uint64(num_full + 1)
    tail_start = tail_slot * np.uint64(window)
    in_tail = (positions >= tail_start) & (positions < tail_start + np.uint64(tail))
    shifted = np.where(positions >= tail_start, positions - np.uint64(tail), positions)
    slots, offsets = np.divmod(shifted, np.uint64(window))
    windows = np.full_like(positions, num_full)
    full = ~in_tail
    if full.any():
        windows[full] = permute(slots[full], num_full, keys[full])
    inner_keys = _mix(keys + _mix(windows))
    inner = np.empty_like(positions)
    if full.any():
        inner[full] = permute(offsets[full], window, inner_keys[full])
    if in_tail.any():
        inner[in_tail] = permute((positions - tail_start)[in_tail], tail, inner_keys[in_tail])
    out: U64Array = windows * np.uint64(window) + inner
    return out


def _feistel(positions: U64Array, radix_high: int, radix_low: int, keys: U64Array) -> U64Array:
    high, low = np.divmod(positions, np.uint64(radix_low))
    for r, round_key in enumerate(_ROUND_KEYS):
        if r % 2 == 0:
            high = (high + _mix(low + keys + round_key) % np.uint64(radix_high)) % np.uint64(radix_high)
        else:
            low = (low + _mix(high + keys + round_key) % np.uint64(radix_low)) % np.uint64(radix_low)
    out: U64Array = high * np.uint64(radix_low) + low
    return out


def _mix(values: U64Array) -> U64Array:
    # Finaliser of splitmix64; arrays wrap around silently, which is meant.
    values = (values ^ (values >> np.uint64(30))) * _MIX_1
    values = (values ^ (values >> np.uint64(27))) * _MIX_2
    mixed: U64Array = values ^ (values >> np.uint64(31))
    return mixed
