"""Weights of product.py's layers stored smaller: four bits where all values fit, without zeros where these are many.

Instructions (modelled cycles) against the set's int8 kernels for the same layers, gcc 12.2.1, mps3_an547:

                      1x1, 64 to 256 channels   3x3, 16 to 64 channels   fully connected, 128 to 640 inputs
four bits             1.06        (1.01-1.03)   1.25-1.27  (1.07-1.15)   1.01-1.03  (1.34-1.40)
sparse, 80 %          0.64-0.99   (1.61-1.80)   0.62-0.73  (1.61-1.69)   0.76-0.93  (2.11-2.28)
sparse, 90 %          0.45-0.93   (1.01-1.66)   0.38-0.50  (0.91-1.03)   0.46-0.64  (1.18-1.40)
lanes, 90 %           0.91-0.96   (0.72-0.74)   0.83-0.92  (0.60-0.75)
blocks of 4, 80 %     0.49-0.87   (0.69-1.03)   0.46       (0.63)        0.57-0.73  (0.96-1.12)
blocks of 4, 90 %     0.36-0.74   (0.48-0.86)   0.30       (0.39)        0.36-0.53  (0.57-0.77)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from offramp.kernels.mve.product import CONV, EVEN_FIRST, POINTWISE, Kernels, Storage, column_work
from offramp.kernels.mve.requantize import Scaling, kernels
from offramp.ops.compressed import fits_nibbles, zero_fraction
from offramp.ops.op import SAME_START, Array, Kernel, Params, Work, block
from offramp.ops.work import Numbers, Product, up

LEAST_ZEROS = 0.5  # of weights, or of blocks, that are stored without them
MAX_TAPS_4 = 131071  # firmware/kernels/mve/tile_4.h
MAX_TAPS_SPARSE = 65535  # places have 16 bits
BLOCK = 4
LANES = 16  # pixels of firmware/kernels/mve/lanes.h
MAX_OUT_C_LANES = 65535 // 15

STREAM = [("gathers", "u32"), ("last", "u32"), ("stream_bytes", "u32")]
POINTWISE_PARAMS = Params("mve_pointwise_sparse", [*POINTWISE[0].params.fields, ("reserved", "u16"), *STREAM])
CONV_PARAMS = Params("mve_conv_2d_sparse", [*CONV[0].params.fields, ("reserved", "u16"), *STREAM])


@dataclass(frozen=True)
class SparseProduct:
    """A product whose groups of nonzero weights are counted, not its taps."""

    pixels: int
    dense: Work

    def __call__(self, n: Numbers) -> Mapping[str, int]:
        work = dict(self.dense(n))
        for unit in ("products", "partial", "rest"):
            work.pop(unit, None)
        tiles = work["tiles"] if self.pixels > 1 else n["pixels"]
        return work | {"gathers": tiles * n["gathers"]}


def lanes_work(n: Numbers) -> Mapping[str, int]:
    """Tiles of 16 pixels, whose taps are brought to lanes; each of a channel's entries is a product with all."""
    if "pixels" in n:
        work, taps, tiles = {}, n["in_c"], up(n["pixels"], LANES)
    else:
        work, taps = dict(column_work(n)), n["kernel_h"] * n["kernel_w"] * n["in_c"]
        strips = [min(n["strip"], n["out_rows"] - y) for y in range(0, n["out_rows"], n["strip"])]
        tiles = sum(up(rows * n["out_cols"], LANES) for rows in strips)
        for unit in ("products", "runs", "short"):
            del work[unit]
    found = {"tiles": tiles, "blocks": tiles * n["out_c"], "brought_taps": tiles * up(taps, 16)}
    return work | found | {"gathers": tiles * n["gathers"]}


def stored(
    stores: str, name: str, number: int, params: Params, work: Work, in_place: int = SAME_START
) -> Kernels:
    relu, signed = kernels(name, number, params, in_place, work=work)
    return replace(relu, group="compressed", stores=stores), replace(
        signed, group="compressed", stores=stores
    )


DENSE_ROWS = Product(1, 8, 16)
POINTWISE_WORK = SparseProduct(4, Product(4, 2, 16))
CONV_WORK = SparseProduct(4, column_work)
ROWS_WORK = SparseProduct(1, DENSE_ROWS)
BY_ONE, BY_FOUR, BY_LANE = "sparse", "sparse blocks", "sparse, lanes"
POINTWISE_4 = stored("nibbles", "pointwise_conv_2d_4", 0x30, POINTWISE[0].params, Product(4, 2, 16))
CONV_4 = stored("nibbles", "conv_2d_4", 0x31, CONV[0].params, column_work)
FULLY_CONNECTED_4 = stored("nibbles", "fully_connected_4", 0x32, POINTWISE[0].params, DENSE_ROWS, 0)
POINTWISE_SPARSE = stored(BY_ONE, "pointwise_conv_2d_sparse", 0x33, POINTWISE_PARAMS, POINTWISE_WORK)
CONV_SPARSE = stored(BY_ONE, "conv_2d_sparse", 0x34, CONV_PARAMS, CONV_WORK)
FULLY_CONNECTED_SPARSE = stored(BY_ONE, "fully_connected_sparse", 0x35, POINTWISE_PARAMS, ROWS_WORK, 0)
POINTWISE_BLOCKS = stored(BY_FOUR, "pointwise_conv_2d_blocks", 0x36, POINTWISE_PARAMS, POINTWISE_WORK)
CONV_BLOCKS = stored(BY_FOUR, "conv_2d_blocks", 0x37, CONV_PARAMS, CONV_WORK)
FULLY_CONNECTED_BLOCKS = stored(BY_FOUR, "fully_connected_blocks", 0x38, POINTWISE_PARAMS, ROWS_WORK, 0)
POINTWISE_LANES = stored(BY_LANE, "pointwise_conv_2d_lanes", 0x39, POINTWISE_PARAMS, lanes_work)
CONV_LANES = stored(BY_LANE, "conv_2d_lanes", 0x3A, CONV_PARAMS, lanes_work)


def pairs_of(out_c: int) -> Array:
    """Channels of each pair of firmware/kernels/mve/tile.h."""
    first = [*range(0, out_c - 1, 2), *([max(out_c - 2, 0)] if out_c % 2 else [])]
    return np.array([[c, min(c + 1, out_c - 1)] for c in first])


def in_sixteens(weights: Array) -> Array:
    """[channels, k] -> [channels, rounds, 16], padded with zeros."""
    padded = np.pad(weights.astype(np.int8), ((0, 0), (0, -weights.shape[1] % 16)))
    return padded.reshape(len(weights), -1, 16)


def nibbles(low: Array, high: Array) -> Array:
    return (low & 15 | high << 4).astype(np.uint8)


def pairs_4(weights: Array, bias: Array, s: Scaling) -> bytes:
    """firmware/kernels/mve/tile_4.h"""
    taps = in_sixteens(weights)
    out = b""
    for pair in pairs_of(len(weights)):
        tail = [bias.astype(np.int32)[pair], s.multiplier[pair], s.exponent[pair]]
        out += nibbles(*taps[pair]).tobytes() + np.concatenate(tail).astype(np.int32).tobytes()
    return out


def eights_4(weights: Array, bias: Array, s: Scaling) -> bytes:
    """firmware/kernels/mve/fully_connected_4.c"""
    missing = -len(weights) % 8
    taps = np.pad(in_sixteens(weights), ((0, missing), (0, 0), (0, 0)))
    words = np.pad(np.stack([bias.astype(np.int32), s.multiplier, s.exponent]), ((0, 0), (0, missing)))
    out = b""
    for first in range(0, len(taps), 8):
        even, odd = taps[first : first + 8 : 2], taps[first + 1 : first + 8 : 2]
        tail = words[:, first + EVEN_FIRST]
        out += nibbles(even + 8, odd).transpose(1, 0, 2).tobytes() + tail.astype(np.int32).tobytes()
    return out


def fits_4(weights: Array) -> bool:
    return fits_nibbles(weights) and weights.size // len(weights) <= MAX_TAPS_4


def groups_of_bytes(channel: Array) -> list[bytes]:
    """firmware/kernels/mve/sparse.h: groups of up to 16 nonzero weights that lie within 256 taps."""
    at = np.flatnonzero(channel)
    found = []
    while len(at):
        inside = at[:16][at[:16] - at[0] < 256]
        base, at = at[0], at[len(inside) :]
        places, values = np.zeros(16, np.uint8), np.zeros(16, np.int8)
        places[: len(inside)], values[: len(inside)] = inside - base, channel[inside]
        found.append(np.uint16(base).tobytes() + places.tobytes() + values.tobytes())
    return found


def groups_of_blocks(channel: Array) -> list[bytes]:
    """The same with four blocks of four neighbouring taps in a group."""
    blocks = channel.reshape(-1, 4)
    at = np.flatnonzero(blocks.any(axis=1))
    found = []
    for first in range(0, len(at), 4):
        inside = at[first : first + 4]
        places, values = np.zeros(4, np.uint16), np.zeros((4, 4), np.int8)
        places[: len(inside)], values[: len(inside)] = inside, blocks[inside]
        found.append(places.tobytes() + values.tobytes())
    return found


@dataclass(frozen=True)
class SparseStream:
    """Streams of firmware/kernels/mve/sparse.h in one of its encodings."""

    groups: Callable[[Array], list[bytes]]

    def one(self, groups: list[list[bytes]], tail: Array) -> bytes:
        """Channels that are requantized together."""
        counts = np.array([len(of) for of in groups], np.uint16)
        return block(counts, b"".join(b"".join(of) for of in groups), tail.astype(np.int32))

    def whole(self, sets: list[tuple[list[list[bytes]], Array]], has_odd: bool) -> bytes:
        """Behind the fixed numbers of a layer: of its groups, where the last pair of an odd channel begins, bytes."""
        parts = [self.one(*of) for of in sets]
        count = sum(len(of) for groups, _ in sets for of in groups)
        data = b"".join(parts)
        last = len(data) - (len(parts[-1]) if has_odd else 0)
        return np.array([count, last, len(data)], np.uint32).tobytes() + data

    def pairs(self, weights: Array, bias: Array, s: Scaling) -> bytes:
        groups, words = [self.groups(channel) for channel in weights], numbers(bias, s)
        sets = [([groups[c] for c in pair], words[:, pair]) for pair in pairs_of(len(weights))]
        return self.whole(sets, len(weights) % 2 == 1)

    def eights(self, weights: Array, bias: Array, s: Scaling) -> bytes:
        missing = -len(weights) % 8
        groups = [self.groups(channel) for channel in weights] + [[]] * missing
        words = np.pad(numbers(bias, s), ((0, 0), (0, missing)))
        orders = [first + EVEN_FIRST for first in range(0, len(groups), 8)]
        return self.whole([([groups[c] for c in order], words[:, order]) for order in orders], False)


def entries_of(channel: Array) -> bytes:
    """firmware/kernels/mve/lanes.h: from tap to tap, at most 255 on, and the weight there."""
    found, last = [], 0
    for at in np.flatnonzero(channel):
        for _ in range((at - last) // 256):
            found += [255, 0]
            last += 255
        found += [at - last, channel[at] & 255]
        last = at
    return bytes(found)


def lanes_stream(weights: Array, bias: Array, s: Scaling) -> bytes:
    entries = [entries_of(channel) for channel in weights.astype(np.int64)]
    heads = [
        np.array([len(of) // 2, *words], np.int32)
        for of, words in zip(entries, numbers(bias, s).T, strict=True)
    ]
    data = b"".join(block(head, of) for head, of in zip(heads, entries, strict=True))
    count = sum(len(of) // 2 for of in entries)
    return np.array([count, 0, len(data)], np.uint32).tobytes() + data


def numbers(bias: Array, s: Scaling) -> Array:
    """What stands behind the weights: bias, multiplier and exponent, [3, out_c]."""
    return np.stack([bias.astype(np.int32), s.multiplier, s.exponent])


def is_sparse(weights: Array) -> bool:
    taps = weights.size // len(weights)
    return zero_fraction(weights) >= LEAST_ZEROS and taps <= MAX_TAPS_SPARSE


def is_sparse_in_blocks(weights: Array) -> bool:
    if weights.shape[-1] % BLOCK or weights.size // len(weights) > BLOCK * MAX_TAPS_SPARSE:
        return False
    return zero_fraction(weights.reshape(-1, BLOCK).any(axis=1)) >= LEAST_ZEROS


INT4 = Storage(POINTWISE_4, CONV_4, FULLY_CONNECTED_4, pairs_4, eights_4, fits_4)
BYTES, BLOCKS = SparseStream(groups_of_bytes), SparseStream(groups_of_blocks)
SPARSE = Storage(
    POINTWISE_SPARSE,
    CONV_SPARSE,
    FULLY_CONNECTED_SPARSE,
    BYTES.pairs,
    BYTES.eights,
    is_sparse,
    kept=0,
    row_scratch=lambda k: 0,
)
SPARSE_BLOCKS = Storage(
    POINTWISE_BLOCKS,
    CONV_BLOCKS,
    FULLY_CONNECTED_BLOCKS,
    BLOCKS.pairs,
    BLOCKS.eights,
    is_sparse_in_blocks,
    kept=0,
    row_scratch=lambda k: k,
)
SPARSE_LANES = Storage(
    POINTWISE_LANES,
    CONV_LANES,
    None,
    lanes_stream,
    BYTES.eights,
    lambda weights: is_sparse(weights) and len(weights) <= MAX_OUT_C_LANES,
    lanes=LANES,
)
STORAGES = (INT4, SPARSE, SPARSE_BLOCKS, SPARSE_LANES)
KERNELS: tuple[Kernel, ...] = tuple(k for s in STORAGES for k in (*s.pointwise, *s.conv, *(s.rows or ())))
