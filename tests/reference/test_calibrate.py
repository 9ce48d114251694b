"""Calibration: ranges against what numpy computes, and rows that cannot serve."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.typing import NDArray

from offramp.compress.calibrate import Histogram, calibrate, mse_range, percentile_range
from offramp.errors import UserError
from offramp.ops.mul import Mul
from offramp.reference import run_rows
from tests.float_layers import FloatNet, one_layer, random_float_net, rows_of


def filled(values: NDArray[np.float32], parts: int) -> Histogram:
    found = Histogram()
    for part in np.array_split(values, parts):
        found.add(part)
    return found


@pytest.mark.parametrize("parts", [1, 7])
@pytest.mark.parametrize("spread", [1e-6, 1.0, 3e4])
def test_ranges_of_a_normal_distribution(spread: float, parts: int) -> None:
    values = (np.random.default_rng(3).normal(size=20000) * spread).astype(np.float32)
    found = filled(values, parts)
    assert found.span == (values.min(), values.max())
    assert found.counts.sum() == len(values)
    low, high = percentile_range(found, 99)
    assert np.allclose([low, high], np.percentile(values, [1, 99]), atol=0.01 * spread)


@pytest.mark.parametrize("seed", range(3))
def test_mse_beats_minmax_where_there_are_outliers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(size=5000), [40, -25]]).astype(np.float32)

    def error(low: float, high: float) -> float:
        scale = (high - low) / 255
        return float(((np.rint(np.clip(values, low, high) / scale) * scale - values) ** 2).mean())

    found = mse_range(filled(values, 2))
    grid = [error(-25 * a, 40 * b) for a in np.linspace(0.05, 1, 30) for b in np.linspace(0.05, 1, 30)]
    assert error(*found) < 1.1 * min(grid)
    assert error(*found) < error(-25, 40)


def test_minmax_is_of_every_activation() -> None:
    graph = random_float_net(1)
    x = rows_of(graph, 100)
    found = calibrate(graph, x, method="minmax")
    parts = list(run_rows(graph, x, every=True))
    assert set(found.of) == set(parts[0])
    for index, (low, high) in found.of.items():
        values = np.concatenate([part[index].reshape(-1) for part in parts])
        assert (low, high) == (min(values.min(), 0), max(values.max(), 0))
    assert found.rows == 100 and not found.warnings


def test_outputs_are_never_clipped() -> None:
    graph = one_layer("softmax")
    x = rows_of(graph, 100)
    logits = graph.ops[-1].inputs[0]
    whole, some = (calibrate(graph, x, method=m, percentile=90) for m in ("minmax", "percentile"))
    assert whole.of[logits] == some.of[logits]
    assert whole.of[graph.inputs[0]] != some.of[graph.inputs[0]]


def test_a_dead_layer_is_told_and_the_rest_goes_on() -> None:
    net = FloatNet()
    source = net.tensor((1, 4, 4, 2))
    low = net.op("mul", (net.op("relu", (source,)), net.tensor((2,), -np.ones(2))), Mul("relu"))
    graph = net.graph([source], [net.conv(low, 3)])
    found = calibrate(graph, rows_of(graph, 40))
    assert any(f"tensor {graph.tensors[low].name} is 0 in all 40 rows" in text for text in found.warnings)


def test_few_rows_are_told() -> None:
    graph = one_layer("relu")
    assert "calibrated on 3 rows only" in calibrate(graph, rows_of(graph, 3)).warnings[0]


X = rows_of(one_layer("relu"), 40)
BROKEN = X.copy()
BROKEN[17, 2, 3, 1] = np.nan
REFUSED = {
    "none": (X[:0], "no calibration rows"),
    "nan": (BROKEN, "tensor t0 is nan in calibration row 17"),
    "infinite": (np.where(np.isnan(BROKEN), np.inf, BROKEN), "tensor t0 is inf in calibration row 17"),
    "constant": (np.full_like(X, 2.5), "input t0 are 2.5 throughout"),
    "equal rows": (np.repeat(X[:1], 5, 0), "all 5 calibration rows of input t0 are equal"),
    "shape": (X[:, :3], "rows of input t0 are float32 [3, 5, 3], the model takes [6, 5, 3]"),
    "order": (X.swapaxes(1, 2), "rows of input t0 are float32 [5, 6, 3], the model takes [6, 5, 3]"),
    "type": (X.astype(str), "the model takes [6, 5, 3]"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_rows_that_cannot_serve(name: str) -> None:
    rows, message = REFUSED[name]
    with pytest.raises(UserError, match=re.escape(message)) as error:
        calibrate(one_layer("relu"), rows)
    assert error.value.hint


def test_rows_in_other_orders() -> None:
    """Channels-first, flat, and with an axis of length 1 in another place."""
    graph = one_layer("relu")
    for rows in (X, X.transpose(0, 3, 1, 2), X.reshape(40, -1), X[:, None]):
        assert calibrate(graph, rows).of == calibrate(graph, X).of


def test_overflow_inside_names_the_tensor() -> None:
    net = FloatNet()
    source = net.tensor((1, 6, 5, 3))
    square = net.op("mul", (source, source), Mul())
    graph = net.graph([source], [square])
    x = X.copy()
    x[30] *= 1e30
    message = f"tensor {graph.tensors[square].name} is inf in calibration row 30"
    with np.errstate(all="ignore"), pytest.raises(UserError, match=message):
        calibrate(graph, x)


def test_other_refusals() -> None:
    with pytest.raises(UserError, match="rows for 2 inputs, the model has 1"):
        calibrate(one_layer("relu"), X, X)
    with pytest.raises(UserError, match="method kl is unknown"):
        calibrate(one_layer("relu"), X, method="kl")
