"""One range for the scores of all exits and of the end: their softmaxes then share one table of exponentials."""

from __future__ import annotations

from dataclasses import replace

from offramp.compress.calibrate import Range, Ranges
from offramp.ir import Graph


def with_shared_scores(graph: Graph, ranges: Ranges) -> Ranges:
    """Ranges in which all that is softmaxed into an answer has the smallest range that holds each one's."""
    tensors = [t for i in (0, *(e.answer for e in graph.exits)) for t in scores_of(graph, graph.outputs[i])]
    if len(tensors) < 2:
        return ranges
    shared = dict.fromkeys(tensors, hull([ranges.of[t] for t in tensors]))
    whole = dict.fromkeys(tensors, hull([ranges.whole[t] for t in tensors]))
    return replace(ranges, of={**ranges.of, **shared}, whole={**ranges.whole, **whole})


def scores_of(graph: Graph, answer: int) -> list[int]:
    """The tensor that a softmax makes this answer of, in a list; empty where none does."""
    maker = graph.producers().get(answer)
    return [graph.ops[maker].inputs[0]] if maker is not None and graph.ops[maker].kind == "softmax" else []


def hull(ranges: list[Range]) -> Range:
    return min(low for low, _ in ranges), max(high for _, high in ranges)
