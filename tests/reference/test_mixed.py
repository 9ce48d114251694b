"""Mixed precision: what is found meets what was asked, and what is reported is what runs."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from offramp.compress.accuracy import accuracy, classes
from offramp.compress.calibrate import calibrate
from offramp.compress.mixed import Trial, allowed_bits, mixed_precision, path
from offramp.compress.options import QuantizeOptions
from offramp.compress.quantize import quantize
from offramp.compress.sensitivity import Sensitivity, sensitivities
from offramp.compress.size import weight_bytes
from offramp.errors import UserError
from offramp.ir import Graph
from offramp.ops.mean import Mean
from offramp.ops.op import constant
from offramp.ops.softmax import Softmax
from offramp.passes.rewrite import with_tensors
from offramp.reference import run_rows
from tests.float_layers import FloatNet, rows_of


def net(seed: int = 1) -> Graph:
    """Four layers; the mean of each class's score is 0, so that all classes come up."""
    made = FloatNet(seed)
    source = made.tensor((1, 6, 6, 2))
    x = made.conv(source, 40, 3, padding="same", activation="relu")
    x = made.depthwise(x, padding="same", activation="relu")
    x = made.conv(x, 24, activation="relu")
    x = made.dense(made.op("mean", (x,), Mean((1, 2))), 6)
    graph = made.graph([source], [made.op("softmax", (x,), Softmax())])
    means = next(run_rows(graph, rows_of(graph, 64), every=True))[x].mean(axis=0)
    bias = made.ops[-2].inputs[2]
    return with_tensors(
        graph, {bias: replace(graph.tensors[bias], data=constant(graph.tensors[bias]) - means)}
    )


GRAPH = net()
X = rows_of(GRAPH, 120)
OPTIONS = QuantizeOptions(per_group=False)


@pytest.fixture(scope="module")
def found() -> list[Sensitivity]:
    return list(sensitivities(GRAPH, [X], calibrate(GRAPH, X), (4, 8, 16), OPTIONS))


def test_more_bits_lose_less(found: list[Sensitivity]) -> None:
    assert len(found) == 4
    for layer in found:
        assert layer.lost[4] > 3 * layer.lost[8] >= 0
        assert layer.lost[8] >= 0.5 * layer.lost[16]


def test_bytes_are_those_of_the_graph(found: list[Sensitivity]) -> None:
    for bits in (4, 8, 16):
        for per_group in (False, True):
            options = QuantizeOptions(bits=bits, per_group=per_group)
            made = quantize(GRAPH, X, options)
            wanted = sum(
                s.bytes[bits] for s in sensitivities(GRAPH, [X[:4]], calibrate(GRAPH, X), (bits,), options)
            )
            assert weight_bytes(made) == wanted
    plain = sum(int(np.prod(t.shape)) for t in GRAPH.tensors if t.data is not None and len(t.shape) > 1)
    biases = sum(t.shape[0] for t in GRAPH.tensors if t.data is not None and len(t.shape) == 1)
    assert sum(s.bytes[8] for s in found) == plain + 4 * biases


def test_the_way_rises_from_least_to_most(found: list[Sensitivity]) -> None:
    way = path(GRAPH, found, (4, 8))
    assert set(way[0].values()) == {4, 8} and set(way[-1].values()) == {8}
    assert len(way) == 4  # the depthwise layer is at 8 all along
    for before, after in pairwise(way):
        assert sum(before[name] != after[name] for name in before) == 1
    assert allowed_bits("depthwise_conv_2d", (4,)) == [8]


def test_a_floor_is_met_by_what_runs() -> None:
    told: list[Trial] = []
    y = classes(GRAPH, X)
    result = mixed_precision(GRAPH, X, X, y, floor=0.92, options=OPTIONS, told=told.append)
    best = result.best
    assert best.accuracy.value >= 0.92
    assert accuracy(best.graph, X, y).value == best.accuracy.value
    assert best.bytes == weight_bytes(best.graph)
    assert tuple(told) == result.trials and best in told
    cheaper = [t for t in result.trials if t.bytes < best.bytes]
    assert all(t.accuracy.value < 0.92 for t in cheaper) and cheaper


@pytest.mark.parametrize("share", [0.8, 0.9, 1.0])
def test_a_ceiling_is_kept(share: float) -> None:
    whole = weight_bytes(quantize(GRAPH, X))
    result = mixed_precision(GRAPH, X, ceiling=int(share * whole), options=OPTIONS)
    assert result.best.bytes <= share * whole
    larger = [t for t in result.trials if t.bytes > result.best.bytes]
    assert all(t.bytes > share * whole for t in larger)


def test_what_cannot_be_met_shows_the_best_found() -> None:
    with pytest.raises(
        UserError, match=r"floor of 100.50 %; the best found has [\d.]+ ± [\d.]+ % of 120 with"
    ) as error:
        mixed_precision(GRAPH, X, floor=1.005, options=OPTIONS)
    assert "lower the floor" in error.value.hint
    with pytest.raises(UserError, match=r"no assignment fits 100 bytes: the smallest has .* bytes"):
        mixed_precision(GRAPH, X, ceiling=100, options=OPTIONS)
    with pytest.raises(UserError, match=r"floor of 100.00 % within [\d,]+ bytes; the best found"):
        mixed_precision(GRAPH, X, floor=1.0, ceiling=1900, options=OPTIONS)
