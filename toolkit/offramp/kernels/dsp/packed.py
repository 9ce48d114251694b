"""The smallest streams of weights that are mostly zeros: nibbles of what is skipped and of what stands behind it."""

from __future__ import annotations

import numpy as np

from offramp.kernels.dsp import sparse
from offramp.kernels.dsp.gemm import runs_of
from offramp.kernels.dsp.sparse import Layer
from offramp.ops.compressed import blocks_of, fits_nibbles, gaps_and_values, pack_nibbles, padded_taps
from offramp.ops.op import SAME_START, Array, Step, Work, block
from offramp.ops.work import Numbers

MOST_NIBBLES = 65535
BEHIND = 8  # bytes that may be read behind the last nibble
HALF, ONE = 1 << 30, 1  # multiplier and exponent of a channel that gives one value


def nibble_work(own: Work, taps: int) -> Work:
    """Channels are unpacked for each tile; weights of four bits by a loop of their own."""

    def work(n: Numbers) -> dict[str, int]:
        found, bits = own(n), n["value_bits"]
        tiles, values = found.get("tiles", 1), taps * bits // 4
        return {
            **found,
            f"values_{bits}": tiles * n["entries"],
            f"skips_{bits}": tiles * (n["nibbles"] - n["entries"] * (1 + values)),
        }

    return work


BLOCK = sparse.BLOCK
CONV, CONV_BLOCKS, ROW, ROW_BLOCKS = KERNELS = tuple(
    sparse.kernel(name, number, nibble_work(work, taps), in_place, stores="packed")
    for name, number, work, taps, in_place in (
        ("conv_2d_packed", 0x0339, sparse.conv_work, 1, SAME_START),
        ("conv_2d_packed_blocks", 0x033A, sparse.conv_work, BLOCK, SAME_START),
        ("fully_connected_packed", 0x033B, sparse.row_work, 1, 0),
        ("fully_connected_packed_blocks", 0x033C, sparse.row_work, BLOCK, 0),
    )
)


def pack(layer: Layer, taps: int) -> Step | None:
    """None where a channel's nibbles are too many to be counted, or the places of its taps."""
    g, c = layer.geometry, layer.channels
    is_row, (runs, run) = sparse.is_row(g), runs_of(g)
    bits = 4 if fits_nibbles(c.weights) else 8
    nibbles = [channel_nibbles(w, taps, bits) for w in c.weights]
    most, count = max(map(len, nibbles)), int(blocks_of(c.weights, taps).sum())
    if most > MOST_NIBBLES:
        return None
    if is_row and g["in_c"] > sparse.MOST_DEPTH:
        return None
    if not is_row and (
        sparse.taps_of(g) * sparse.TAP_BYTES > sparse.MOST_PLACES or (run % taps != 0 and runs != 1)
    ):
        return None
    at_once = (4 if taps == 1 else 2) if is_row else 1
    words = 5 + (most // (1 + taps * bits // 4) + 1 + at_once) * len(sparse.blank(taps))
    own = sparse.row_scratch(layer, taps) // 4 * 4 if is_row else sparse.conv_scratch(g)
    chosen = (ROW if taps == 1 else ROW_BLOCKS) if is_row else (CONV if taps == 1 else CONV_BLOCKS)
    data, scales = parts(layer, nibbles)
    total = sum(map(len, nibbles))
    packed = {
        "nibbles": total,
        "output_zero_point": layer.requantization.zero_point,
        "value_bits": bits,
        "scales": scales,
    }
    return sparse.step(layer, chosen, data, own + 4 * words, count, None, **packed)


def channel_nibbles(w: Array, taps: int, bits: int) -> list[int]:
    """Of a channel's blocks of so many taps."""
    return gaps_and_values(padded_taps(w[None], taps).reshape(-1, taps), bits)


def parts(layer: Layer, nibbles: list[list[int]]) -> tuple[bytes, int]:
    """The block behind the fixed struct, see packed.h; and how many multipliers are in it."""
    c, zero = layer.channels, layer.requantization.zero_point
    fixed = c.multiplier == 0
    multiplier, exponent = np.where(fixed, HALF, c.multiplier), np.where(fixed, ONE, c.exponent)
    bias = np.where(fixed, 4 * ((c.offset >> 1) - zero), c.bias)
    if len(np.unique(np.stack([multiplier, exponent]), axis=1).T) == 1:
        multiplier, exponent = multiplier[:1], exponent[:1]
    data = bytes(BEHIND)
    for of_channel in reversed(nibbles):
        data = pack_nibbles(of_channel + [0] * (len(of_channel) % 2)) + data
    counts = np.array([len(n) for n in nibbles], "<u2")
    return (
        block(
            (2 * bias).astype("<i4"),
            multiplier.astype("<i4"),
            counts,
            exponent.astype(np.uint8),
            data,
        ),
        len(multiplier),
    )
