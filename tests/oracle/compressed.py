"""Grids of layers whose weights can be stored compressed: the weighted grids with zeros, or few bits."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from .case import SAME, Case, Cases, Grid, Thin
from .weighted import conv_2d, conv_case, fully_connected, layer

RUN = 32  # taps that share a multiplier


def by_channel(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1)


def nibbles(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    """Over the whole range, its ends often."""
    return np.where(rng.random(values.shape) < 0.1, -8, rng.integers(-8, 8, values.shape))


def runs(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    """Nibbles times a multiplier for each channel's runs of 32 taps."""
    small = by_channel(nibbles(rng, values))
    multipliers = rng.integers(1, 16, (len(small), -(-small.shape[1] // RUN)))
    return (small * np.repeat(multipliers, RUN, axis=1)[:, : small.shape[1]]).reshape(values.shape)


def zeros(share: float, bits: int = 8) -> Thin:
    """So many zeros at random, and now and then a whole channel, or a long stretch."""

    def thin(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
        kept = values if bits == 8 else nibbles(rng, values)
        flat = np.where(rng.random(values.shape) < share, 0, kept).reshape(-1)
        start = int(rng.integers(len(flat)))
        if rng.random() < 0.3:
            flat[start : start + 40] = 0
        return flat.reshape(values.shape)

    return thin


def blocks(share: float) -> Thin:
    """1 x 4 blocks of taps, so many of them zeros."""

    def thin(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
        flat = by_channel(values).copy()
        gone = np.repeat(rng.random((len(flat), -(-flat.shape[1] // 4))) < share, 4, axis=1)
        flat[gone[:, : flat.shape[1]]] = 0
        return flat.reshape(values.shape)

    return thin


THINNED: dict[str, Thin] = {
    "nibbles": nibbles,
    "runs": runs,
    "zeros 90 %": zeros(0.9),
    "zeros 90 %, nibbles": zeros(0.9, 4),
    "zeros 70 %": zeros(0.7),
    "blocks 80 %": blocks(0.8),
}


def deep(thin: Thin, seed: int) -> Cases:
    """More taps than a block of positions has, pixels that make no whole tile, inputs that a tile ends with."""
    grid = Grid("CONV_2D", seed, thin=thin)
    for i, (size, in_c, out_c, kernel) in enumerate(
        (
            ((5, 5), 32, 9, (3, 3)),
            ((1, 3), 260, 6, (1, 1)),
            ((3, 3), 300, 5, (1, 1)),
            ((4, 4), 64, 12, (1, 1)),
            ((2, 5), 90, 3, (3, 3)),
        )
    ):
        yield conv_case(grid, 7 * i, size, in_c, 1, size, out_c, kernel, (1, 1), (1, 1), SAME)
    dense = Grid("FULLY_CONNECTED", seed, thin=thin)
    for i, (rows, depth, out_c) in enumerate(
        ((1, 256, 8), (1, 784, 16), (1, 520, 3), (6, 300, 5), (1, 2000, 4))
    ):
        source = dense.tensor("input", (rows, depth))
        drawn = layer(dense, source, (out_c, depth), 0, (rows, out_c), "usual", i % 2 == 1, bias=True)
        yield dense.case(
            f"{rows}x{depth}_to{out_c}",
            [source, drawn.weights, drawn.bias],
            [drawn.output],
            "FullyConnectedOptions",
            FusedActivationFunction=0,
        )


def compressed(seed: int, share: int = 1) -> Iterator[tuple[str, Case]]:
    """(how the weights are thinned, case): one of `share` of the weighted grids, and deep layers."""
    for i, (name, thin) in enumerate(THINNED.items()):
        for case in [
            *conv_2d(seed, partial(Grid, thin=thin)),
            *fully_connected(seed, partial(Grid, thin=thin)),
        ][i % share :: share]:
            yield name, case
        for case in deep(thin, seed):
            yield name, case
