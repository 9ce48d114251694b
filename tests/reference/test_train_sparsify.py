"""Zeros in every pattern, accuracy beside them, and that they stay through quantization-aware training."""
# ruff: noqa: E402

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from offramp import ofg
from offramp.compress.options import QuantizeOptions
from offramp.compress.quantize import quantize
from offramp.compress.rounding import nearest
from offramp.compress.train.module import to_graph, to_module
from offramp.compress.train.qat import train_quantized
from offramp.compress.train.sparsify import KINDS, Masks, share_of_zeros, sparsify
from offramp.compress.training import TUNING, Training
from offramp.errors import UserError
from offramp.ir import Graph
from offramp.reference import run_all
from tests.float_nets import digits, digits_net, trained_digits

QUICK = Training(epochs=4, batch=32, threads=1, rate=0.05)


@pytest.fixture(scope="module")
def trained() -> Graph:
    return trained_digits(8, flat=True)


def right(graph: Graph) -> float:
    _, _, x, y = digits()
    t = graph.tensors[graph.inputs[0]]
    rows = x if t.dtype == "f32" else nearest(x, t.quant, t.dtype)
    return float((run_all(graph, rows)[0].argmax(axis=1) == y).mean())


def weights_of(graph: Graph) -> list[Any]:
    """[channels, taps] of each layer that is made sparse."""
    data = [graph.tensors[op.inputs[1]].data for op in graph.ops if op.kind in KINDS]
    return [np.asarray(d).reshape(len(d), -1) for d in data if d is not None]


def blocks(weights: Any, n: int) -> Any:
    return np.pad(weights, ((0, 0), (0, -weights.shape[1] % n))).reshape(len(weights), -1, n)


@pytest.mark.parametrize("everywhere", [False, True])
@pytest.mark.parametrize("pattern", ["unstructured", "1x4", "2:4", "1:4", "3:7"])
def test_patterns(pattern: str, everywhere: bool) -> None:
    """The masks alone, on random weights."""
    module = to_module(digits_net(8, flat=True))
    masks = Masks(module, 0.8, pattern, everywhere)
    for step in range(1, 21):
        masks.after_step(step, 20)
    weights = weights_of(to_graph(module))
    zeros = [float((w == 0).mean()) for w in weights]
    if ":" in pattern:
        left, group = map(int, pattern.split(":"))
        for w in weights:
            count = (blocks(w, group) != 0).sum(axis=2)
            assert (count <= left).all() and (count[:, : w.shape[1] // group] == left).all()
        return
    if pattern == "1x4":
        for w in weights:
            full = blocks(w, 4)[:, : w.shape[1] // 4]
            assert np.isin((full != 0).sum(axis=2), (0, 4)).all()
    if pattern == "1x4":
        zeros, weights = zeros[1:], weights[1:]  # nine taps are no blocks
    total = sum(z * w.size for z, w in zip(zeros, weights, strict=True)) / sum(w.size for w in weights)
    assert total == pytest.approx(0.8, abs=0.01)
    spread = max(zeros) - min(zeros)
    assert spread < 0.08 if everywhere else spread > 0.1


def test_small_weights_go_first() -> None:
    module = to_module(digits_net(8))
    before = weights_of(to_graph(module))
    masks = Masks(module, 0.5, "unstructured", True)
    masks.after_step(20, 20)
    for old, new in zip(before, weights_of(to_graph(module)), strict=True):
        gone, kept = np.abs(old[new == 0]), np.abs(old[new != 0])
        assert gone.max() <= kept.min() and np.array_equal(old[new != 0], new[new != 0])


@pytest.mark.parametrize(("pattern", "zeros"), [("unstructured", 0.8), ("1x4", 0.6), ("2:4", 0.5)])
def test_digits_keep_their_accuracy(trained: Graph, pattern: str, zeros: float) -> None:
    x, y, _, _ = digits()
    found, _ = sparsify(trained, x, y, zeros, pattern, training=QUICK)
    weights = weights_of(found)
    share = sum((w == 0).sum() for w in weights) / sum(w.size for w in weights)
    print(f"digits, {pattern} {share:.2%} zeros: {right(found):.4f}, dense {right(trained):.4f}, of 450")
    assert share >= zeros - 0.01
    assert right(found) >= right(trained) - 0.03


def test_zeros_stay_at_four_bits(trained: Graph) -> None:
    x, y, _, _ = digits()
    sparse, _ = sparsify(trained, x, y, 0.85, training=QUICK)
    options = QuantizeOptions(bits=4, per_group=False)
    integers = quantize(sparse, x[:200], options)
    tuning = Training(**{**vars(TUNING), "epochs": 2, "batch": 32, "threads": 1, "rate": 2e-3})
    found, real, _ = train_quantized(sparse, integers, options, x, y, tuning, zeros_stay=True)
    for a, b, c in zip(*map(weights_of, (sparse, real, found)), strict=True):
        assert np.array_equal(a == 0, b == 0) and not (c[a == 0]).any() and c.min() >= -8 and c.max() <= 7
        assert not np.array_equal(a, b)
    print(
        f"digits, 15 % at 4 bits: {right(integers):.4f}, trained {right(found):.4f}, float {right(sparse):.4f}"
    )
    assert right(found) >= right(sparse) - 0.02
    assert min(share_of_zeros(found).values()) > 0.3


def test_equal_seeds_give_equal_bytes(trained: Graph) -> None:
    x, y, _, _ = digits()
    quick = Training(steps=8, batch=32, threads=1, rate=0.03)
    one, two = (ofg.dump(sparsify(trained, x, y, 0.7, training=quick)[0]) for _ in range(2))
    assert one == two


@pytest.mark.parametrize("pattern", ["4:2", "2x4", "0:4", "dense"])
def test_unknown_patterns_are_named(pattern: str) -> None:
    x, y, _, _ = digits()
    with pytest.raises(UserError, match=f"pattern {pattern} is unknown"):
        sparsify(digits_net(4), x, y, pattern=pattern)
    with pytest.raises(UserError, match="share of 1 zeros"):
        sparsify(digits_net(4), x, y, 1.0)
