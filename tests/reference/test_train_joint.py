"""A backbone and its exits trained together: who learns from whom, and what an exit on digits is worth."""
# ruff: noqa: E402

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from offramp.compress.exits.calibrate import calibrate, judge
from offramp.compress.exits.heads import MACS_SHARE, NEVER, POOLED, bytes_for_heads
from offramp.compress.exits.judging import evidence_on, macs_by_exit
from offramp.compress.exits.maps import CHANNELS, LARGE, map_cost, with_map_heads
from offramp.compress.exits.points import choose, op_macs
from offramp.compress.options import QuantizeOptions
from offramp.compress.quantize import quantize
from offramp.compress.recipe import load_recipe
from offramp.compress.train.joint import joint_loss, scores, train_jointly
from offramp.compress.train.module import to_module
from offramp.compress.train.qat import to_integer_module, to_integers, train_quantized
from offramp.compress.training import Shares, Training
from offramp.compress.variants import Workshop
from offramp.errors import UserError
from offramp.frontends import load_model
from offramp.ir import Graph
from offramp.ops.op import elements
from offramp.passes.rewrite import macs
from offramp.reference import run_all
from offramp.resources import root
from tests.float_nets import digits, digits_net, trained_digits

SHORT = Training(steps=4, batch=32, threads=1, validation=0.0)


def with_exits(graph: Graph, *at: str) -> Graph:
    return with_map_heads(graph, choose(graph, at or "auto"))


def first_layer(graph: Graph) -> str:
    return choose(graph, "auto")[0].layer


@pytest.fixture(scope="module")
def small() -> Graph:
    graph = digits_net(8)
    return with_exits(graph, first_layer(graph))


def gradients(module: Any, loss: Any) -> dict[str, float]:
    """Greatest gradient of each layer's weights, by the op's name."""
    x, y, _, _ = digits()
    loss(module, torch.from_numpy(x[:32]), torch.from_numpy(y[:32])).backward()
    return {op.name: float(layer.core.weight.grad.abs().max()) for op, layer in module.weighted()}


@pytest.mark.parametrize("integers", [False, True])
def test_each_layer_learns(small: Graph, integers: bool) -> None:
    module: Any = to_module(small)
    if integers:
        options = QuantizeOptions()
        module = to_integer_module(small, quantize(small, digits()[0][:64], options), options)
    found = gradients(module, joint_loss(small))
    assert any("exit1" in name for name in found) and any("exit1" not in name for name in found)
    assert all(g > 0 for g in found.values()), found


def test_an_exit_changes_what_is_before_it_alone(small: Graph) -> None:
    """The last answer teaches but does not learn: behind the exit gradients are those without exits."""
    plain = gradients(to_module(small), joint_loss(small, Shares(exits=0.0)))
    both = gradients(to_module(small), joint_loss(small, Shares(exits=1.0)))
    ops = [op.name for op in small.ops]
    end = max(i for i, name in enumerate(ops) if name.startswith("exit1"))
    before = {n for n in plain if ops.index(n) < end and not n.startswith("exit1")}
    assert before and all(plain[n] != both[n] for n in before)
    assert all(plain[n] == both[n] for n in plain if ops.index(n) > end)


def test_taught_by_a_teacher(small: Graph) -> None:
    x, y, _, _ = digits()
    module = to_module(small)
    given = module, torch.from_numpy(x[:32]), torch.from_numpy(y[:32])
    alone, taught = joint_loss(small), joint_loss(small, teachers=[trained_digits(16)])
    assert alone(*given).item() != taught(*given).item()


def test_scores_are_what_the_graph_computes(small: Graph) -> None:
    """Softmax of the scores, float and integer, against the reference."""
    x = digits()[2][:16]
    options = QuantizeOptions()
    integers = quantize(small, digits()[0][:64], options)
    for module, tolerance in ((to_module(small), 1e-5), (to_integer_module(small, integers, options), 0.02)):
        exit_answer, last = (s.detach().softmax(1).numpy() for s in scores(module, torch.from_numpy(x)))
        wanted = run_all(small, x) if tolerance < 1e-3 else []
        if not wanted:
            q = integers.tensors[integers.inputs[0]].quant
            rows = np.clip(np.rint(x / q.scale) + q.zero_point, -128, 127).astype(np.int8)
            wanted = [(a.astype(np.float32) + 128) / 256 for a in run_all(integers, rows)]
        assert (
            np.abs(last - wanted[0]).max() < tolerance and np.abs(exit_answer - wanted[1]).max() < tolerance
        )


def test_an_exit_on_digits() -> None:
    """Joint training keeps the accuracy; thresholds from one half of the rows save on the other."""
    start = time.monotonic()
    x, y, x_test, y_test = digits()
    graph = trained_digits(16)
    before = float((run_all(graph, x_test)[0].argmax(axis=1) == y_test).mean())
    points = choose(graph, first_layer(graph))
    training = Training(epochs=8, batch=32, rate=0.03, threads=1, validation=0.0)
    found = train_jointly(with_map_heads(graph, points), x, y, training)
    integers = quantize(found, x[:200])
    half = len(x_test) // 2
    costs = macs_by_exit(integers)
    chosen = calibrate(evidence_on(integers, x_test[:half], y_test[:half]), costs, 3.0)
    judged = judge(
        evidence_on(integers, x_test[half:], y_test[half:]), costs, chosen.confidence, chosen.thresholds
    )
    after = float((run_all(found, x_test)[0].argmax(axis=1) == y_test).mean())
    print(
        f"digits, exit at {points[0].share:.0%} of the MACs: {before:.4f} before, {after:.4f} after; {judged}; "
        f"{1 - judged.cost / costs[-1]:.0%} of the MACs saved; {time.monotonic() - start:.0f} s"
    )
    assert after > before - 0.01
    assert judged.cost < 0.8 * costs[-1] and judged.lost < 0.03


def test_with_the_integers_own_arithmetic(small: Graph) -> None:
    """Quantization-aware training takes the same loss; its graph keeps the exits and computes what the module does."""
    x, y, _, _ = digits()
    options = QuantizeOptions()
    integers = quantize(small, x[:64], options)
    graph, real, _ = train_quantized(small, integers, options, x, y, SHORT, joint_loss(small))
    assert graph.exits == small.exits == real.exits
    module = to_integer_module(real, to_integers(to_integer_module(real, graph, options)), options)
    rows = np.random.default_rng(0).integers(-128, 128, (8, 8, 8, 1)).astype(np.int8)
    for a, b in zip(module.integers(rows), run_all(module.graph, rows), strict=True):
        assert np.array_equal(a.ravel(), b.ravel())


def test_softmaxes_share_a_table(small: Graph) -> None:
    integers = quantize(small, digits()[0][:64])
    read = {integers.tensors[op.inputs[0]].quant for op in integers.ops if op.kind == "softmax"}
    assert len(integers.exits) == 1 and len(read) == 1


@pytest.mark.parametrize(
    "at", [("conv_2d_1",), ("add_4",), ("conv_2d_1", "add_4"), ("conv_2d_1", "add_4", "add_8")]
)
def test_heads_on_maps(at: tuple[str, ...]) -> None:
    """Within the budgets of MACs and bytes; what is built has the MACs and the weights that were planned."""
    graph = load_model(root() / "models" / "fashion_mnist" / "baseline.ofg")
    points = choose(graph, at)
    found = with_map_heads(graph, points)
    spent = 0
    for i, p in enumerate(points):
        ops = [op for op in found.ops if op.name.startswith(f"exit{i + 1}/")]
        kernels = [found.tensors[op.inputs[1]].shape for op in ops if op.kind == "conv_2d"]
        if kernels:
            cost = map_cost(graph, p, kernels[0][0])
            shape = graph.tensors[p.tensor].shape
            pooled = POOLED * elements(shape) if shape[1] >= LARGE else 0
            spent += cost[1]
            assert kernels[0][0] in CHANNELS and cost[0] <= MACS_SHARE * macs(graph)
            assert sum(op_macs(found, op) for op in ops) == cost[0] - pooled
    assert spent and spent <= bytes_for_heads(graph)
    assert len(found.exits) == len(points)


RECIPE = """
model = "{model}"
[data]
path = "digits"
divide = 16
[variant.exits]
steps = [
    {{ do = "joint", at = "{at}", epochs = 3, batch = 64, rate = 0.1 }},
    {{ do = "quantize", epochs = 1 }},
    {{ do = "exits", lost_points = 20 }},
]
"""


def test_steps_of_a_recipe(tmp_path: Path) -> None:
    """Trained jointly, with integers too, and thresholds chosen on the validation rows."""
    model = root() / "models" / "digits" / "digits.ofg"
    at = choose(load_model(model), "auto")[-1].layer
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.format(model=model, at=at))
    work = Workshop(load_recipe(path), threads=1).make("exits")
    [found] = work.result.exits
    print("; ".join(work.notes))
    assert found.name == at and found.threshold < NEVER
    assert "trained jointly for 3 epochs" in work.notes[0] and "epochs with integers" in work.notes[1]


def test_what_cannot_be_trained_jointly(small: Graph) -> None:
    with pytest.raises(UserError, match="no exits to train"):
        joint_loss(digits_net(8))
    x, y, _, _ = digits()
    with pytest.raises(UserError, match="classes"):
        train_jointly(small, x[:5], y[:5], SHORT)
