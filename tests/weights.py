"""Gives the layers of the oracle's grids other weights: of four bits, or with zeros."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np

from tests.oracle import weighted
from tests.oracle.case import SAME, Cases, Grid
from tests.oracle.weighted import Layer, conv_case, fully_connected, layer

Change = Callable[[np.random.Generator, np.ndarray], np.ndarray]


def four_bits(rng: np.random.Generator, weights: np.ndarray) -> np.ndarray:
    """All values, the two ends often."""
    ends = rng.choice((-8, 7), weights.shape)
    return np.where(rng.random(weights.shape) < 0.2, ends, rng.integers(-8, 8, weights.shape))


def with_zeros(rng: np.random.Generator, weights: np.ndarray, block: int = 1) -> np.ndarray:
    """A share of 55 to 98 %, in `block` neighbours of the last axis at a time where they divide it; one channel of
    each is all zeros, another has many in a row."""
    share, out_c = rng.uniform(0.55, 0.98), len(weights)
    size = block if weights.shape[-1] % block == 0 else 1
    kept = rng.random((*weights.shape[:-1], weights.shape[-1] // size)) >= share
    found = weights * np.repeat(kept, size, axis=-1)
    found[int(rng.integers(out_c))] = 0
    flat = found[int(rng.integers(out_c))].reshape(-1)
    flat[: len(flat) // 3 // size * size] = 0
    return np.asarray(found)


def with_blocks_of_zeros(rng: np.random.Generator, weights: np.ndarray) -> np.ndarray:
    return with_zeros(rng, weights, 4)


@contextmanager
def weights_by(change: Change, *modules: ModuleType) -> Iterator[None]:
    """Within it layers that these modules draw have such weights; outputs use int8 as before."""

    def drawn(grid: Any, *arguments: Any, **named: Any) -> Layer:
        found = layer(grid, *arguments, **named)
        old = found.weights.data
        assert old is not None
        new = change(grid.rng, old).astype(np.int8)
        weights = replace(found.weights, data=new)
        if "tiny" in arguments:  # the bias alone shows
            return replace(found, weights=weights)
        part = max(float(np.std(new.astype(float))), 0.5) / max(float(np.std(old.astype(float))), 0.5)
        output = replace(found.output, scale=float(np.float32(found.output.scale * part)))
        bias = found.bias
        if bias is not None and bias.data is not None:
            bias = replace(bias, data=(bias.data * part).astype(np.int32))
        return replace(found, weights=weights, bias=bias, output=output)

    with ExitStack() as stack:
        for module in modules:
            stack.enter_context(patch.object(module, "layer", drawn))
        yield


def small_layers(seed: int) -> Cases:
    """Of each kind of weights 1x1 and 3x3 windows and fully connected, without activation and with a ReLU."""
    grid, one, at = Grid("CONV_2D", seed), (1, 1), (4, 5)
    for change in (four_bits, with_zeros, with_blocks_of_zeros):
        with weights_by(change, weighted):
            for kernel in (one, (3, 3)):
                for i in (0, 4, 8, 1, 13):
                    yield conv_case(grid, i, at, 20, 1, at, 7, kernel, one, one, SAME)
            yield from (case for case in fully_connected(seed) if len(case.model) < 5000)
