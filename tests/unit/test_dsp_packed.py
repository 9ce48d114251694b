"""The dsp set's smallest streams: what a weight costs, and that the nibbles say what was packed."""

from __future__ import annotations

import numpy as np
import pytest

from offramp.kernels.dsp.packed import channel_nibbles
from offramp.ops.compressed import ESCAPE

POSITIONS = 64 * 1024


def drawn(share: float, block: int, low: int, high: int) -> np.ndarray:
    rng = np.random.default_rng(5)
    kept = np.repeat(rng.random(POSITIONS // block) >= share, block)
    values = rng.integers(low, high, POSITIONS)
    return np.where(values == 0, 1, values) * kept


def unpacked(nibbles: list[int], taps: int, bits: int, k: int) -> np.ndarray:
    """By the words of firmware/kernels/dsp/packed.h."""
    blocks = np.zeros((-(-k // taps), taps), np.int64)
    at, left = 0, iter(nibbles)
    for gap in left:
        at += gap
        if gap == ESCAPE:
            continue
        for tap in range(taps):
            value = next(left) if bits == 4 else next(left) | next(left) << 4
            blocks[at, tap] = value - (1 << bits if value >> (bits - 1) else 0)
        at += 1
    return blocks.reshape(-1)[:k]


@pytest.mark.parametrize("taps", [1, 4])
@pytest.mark.parametrize(("bits", "low", "high"), [(4, -8, 8), (8, -128, 128)])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 0.99, 1.0])
@pytest.mark.parametrize("k", [1, 2, 5, 63, 500])
def test_nibbles_say_what_was_packed(taps: int, bits: int, low: int, high: int, share: float, k: int) -> None:
    w = drawn(share, taps, low, high)[:k]
    assert (unpacked(channel_nibbles(w, taps, bits), taps, bits, k) == w).all()


@pytest.mark.parametrize(
    ("share", "block", "low", "high", "most"),
    [(0.9, 1, -8, 8, 0.95), (0.9, 4, -8, 8, 0.55), (0.9, 1, -128, 128, 1.35), (0.8, 4, -8, 8, 1.05)],
)
def test_bits_of_a_dense_position(share: float, block: int, low: int, high: int, most: float) -> None:
    w = drawn(share, block, low, high)
    bits = 4 if high == 8 else 8
    assert 4 * len(channel_nibbles(w, block, bits)) < most * POSITIONS
