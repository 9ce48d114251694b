"""int4 weights rounded one tap after another, each tap's error taken up by the taps that follow.

As GPTQ does (Frantar et al., 2022): the error that counts is that of the outputs on calibration rows, so it
is spread along the inverse of the second moments of what the layer reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.compress.weights import LIMIT, factors_of
from offramp.ir import Graph, Op
from offramp.ops.conv_2d import padding_of
from offramp.ops.gemm import im2col

Array = NDArray[Any]
DAMPING = 0.01  # of the mean second moment, added to each: rows are few
SPARSE = 0.1  # share of zeros from which weights count as pruned: their zeros must stay, so nothing is moved


def moments(graph: Graph, op: Op, values: Iterable[Array]) -> Array | None:
    """Second moments [taps, taps] of what a layer's output reads; None for a convolution of groups.

    `values` are the layer's inputs [n, …] in real numbers.
    """
    weights = graph.tensors[op.inputs[1]].shape
    taps = int(np.prod(weights[1:]))
    total = np.zeros((taps, taps))
    for x in values:
        if op.kind == "conv_2d":
            if x.shape[3] != weights[3]:
                return None
            out, a = graph.tensors[op.outputs[0]], op.attributes
            pads = padding_of(a, graph.tensors[op.inputs[0]], graph.tensors[op.inputs[1]], out)
            x = im2col(x, (weights[1], weights[2]), (out.shape[1], out.shape[2]), pads, a, 0)
        columns = x.reshape(-1, taps)
        total += columns.T @ columns
    return total


def compensated(w: Array, q: Array, scale: Array, moment: Array) -> Array:
    """int4 weights [channels, taps] for real ones, of the scales and factors of `q`, their values chosen anew."""
    if (w == 0).mean() > SPARSE:
        return q
    rest, found = w.astype(np.float64) / scale[:, None], np.zeros_like(q)
    factors = factors_of(q)
    spread = spreading(moment)
    for k in range(w.shape[1]):
        m = factors[:, k]
        found[:, k] = m * np.clip(np.rint(rest[:, k] / m), *LIMIT[4])
        error = (rest[:, k] - found[:, k]) / spread[k, k]
        rest[:, k + 1 :] -= error[:, None] * spread[k, k + 1 :]
    return found


def spreading(moment: Array) -> Array:
    """Upper triangle whose row k says how the error of tap k goes to those behind it."""
    damped = moment + np.eye(len(moment)) * (DAMPING * np.trace(moment) / len(moment) + 1e-12)
    inverse = np.linalg.inv(damped)
    return np.asarray(np.linalg.cholesky((inverse + inverse.T) / 2).T)
