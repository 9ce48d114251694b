"""Students of one teacher and of several, beside the same students without one."""
# ruff: noqa: E402

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from offramp import ofg
from offramp.compress.quantize import quantize
from offramp.compress.train.distill import (
    distill,
    distillation,
    family,
    mean_logits,
    teacher_module,
)
from offramp.compress.train.module import to_module
from offramp.compress.training import Teaching, Training
from offramp.errors import UserError
from offramp.ir import Graph
from offramp.passes.rewrite import macs
from offramp.reference import run_all
from tests.float_nets import FloatNet, digits, digits_net, trained_digits

QUICK = Training(epochs=5, batch=32, threads=1, rate=0.05)
SHORT = Training(steps=4, batch=32, threads=1)


@pytest.fixture(scope="module")
def teacher() -> Graph:
    return replace(trained_digits(16), name="teacher")


def right(graph: Graph) -> float:
    _, _, x, y = digits()
    return float((run_all(graph, x)[0].argmax(axis=1) == y).mean())


def test_a_student_and_its_plain_counterpart(teacher: Graph) -> None:
    x, y, _, _ = digits()
    found = distill(digits_net(4), [teacher], x, y, QUICK, seed=2)
    print(
        f"digits: teacher {right(teacher):.4f}, distilled {right(found.graph):.4f}, plain {right(found.plain):.4f}"
    )
    assert right(found.graph) > 0.8 and right(found.plain) > 0.8
    assert len(found.history.epochs) == len(found.plain_history.epochs) == 5
    assert ofg.dump(found.graph) != ofg.dump(found.plain)


def test_features_and_an_ensemble(teacher: Graph) -> None:
    """The loss falls with features of other widths and sizes; an int8 teacher is one too."""
    x, y, _, _ = digits()
    teaching = Teaching(features={"add3": "conv_2d5", "mean7": "mean7"}, feature_weight=0.5)
    teachers = [teacher, quantize(teacher, x[:100])]
    training = Training(epochs=2, batch=32, threads=1, rate=0.05)
    found = distill(digits_net(4), teachers, x, y, training, teaching, seed=2)
    losses = [epoch.loss for epoch in found.history.epochs]
    assert losses[-1] < 0.85 * losses[0]


def test_scores_of_an_ensemble_are_the_mean(teacher: Graph) -> None:
    x = torch.from_numpy(digits()[0][:4])
    modules = [teacher_module(g) for g in (teacher, digits_net(4))]
    expected = sum(m.logits(x) for m in modules) / 2
    assert torch.allclose(mean_logits(modules, x), expected, atol=1e-6)


def test_a_family_of_one_teacher(teacher: Graph) -> None:
    x, y, _, _ = digits()
    found = family([digits_net(4), digits_net(8)], [teacher], x, y, SHORT, seed=1)
    assert [macs(member.graph) for member in found] == [macs(digits_net(8)), macs(digits_net(4))]


def test_equal_seeds_give_equal_bytes(teacher: Graph) -> None:
    x, y, _, _ = digits()
    teaching = Teaching(features={"add3": "add3"})

    def trained() -> list[bytes]:
        found = distill(digits_net(4), [teacher], x, y, SHORT, teaching)
        return [ofg.dump(g) for g in (found.graph, found.plain)]

    torch.manual_seed(1)
    one = trained()
    torch.manual_seed(2)
    assert trained() == one


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_loss_is_the_papers(teacher: Graph, temperature: float) -> None:
    """Against the definition in numpy."""
    x, y, _, _ = digits()
    student = to_module(digits_net(4)).eval()
    loss = distillation(student.graph, [teacher], Teaching(temperature, 0.6))
    found = loss(student, torch.from_numpy(x[:8]), torch.from_numpy(y[:8])).item()

    def scores(module: Any, t: float) -> Any:
        z = module.logits(torch.from_numpy(x[:8])).detach().double().numpy() / t
        return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)

    p, q = scores(teacher_module(teacher), temperature), scores(student, temperature)
    soft = (p * np.log(p / q)).sum(axis=1).mean()
    hard = -np.log(scores(student, 1)[np.arange(8), y[:8]]).mean()
    assert found == pytest.approx(0.6 * temperature**2 * soft + 0.4 * hard, rel=1e-4)


def test_a_teacher_that_does_not_fit_is_named(teacher: Graph) -> None:
    x, y, _, _ = digits()
    net = FloatNet(8, 8, 1)
    other = replace(net.graph(net.dense(net.mean(net.conv(0, 4)), 7)), name="other")
    with pytest.raises(UserError, match="teacher other has 7 classes, student net 10"):
        distill(digits_net(4), [teacher, other], x, y)
    wide = FloatNet(9, 8, 1)
    with pytest.raises(UserError, match=r"takes rows of \[9, 8, 1\], student net of \[8, 8, 1\]"):
        distill(digits_net(4), [wide.graph(wide.dense(wide.mean(wide.conv(0, 4)), 10))], x, y)
    with pytest.raises(UserError, match="no layer conv_9"):
        distill(digits_net(4), [teacher], x, y, teaching=Teaching(features={"conv_9": "add3"}))
    with pytest.raises(UserError, match="cannot be matched"):
        distill(digits_net(4), [teacher], x, y, teaching=Teaching(features={"mean7": "add3"}))
    with pytest.raises(UserError, match="no teacher"):
        distill(digits_net(4), [], x, y)
