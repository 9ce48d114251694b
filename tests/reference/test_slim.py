"""Several widths trained over one set of weights, and a gate that picks one, on the built-in digits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")

from offramp import boards
from offramp.compress.accuracy import accuracy, input_rows
from offramp.compress.cascade import cascaded, judged_by_margin
from offramp.compress.recipe import load_recipe
from offramp.compress.train.fit import predict
from offramp.compress.train.module import to_module
from offramp.compress.train.slim import slim
from offramp.compress.training import Training
from offramp.compress.variants import Work, Workshop
from offramp.errors import UserError
from offramp.ir import CASCADE_MARGIN, GATE, Graph
from offramp.ops.slices import is_part
from offramp.pack import pack
from offramp.reference import run_all
from tests import float_nets

RECIPE = """
model = "net.ofg"
[data]
path = "digits"
divide = 16
[variant.slim]
steps = [
    {do = "slim", widths = [1, 0.5, 0.25], epochs = 8, rate = 0.1, batch = 32},
    {do = "quantize", rows = 200},
    {do = "gate", lost_points = 2, rows = 1000},
    {do = "cascade", lost_points = 0.5},
]
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    from offramp import ofg

    folder = tmp_path_factory.mktemp("slim")
    (folder / "net.ofg").write_bytes(ofg.dump(network()))
    (folder / "recipe.toml").write_text(RECIPE)
    return Workshop(load_recipe(folder / "recipe.toml"), threads=1)


@pytest.fixture(scope="module")
def made(shop: Workshop) -> Work:
    return shop.make("slim")


def network() -> Graph:
    return float_nets.digits_net(16)


def widths_of(graph: Graph) -> list[Graph]:
    """Without the gate."""
    members = [m for m in graph.members if m.name != graph.metadata.get(GATE)]
    return [replace(g, members=()) for g in (graph, *members)]


def test_every_width_learns(shop: Workshop, made: Work) -> None:
    test = shop.data.judged
    x, y = test.labelled("the test")
    found = [accuracy(g, x, y).value for g in widths_of(made.result)]
    assert len(found) == 3 and found[0] > 0.9 and found[1] > 0.88 and found[2] > 0.7


def test_integers_of_the_narrower_are_the_first_of_the_widest(made: Work) -> None:
    widest, *narrow = widths_of(made.result)
    for graph in narrow:
        for a, b in zip(widest.ops, graph.ops, strict=True):
            if a.kind in ("conv_2d", "fully_connected"):
                whole, part = widest.tensors[a.inputs[1]], graph.tensors[b.inputs[1]]
                assert whole.data is not None and part.data is not None
                assert is_part(part.data, whole.data) and part.storage == "widest"


def test_the_gate_saves_and_keeps_what_was_asked(shop: Workshop, made: Work) -> None:
    *_, gate = made.result.members
    assert gate.name == made.result.metadata[GATE]
    rows = shop.data.validation
    x, y = rows.labelled("the test")
    named = run_all(gate, input_rows(gate, x)[0])[0].reshape(len(x), -1).argmax(axis=1)
    right = np.stack([right_of(g, x, y) for g in widths_of(made.result)], axis=1)
    assert right[np.arange(len(x)), named].mean() >= right[:, 0].mean() - 0.02
    assert (named != 0).mean() > 0.2


def test_the_cascade_takes_the_least_margin_that_keeps_what_was_asked(shop: Workshop, made: Work) -> None:
    """Worked out again row by row."""
    x, y = shop.data.validation.labelled("the test")
    widest, _, narrowest = widths_of(made.result)
    right, right_narrow = right_of(widest, x, y), right_of(narrowest, x, y)
    scores = run_all(narrowest, input_rows(narrowest, x)[0])[0].reshape(len(x), -1).astype(int)
    margin = int(made.result.metadata[CASCADE_MARGIN])

    def share(below: int) -> float:
        good = 0
        for i, row in enumerate(scores):
            second, first = sorted(row)[-2:]
            good += bool(right[i] if first - second < below else right_narrow[i])
        return good / len(x)

    assert margin > 0 and share(margin) >= right.mean() - 0.005 > share(margin - 1)
    found, again = judged_by_margin(made.result, x, y)
    assert found.value == share(margin)
    top = np.sort(scores, axis=1)
    assert again == (top[:, -1] - top[:, -2] < margin).mean()


def test_a_cascade_of_one_is_refused(shop: Workshop, made: Work) -> None:
    alone = replace(made.result, members=(), metadata={})
    with pytest.raises(UserError, match="holds one graph, a cascade wants two"):
        cascaded(alone, shop.data.validation, 1.0)
    twice = replace(alone, members=(replace(alone, name="other"),))
    with pytest.raises(UserError, match=r"no member takes fewer MACs than its \d"):
        cascaded(twice, shop.data.validation, 1.0)


def right_of(graph: Graph, x: NDArray[np.float32], y: NDArray[np.int64]) -> NDArray[np.bool_]:
    found = run_all(graph, input_rows(graph, x)[0])[0].reshape(len(x), -1).argmax(axis=1)
    return np.asarray(found == y)


def test_the_blob_holds_the_weights_once(made: Work) -> None:
    plan, _ = pack(made.result, boards.load("mps2_an386"))
    shared = [t.tensor.bytes for t in plan.tensors if t.memory == "constant"]
    weights = sum(
        made.result.tensors[op.inputs[1]].bytes
        for op in made.result.ops
        if op.kind in ("conv_2d", "fully_connected")
    )
    assert plan.gate == 4 and sum(shared) <= weights + 200
    assert any("gate" in p.name for p in plan.every)


def test_float_widths_compute_what_was_trained(shop: Workshop) -> None:
    x, y = shop.data.train.x[:64], shop.data.train.y[:64]
    family, _ = slim(network(), x, y, (1.0, 0.5), Training(steps=4, threads=1, batch=16, validation=0.0))
    scores = predict(to_module(family.members[0]), x)
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(run_all(family.members[0], x)[0].reshape(64, -1), shares, atol=1e-3)


@pytest.mark.parametrize("widths", [(), (1.0,), (0.5, 0.25), (1.0, 0.5, 0.5), (1.0, 0.0), (1.0, -0.5)])
def test_widths_that_do_not_fall_from_one_are_refused(shop: Workshop, widths: tuple[float, ...]) -> None:
    with pytest.raises(UserError, match="widths"):
        slim(network(), shop.data.train.x, shop.data.train.y, widths)


def test_steps_out_of_order_are_refused(tmp_path: Path, shop: Workshop) -> None:
    text = RECIPE.replace('{do = "quantize", rows = 200},', "").replace("epochs = 8", "epochs = 0.1")
    (tmp_path / "net.ofg").write_bytes((shop.recipe.folder / "net.ofg").read_bytes())
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(UserError, match="gate stands before quantize"):
        Workshop(load_recipe(tmp_path / "recipe.toml"), threads=1).make("slim")
