"""Points at which a graph can be left, and heads there: where, how large, and what they compute."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from offramp.compress.accuracy import outputs
from offramp.compress.dequantize import dequantize
from offramp.compress.exits.heads import (
    BYTES_SHARE,
    BYTES_SHARE_SMALL,
    LARGE,
    MACS_SHARE,
    NEVER,
    Form,
    confidences_of,
    network_bytes,
    with_heads,
)
from offramp.compress.exits.judging import macs_by_exit, without_exits
from offramp.compress.exits.points import choose, points
from offramp.compress.quantize import quantize
from offramp.errors import UserError
from offramp.frontends import load_model
from offramp.ir import Graph
from offramp.passes.rewrite import macs
from offramp.reference import run_all
from tests.float_nets import FloatNet, digits_net

MODELS = ("kws_ref_model", "vww_96_int8", "pretrainedResnet_quant", "ad01_int8")


def reaches_without(graph: Graph, tensor: int) -> bool:
    """Whether any output can be reached from an input, or from nothing, past a tensor: by walking back."""
    producers = graph.producers()
    waiting, seen = list(graph.outputs), set()
    while waiting:
        t = waiting.pop()
        if t == tensor or t in seen or t < 0 or graph.tensors[t].data is not None:
            continue
        seen.add(t)
        if t in graph.inputs:
            return True
        waiting += graph.ops[producers[t]].inputs
    return False


@pytest.mark.parametrize("name", MODELS)
def test_points_are_the_tensors_that_everything_flows_through(name: str, shared_data: Path) -> None:
    graph = load_model(shared_data / "mlperf_tiny" / f"{name}.tflite")
    found = {p.tensor for p in points(graph)}
    wanted = {
        t for op in graph.ops for t in op.outputs if not reaches_without(graph, t) and t not in graph.outputs
    }
    after = {t for t in wanted if 0 < macs(up_to(graph, t)) < macs(graph)}
    assert found == after and found
    shares = [p.share for p in points(graph)]
    assert shares == sorted(shares)
    for p in points(graph):
        assert p.share == pytest.approx(macs(up_to(graph, p.tensor)) / macs(graph))


def up_to(graph: Graph, tensor: int) -> Graph:
    at = graph.producers()[tensor]
    return graph.with_ops(graph.ops[: at + 1])


@pytest.mark.parametrize("name", MODELS)
def test_heads_stay_within_their_budgets(name: str, shared_data: Path) -> None:
    graph = dequantize(load_model(shared_data / "mlperf_tiny" / f"{name}.tflite"))
    found = with_heads(graph, choose(graph, "auto"))
    assert found.exits and all(e.threshold == NEVER for e in found.exits)
    own = macs_by_exit(without_exits(found))[-1]
    assert own == macs(graph)
    heads = macs(found) - macs(graph)
    assert 0 < heads <= MACS_SHARE * macs(graph) * len(found.exits)
    size = network_bytes(graph)
    share = BYTES_SHARE if size > LARGE else BYTES_SHARE_SMALL
    assert network_bytes(found) - size <= share * size
    shape = graph.tensors[graph.outputs[0]].shape
    kinds = {"error" if name == "ad01_int8" else "margin"}
    assert {e.confidence for e in found.exits} == kinds
    for e in found.exits:
        assert found.tensors[found.outputs[e.answer]].shape == ((1, 1) if kinds == {"error"} else shape)


FORMS = [Form(("mean", "max"), 0), Form(("mean",), 0), Form(("mean", "max"), 16), Form((), 0, 8)]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_head_computes_what_numpy_does_and_leaves_the_rest_alone(
    form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = digits_net()
    monkeypatch.setattr("offramp.compress.exits.heads.forms_of", lambda g, p, h: [form] * len(p))
    found = with_heads(graph, choose(graph, "auto", 1), seed=3)
    x = np.random.default_rng(0).normal(0, 1, (5, 8, 8, 1)).astype(np.float32)
    own, head = run_all(found, x)
    assert np.array_equal(own, run_all(graph, x)[0])
    assert np.array_equal(own, run_all(without_exits(found), x)[0])
    if form.conv:
        return
    [point] = choose(graph, "auto", 1)
    at = run_all(replace(graph, outputs=(point.tensor,)), x)[0]
    z = np.concatenate([{"mean": np.mean, "max": np.max}[p](at, axis=(1, 2)) for p in form.pooling], axis=1)
    data = {t.name: t.data for t in found.tensors if t.name.startswith("exit1/") and t.data is not None}
    if form.hidden:
        z = np.maximum(z @ data["exit1/hidden/weights"].T + data["exit1/hidden/bias"], 0)
    scores = z @ data["exit1/scores/weights"].T + data["exit1/scores/bias"]
    wanted = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    assert np.allclose(head, wanted, atol=1e-5)


def test_integer_heads_of_a_float_graph_keep_their_places() -> None:
    real = digits_net()
    x = np.random.default_rng(0).uniform(0, 1, (60, 8, 8, 1)).astype(np.float32)
    found = quantize(with_heads(real, choose(real, "auto", 2)), x)
    assert [found.outputs[e.answer] for e in found.exits] == list(found.outputs[1:])
    ours, theirs = outputs(without_exits(found), x)[0], outputs(quantize(real, x), x)[0]
    assert np.abs(ours - theirs).max() <= 8 / 256  # scores share a scale with those of heads
    for a, b in zip(weights(without_exits(found)), weights(quantize(real, x)), strict=True):
        assert np.array_equal(a, b)


def weights(graph: Graph) -> list[np.ndarray]:
    return [t.data for t in graph.tensors if t.data is not None and t.dtype == "s8"]


@pytest.mark.parametrize(
    ("at", "said", "hint"),
    [
        (["conv_2d9"], "has no layer conv_2d9", "conv_2d"),
        (["add3", "nothing"], "has no layer nothing", "nearest"),
        (["fully_connected8"], "would save nothing", "add3"),
        (["softmax9"], "would save nothing", "add3"),
        (["conv_2d1"], "flows beside it", "add3"),
        (["a", "b", "c", "d", "e", "f", "g", "h", "i"], "9 exits, at most 8", "leave out"),
    ],
)
def test_layers_that_no_exit_can_follow_are_refused(at: list[str], said: str, hint: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        choose(digits_net(), at)
    assert hint in caught.value.hint


def test_exits_stand_in_the_graphs_order_and_once() -> None:
    graph = digits_net()
    layers = [p.layer for p in choose(graph, ["conv_2d5", "add3", "conv_2d5"])]
    assert layers == ["add3", "conv_2d5"]
    names = [op.name for op in graph.ops]
    assert [p.layer for p in choose(graph, "auto")] == sorted(
        (p.layer for p in choose(graph, "auto")), key=names.index
    )


def test_what_cannot_have_exits_is_told() -> None:
    net = FloatNet(4, 4, 1)
    graph = net.graph(net.dense(net.mean(net.conv(net.conv(0, 4), 4)), 1))
    with pytest.raises(UserError, match="exits are for classifiers"):
        with_heads(graph, choose(graph, "auto"))
    found = with_heads(digits_net(), choose(digits_net(), "auto"))
    with pytest.raises(UserError, match="exits already"):
        with_heads(found, choose(digits_net(), "auto"))


def test_entropy_is_for_probabilities() -> None:
    net = FloatNet(4, 4, 1)
    scores = net.dense(net.mean(net.conv(net.conv(0, 4), 4)), 3)
    assert confidences_of(net.graph(scores)) == ("margin", "maximum")
    assert confidences_of(net.graph(net.softmax(scores))) == ("margin", "maximum", "entropy")


def test_a_graph_with_state_has_no_points(shared_data: Path) -> None:
    graph = load_model(next((shared_data / "wakeword").glob("*.tflite")))
    with pytest.raises(UserError, match="keeps state"):
        points(graph)
