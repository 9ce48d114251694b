"""The specification of early exits: how sure an answer is, in integers, and where a run leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offramp.ir import Graph
from offramp.reference import run_all

Array = NDArray[Any]
LAST = -1  # in place of an exit's index: the run went to its end
MOST = 0xFFFF

# Of a probability of p/256: its part of the entropy, -p/256 * log2(p/256), in 1/4096 bit; firmware/src has the same.
ENTROPY = np.array([0, *np.rint(-np.arange(1, 256) * 16 * np.log2(np.arange(1, 256) / 256))], np.int64)


def confidence(kind: str, estimate: Array) -> Array:
    """int64 [n], 0..65535, larger is surer, of estimates s8 or u8 [n, ...]. With u the value above the type's least:

    margin: the largest u less the second largest, 0 for a single value; maximum: the largest u; entropy: 65535 less
    the sum of ENTROPY[u], at least 0: u are probabilities in 1/256; error: 255 less the first u, an estimated error.
    """
    u = estimate.reshape(len(estimate), -1).astype(np.int64) - np.iinfo(estimate.dtype).min
    if kind == "margin":
        top = np.sort(u, axis=1)
        return np.asarray(top[:, -1] - top[:, -2] if u.shape[1] > 1 else np.zeros(len(u), np.int64))
    if kind == "maximum":
        return np.asarray(u.max(axis=1))
    if kind == "entropy":
        return np.asarray(np.maximum(MOST - ENTROPY[u].sum(axis=1), 0))
    assert kind == "error", kind
    return np.asarray(255 - u[:, 0])


@dataclass(frozen=True, eq=False)
class Answers:
    """What every way out of a graph gives for n rows, whether or not a run would go there."""

    exits: Sequence[Array]  # by exit: the answers [n, ...]
    confidences: Array  # int64 [exits, n]
    last: Array  # output 0, [n, ...]

    def left(self, thresholds: Sequence[int]) -> Array:
        """Index of the exit by which each row leaves, LAST for the end: int64 [n]."""
        n = len(self.last)
        sure = np.array([c >= t for c, t in zip(self.confidences, thresholds, strict=True)]).reshape(-1, n)
        return np.where(sure.any(axis=0), sure.argmax(axis=0), LAST) if len(sure) else np.full(n, LAST)

    def classes(self, left: Array) -> Array:
        """Top class of the answer that each row left with, a tie to the lower: int64 [n]."""
        every = [a.reshape(len(a), -1).argmax(axis=1) for a in (*self.exits, self.last)]
        return np.asarray(np.array(every)[left, np.arange(len(left))])


def answers(graph: Graph, *inputs: Array) -> Answers:
    """Of rows [n, ...] typed as the integer graph's inputs."""
    found = run_all(graph, *inputs)
    estimates = [confidence(e.confidence, found[e.estimate]) for e in graph.exits]
    confidences = np.array(estimates, np.int64).reshape(len(graph.exits), len(inputs[0]))
    return Answers([found[e.answer] for e in graph.exits], confidences, found[0])
