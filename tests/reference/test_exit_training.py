"""Exits on frozen integer graphs: heads that learn, rows that are kept apart, and bits that stay."""
# ruff: noqa: E402

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from offramp import boards
from offramp.cli.exits import instructions_by_exit
from offramp.compress.accuracy import input_rows
from offramp.compress.exits.calibrate import calibrate, judge, with_thresholds
from offramp.compress.exits.frozen import Bench, Frozen, add_exits, last_dense
from offramp.compress.exits.heads import MACS_SHARE
from offramp.compress.exits.judging import evidence_on, judge_exits, macs_by_exit, without_exits
from offramp.compress.exits.options import FrozenOptions
from offramp.compress.exits.points import choose
from offramp.compress.quantize import quantize
from offramp.compress.rounding import real
from offramp.compress.train.exits import HeadTraining, fit_heads
from offramp.errors import UserError
from offramp.exits import answers
from offramp.frontends import load_model
from offramp.ir import Graph
from offramp.reference import run_all
from tests.float_nets import digits, digits_net, trained_digits

FEW = FrozenOptions(folds=3, mixtures=1)


@lru_cache
def integers() -> Graph:
    return quantize(trained_digits(8), digits()[0][:200])


@lru_cache
def frozen(final: bool = False) -> Frozen:
    x, y, _, _ = digits()
    return add_exits(integers(), choose(integers(), "auto"), x[:400], y[:400], replace(FEW, final=final))


def blobs(n: int = 300, d: int = 6, classes: int = 4) -> tuple[Any, Any]:
    """Overlapping classes, features of differing scales."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, classes, n)
    centers = rng.normal(0, 1, (classes, d))
    x = (centers[y] + rng.normal(0, 1, (n, d))) * np.geomspace(0.4, 2, d) + 3
    return x.astype(np.float32), y


def test_heads_without_a_hidden_layer_are_scikit_learns_logistic_regressions() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, y = blobs()
    half = (np.arange(len(x)) < 150).astype(float)
    decay = 0.02
    weights = np.array([np.ones(len(x)), half])
    training = HeadTraining(steps=400, rate=0.05, weight_decay=decay)
    found = fit_heads(x, np.eye(4)[y], weights, np.zeros_like(weights), training=training)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    for [(w, b)], rows in zip(found, weights > 0, strict=True):
        theirs = linear_model.LogisticRegression(C=1 / (decay * rows.sum()), tol=1e-10, max_iter=5000)
        theirs.fit(z[rows], y[rows])
        scores = x @ w.T + b
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        assert np.abs(p - theirs.predict_proba(z)).max() < 2e-3


def test_a_head_learns_nothing_from_rows_that_are_not_its_own() -> None:
    x, y = blobs()
    own = (np.arange(len(x)) % 3 > 0).astype(float)
    goal = np.eye(4)[y]
    other = np.where(own[:, None] > 0, goal, goal[:, ::-1])
    training = HeadTraining(steps=40)
    first, second = (
        fit_heads(x, g, own[None], np.zeros((1, len(x))), (5,), training=training)[0] for g in (goal, other)
    )
    for (w, b), (v, c) in zip(first, second, strict=True):
        assert np.array_equal(w, v) and np.array_equal(b, c)


def test_steps_are_those_that_serve_rows_held_out_best() -> None:
    """Random labels: every step fits chance, so that few are taken; with true ones, many."""
    x, y = blobs()
    held = (np.arange(len(x)) % 2).astype(float)[None]
    size = {}
    for name, labels in (("true", y), ("random", np.random.default_rng(1).integers(0, 4, len(y)))):
        [layers] = fit_heads(x, np.eye(4)[labels], 1 - held, held, training=HeadTraining(weight_decay=0.0))
        size[name] = float(np.abs(layers[0][0] * x.std(axis=0)).sum())
    assert size["random"] < 0.5 * size["true"]


def test_errors_are_estimated() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (400, 5)).astype(np.float32)
    goal = 1e-3 * (x[:, :1] ** 2 + x[:, 1:2])
    one = np.ones((1, 400))
    [layers] = fit_heads(x, goal, one, 0 * one, (16,), True, HeadTraining(steps=600, weight_decay=1e-4))
    z = x
    for w, b in layers[:-1]:
        z = np.maximum(z @ w.T + b, 0)
    found = z @ layers[-1][0].T + layers[-1][1]
    assert np.corrcoef(found[:, 0], goal[:, 0])[0, 1] > 0.99
    assert np.abs(found - goal).mean() < 0.1 * goal.std()


def test_no_mixture_crosses_a_fold() -> None:
    x, y, _, _ = digits()
    bench = Bench(integers(), choose(integers(), "auto", 1), x[:90], y[:90], FEW)
    weights, held = bench.masks(True)
    assert weights.shape == (4, 90 + 90)
    assert (weights[0] > 0).all() and not held[0].any()
    assert (held[1:, :90].sum(axis=0) == 1).all() and not held[:, 90:].any()
    for fold in range(3):
        inside = bench.fold == fold
        assert 25 <= inside.sum() <= 35
        parents = inside[bench.mixed.parents].any(axis=0)
        assert not weights[1 + fold][np.append(inside, parents)].any()
        assert weights[1 + fold][~np.append(inside, parents)].all()
    assert not bench.masks(False)[0][:, 90:].any()
    for n, row in enumerate(bench.mixed.rows[:20]):
        a, b = x[bench.mixed.parents[:, n]]
        between = (row - a)[a != b] / (b - a)[a != b]
        assert between.size == 0 or (np.ptp(between) < 1e-4 and -1e-6 <= between[0] <= 0.5)


def test_the_networks_own_bits_stay() -> None:
    x = digits()[2][:100]
    plain, found = integers(), frozen().graph
    rows = input_rows(plain, x)[0]
    assert np.array_equal(run_all(plain, rows)[0], answers(found, rows).last)
    assert np.array_equal(run_all(plain, rows)[0], run_all(without_exits(found), rows)[0])
    kept = [(op.kind, op.name) for op in found.ops if not op.name.startswith("exit")]
    assert kept == [(op.kind, op.name) for op in plain.ops]
    costs = macs_by_exit(found)
    assert costs == sorted(costs) and costs[0] < macs_by_exit(plain)[0] < costs[-1]


def test_heads_tell_more_the_deeper_and_keep_what_they_promise_on_other_rows() -> None:
    _, _, x, y = digits()
    held, other = frozen().held, evidence_on(frozen().graph, x, y)
    by_exit = other.right.mean(axis=1)
    assert (by_exit > 0.75).all() and by_exit[-1] > 0.93
    assert np.abs(held.right.mean(axis=1)[:-1] - by_exit[:-1]).max() < 0.05
    costs = macs_by_exit(frozen().graph)
    found = calibrate(held, costs, 1.5)
    judged = judge(other, costs, found.confidence, found.thresholds)
    assert judged.cost < 0.9 * macs_by_exit(integers())[0] and judged.lost < 0.02
    graph = with_thresholds(frozen().graph, found)
    left = answers(graph, input_rows(graph, x)[0])
    way = left.left([e.threshold for e in graph.exits])
    assert judge_exits(graph, x, y).accuracy == pytest.approx(float((left.classes(way) == y).mean()))


def test_equal_arguments_give_equal_bits() -> None:
    x, y, _, _ = digits()
    points = choose(integers(), "auto", 1)
    first, second = (add_exits(integers(), points, x[:120], y[:120], FEW) for _ in range(2))
    for a, b in zip(first.graph.tensors, second.graph.tensors, strict=True):
        assert a.quantization == b.quantization and np.array_equal(a.data, b.data)  # type: ignore[arg-type]


def test_the_last_layer_is_trained_only_where_that_is_asked_for() -> None:
    _, _, x, y = digits()
    plain, found = integers(), frozen(final=True).graph
    at = last_dense(plain)
    [name] = [plain.ops[at].name]
    [layer] = [op for op in found.ops if op.name == name]
    assert not np.array_equal(
        found.tensors[layer.inputs[1]].data, plain.tensors[plain.ops[at].inputs[1]].data
    )  # type: ignore[arg-type]
    judged, before = evidence_on(found, x, y), evidence_on(frozen().graph, x, y)
    assert judged.right[-1].mean() > 0.93
    for ours, theirs in zip(judged.estimates, before.estimates, strict=True):
        assert np.array_equal(ours, theirs)


def test_a_detectors_heads_estimate_its_error(shared_data: Path) -> None:
    """Of the autoencoder on windows of a real machine's sound, half of them only judged on."""
    graph = load_model(shared_data / "mlperf_tiny" / "ad01_int8.tflite")
    raw = np.fromfile(next((shared_data / "mlperf_tiny").glob("*.bin")), np.float32).reshape(-1, 128)
    x = np.stack([raw[i : i + 5].reshape(-1) for i in range(len(raw) - 4)])
    x += hums(len(x))
    found = add_exits(graph, choose(graph, "auto", 2), x[::2], None, FrozenOptions(folds=4))
    chosen = calibrate(found.held, macs_by_exit(found.graph), 5.0, ["error"])
    graph = with_thresholds(found.graph, chosen)
    assert {e.confidence for e in graph.exits} == {"error"}
    rows = input_rows(graph, x[1::2])[0]
    last = real(run_all(graph, rows)[0], graph.tensors[graph.outputs[0]].quant)
    errors = ((last.reshape(len(rows), -1) - x[1::2]) ** 2).mean(axis=1)
    given = answers(graph, rows)
    for exit_, estimate in zip(graph.exits, given.exits, strict=True):
        said = real(estimate, graph.tensors[graph.outputs[exit_.estimate]].quant)
        assert np.corrcoef(said[:, 0, 0] if said.ndim == 3 else said[:, 0], errors)[0, 1] > 0.7
    judged = judge_exits_of(graph, x[1::2], chosen.normal)
    assert judged.cost < 0.9 * macs_by_exit(without_exits(graph))[0]
    assert judged.lost < 0.06


def hums(n: int) -> Any:
    """Faults: a tone of some loudness, mostly little, over all five frames of a window [n, 640]."""
    rng = np.random.default_rng(0)
    loud, at, width = 20 * rng.uniform(0, 1, n) ** 2, rng.uniform(0, 128, n), rng.uniform(3, 10, n)
    tone = np.exp(-0.5 * ((np.arange(128) - at[:, None]) / width[:, None]) ** 2)
    return np.tile(loud[:, None] * tone, 5).astype(np.float32)


def test_a_feature_that_hardly_changes_takes_no_integers_from_others() -> None:
    """Of 8 bits that a row of weights shares: one whose deviation is tiny, and one that is always the same."""
    x, y = blobs()
    x = np.concatenate(
        [x, np.full((len(x), 1), 7.0), 1e-5 * np.random.default_rng(0).normal(0, 1, (len(x), 1))], 1
    )
    one = np.ones((1, len(x)))
    [[(w, _)]] = fit_heads(x.astype(np.float32), np.eye(4)[y], one, 0 * one)
    assert not w[:, -2].any()
    assert np.abs(w[:, -1]).max() < 100 * np.abs(w[:, :-2]).max()


def judge_exits_of(graph: Graph, x: Any, normal: float | None) -> Any:
    evidence = evidence_on(graph, x, None, normal)
    return judge(evidence, macs_by_exit(graph), "error", [e.threshold for e in graph.exits])


@pytest.mark.parametrize(
    ("n", "labels", "said"),
    [
        (8, "own", r"8 rows for 10 classes"),
        (5, "own", r"5 rows for 10 classes"),
        (60, None, "need labels"),
        (60, "large", "label 10 of row"),
        (60, "fewer", "59 labels for 60 rows"),
    ],
)
def test_rows_that_do_not_fit_are_refused(n: int, labels: str | None, said: str) -> None:
    x, y, _, _ = digits()
    given: dict[str | None, Any] = {"own": y[:n], None: None, "large": y[:n] + 1, "fewer": y[: n - 1]}
    with pytest.raises(UserError, match=said):
        add_exits(integers(), choose(integers(), "auto", 1), x[:n], given[labels], FEW)


def test_float_graphs_are_refused() -> None:
    x, y, _, _ = digits()
    graph = digits_net()
    with pytest.raises(UserError, match="float graph"):
        add_exits(graph, choose(graph, "auto", 1), x[:60], y[:60], FEW)
    with pytest.raises(UserError, match="float graph"):
        evidence_on(graph, x, y)


@pytest.mark.soak
def test_keywords_by_a_frozen_network(shared_data: Path) -> None:
    """Heads, last layer and thresholds from one half of 500 real inputs, judged on the other; and halves swapped.

    Both bounds are printed; what is promised is what is observed with the looser one.
    """
    graph = load_model(shared_data / "mlperf_tiny" / "kws_ref_model.tflite")
    data = np.load(shared_data / "mlperf_tiny" / "kws01_first500.npz")
    x = real(data["x"].reshape(-1, 49, 10, 1), graph.tensors[graph.inputs[0]].quant)
    y, costs_of = data["y"].astype(np.int64), instructions_by_exit(boards.load("mps2_an386"))
    without = costs_of(graph)[0]
    for chosen, judged in ((slice(0, 250), slice(250, 500)), (slice(250, 500), slice(0, 250))):
        frozen = add_exits(graph, choose(graph, "auto"), x[chosen], y[chosen], FrozenOptions(final=True))
        costs = costs_of(frozen.graph)
        assert costs[-1] <= without * (1 + MACS_SHARE * len(frozen.graph.exits))
        evidence = evidence_on(frozen.graph, x[judged], y[judged])
        for lost_points in (2.0, 3.0):
            found = calibrate(frozen.held, costs, lost_points)
            result = judge(evidence, costs, found.confidence, found.thresholds)
            print(f"{lost_points:g}: {1 - result.cost / without:.1%} saved, {result}")
        assert result.cost <= 0.75 * without
        assert result.lost <= 0.02
