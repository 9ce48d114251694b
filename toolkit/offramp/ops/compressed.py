"""Lossless encodings of int8 weights: nibbles, nibbles with a multiplier a run, streams without zeros.

Weights are [out_c, taps], int8. What a kernel set stores besides, and in which order, is its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from offramp.ops.op import Array

RUN = 32  # taps of a channel that share a multiplier
MOST_MULTIPLIER = 15
BLOCK = 256  # taps that a position of one byte tells apart
ESCAPE = 15  # a gap nibble: so many zeros, and the gap goes on


def fits_nibbles(weights: Array) -> bool:
    return bool(weights.size) and int(weights.min()) >= -8 and int(weights.max()) <= 7


def zero_fraction(weights: Array) -> float:
    return 1 - int(np.count_nonzero(weights)) / max(1, weights.size)


def blocks_of(weights: Array, size: int = 4) -> Array:
    """Which 1 x `size` blocks of taps hold more than zeros: bool [out_c, blocks]."""
    padded = padded_taps(weights, size)
    return np.asarray(padded.reshape(len(weights), -1, size).any(axis=2))


def padded_taps(weights: Array, multiple: int) -> Array:
    """With zeros behind the taps of each channel."""
    return np.pad(weights, ((0, 0), (0, -weights.shape[1] % multiple)))


@dataclass(frozen=True)
class Grouped:
    """Weights as values times the multiplier of their channel's run of RUN taps."""

    values: Array  # int8 [out_c, taps], in [-8, 7]
    multipliers: Array  # uint8 [out_c, runs], in 1..15

    def of_taps(self) -> Array:
        """Each tap's multiplier, int64 [out_c, taps]."""
        return np.repeat(self.multipliers.astype(np.int64), RUN, axis=1)[:, : self.values.shape[1]]

    def weights(self) -> Array:
        return np.asarray(self.values * self.of_taps(), np.int8)


def grouped(weights: Array) -> Grouped | None:
    """The least multiplier of every run that leaves nibbles; None where a run has none."""
    runs = padded_taps(weights.astype(np.int64), RUN).reshape(len(weights), -1, RUN)
    common = np.gcd.reduce(runs, axis=2)
    need = np.maximum(-(-runs.max(axis=2) // 7), -(runs.min(axis=2) // 8))
    multipliers = np.zeros(common.shape, np.int64)
    for m in range(MOST_MULTIPLIER, 0, -1):
        multipliers = np.where((common % m == 0) & (need <= m), m, multipliers)
    if (multipliers == 0).any():
        return None
    values = (runs // multipliers[:, :, None]).reshape(len(weights), -1)[:, : weights.shape[1]]
    return Grouped(values.astype(np.int8), multipliers.astype(np.uint8))


# ---- the fast stream: positions and values in bytes ----


def block_starts(taps: int) -> range | list[int]:
    """Where the blocks of a channel's taps begin: the last ends with them, so that no position lies behind."""
    return [min(start, max(0, taps - BLOCK)) for start in range(0, taps, BLOCK)]


def encode_blocks(weights: Array) -> bytes | None:
    """For each channel and block of taps the number of entries, u8, and these: u8 position in the block, s8 value.

    None where a block has more entries than a byte counts.
    """
    starts, parts = block_starts(weights.shape[1]), []
    for channel in weights.astype(np.int8):
        (at,) = np.nonzero(channel)
        for i, start in enumerate(starts):
            inside = at[(at >= i * BLOCK) & (at < (i + 1) * BLOCK)]
            if len(inside) > 255:
                return None
            entries = np.stack([(inside - start).astype(np.uint8), channel[inside].view(np.uint8)], axis=1)
            parts.append(bytes([len(inside)]) + entries.tobytes())
    return b"".join(parts)


def decode_blocks(data: bytes, out_c: int, taps: int) -> Array:
    weights, at = np.zeros((out_c, taps), np.int8), 0
    for channel in weights:
        for start in block_starts(taps):
            n = data[at]
            entries = np.frombuffer(data, np.uint8, 2 * n, at + 1).reshape(n, 2)
            channel[start + entries[:, 0].astype(np.int64)] = entries[:, 1].view(np.int8)
            at += 1 + 2 * n
    assert at == len(data)
    return weights


# ---- the smallest stream: nibbles of gaps and values, on from channel to channel ----


def encode_nibbles(weights: Array, value_bits: int) -> bytes:
    """For each nonzero weight the zeros before it and its value, in nibbles, the lowest of a u32 first.

    A gap is as many ESCAPE as go into it and the rest; it goes on from a channel's end to the next channel. A value is
    one nibble, or two, the lower first. Behind the last value stand ESCAPE, a byte of them at least, up to a whole u32.
    """
    nibbles = gaps_and_values(weights.reshape(-1, 1), value_bits)
    return pack_nibbles(nibbles + [ESCAPE] * (2 + (-len(nibbles) - 2) % 8))


def gaps_and_values(blocks: Array, value_bits: int) -> list[int]:
    """For each of the blocks [n, taps] that is not all zero how many are skipped before it, then its values."""
    assert value_bits == 8 or fits_nibbles(blocks)
    (at,) = np.nonzero(blocks.any(axis=1))
    nibbles: list[int] = []
    for gap, block in zip((np.diff(at, prepend=-1) - 1).tolist(), blocks[at].tolist(), strict=True):
        nibbles += [ESCAPE] * (gap // ESCAPE) + [gap % ESCAPE]
        for value in block:
            nibbles += [value & 15] if value_bits == 4 else [value & 15, value >> 4 & 15]
    return nibbles


def pack_nibbles(nibbles: Array | list[int]) -> bytes:
    """Pairs of nibbles, an even number of them, the lower half of a byte first."""
    pairs = (np.asarray(nibbles, np.int64) & 15).reshape(-1, 2)
    return (pairs[:, 0] | pairs[:, 1] << 4).astype(np.uint8).tobytes()


def unpack_nibbles(data: bytes) -> Array:
    raw = np.frombuffer(data, np.uint8)
    return np.asarray(np.stack([raw & 15, raw >> 4], axis=1).reshape(-1))


def decode_nibbles(data: bytes, out_c: int, taps: int, value_bits: int) -> Array:
    flat, nibbles, at = np.zeros(out_c * taps, np.int8), iter(unpack_nibbles(data).tolist()), -1
    while (gap := gap_of(nibbles)) is not None:
        at += 1 + gap
        value = next(nibbles) | (next(nibbles) << 4 if value_bits == 8 else 0)
        flat[at] = value - (1 << value_bits if value >> value_bits - 1 else 0)
    return flat.reshape(out_c, taps)


def gap_of(nibbles: Iterator[int]) -> int | None:
    """None at the end."""
    total = 0
    for nibble in nibbles:
        total += nibble
        if nibble != ESCAPE:
            return total
    return None


# ---- two planes of nibbles ----

LEAST_IN_PLANES, MOST_IN_PLANES = -128, 7 * 16 + 7


def planes(weights: Array) -> tuple[Array, Array] | None:
    """(high, low) with weights = 16 * high + low, both in [-8, 7]; None where a weight is above MOST_IN_PLANES."""
    w = weights.astype(np.int64)
    if w.size == 0 or int(w.max()) > MOST_IN_PLANES:
        return None
    high = (w + 8) >> 4
    return high.astype(np.int8), (w - 16 * high).astype(np.int8)
