"""Ensembles: the merged graph's outputs are the mean of its members' to one rounding."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from offramp import boards, ofg
from offramp.compress.accuracy import input_rows, outputs
from offramp.compress.dequantize import dequantize
from offramp.compress.ensemble import ensemble
from offramp.compress.options import IMAGE, QuantizeOptions
from offramp.compress.quantize import quantize
from offramp.errors import UserError
from offramp.ir import Graph
from offramp.pack import pack
from offramp.reference import run_all
from tests.float_layers import FloatNet, random_float_net, rows_of
from tests.pipeline import differing, outputs_on, pack_and_build, shaped


def scores(seed: int, classes: int = 5) -> Graph:
    """A net that ends in scores, not probabilities."""
    net = FloatNet(seed)
    source = net.tensor((1, 6, 7, 3))
    return net.graph([source], [net.dense(net.conv(source, 4, 3, activation="relu"), classes)])


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("kind", ["probabilities", "scores"])
def test_output_is_the_mean(kind: str, count: int) -> None:
    make = random_float_net if kind == "probabilities" else scores
    x = rows_of(make(0), 40)
    options = QuantizeOptions(inputs={"t0": IMAGE})
    members = [quantize(make(seed), x, options) for seed in range(count)]
    merged = ensemble(members)
    expected = np.mean([outputs(member, x)[0] for member in members], axis=0)
    off = np.abs(outputs(merged, x)[0] - expected).max() / merged.tensors[merged.outputs[0]].quant.scale
    assert off <= (0.51 if kind == "probabilities" else 1.01)  # scores are brought to one scale before


def test_inputs_of_other_scales_are_requantized() -> None:
    x = rows_of(scores(0), 40)
    members = [quantize(scores(seed), x * (1 + 0.3 * seed)) for seed in range(3)]
    merged = ensemble(members)
    assert [op.kind for op in merged.ops if op.inputs == (0,)] == ["quantize", "quantize"]
    expected = np.mean([outputs(member, x)[0] for member in members], axis=0)
    off = np.abs(outputs(merged, x)[0] - expected).max() / merged.tensors[merged.outputs[0]].quant.scale
    assert off <= 3


def test_equal_input_scales_cost_no_op() -> None:
    x = rows_of(scores(0), 40)
    options = QuantizeOptions(inputs={"t0": IMAGE})
    merged = ensemble([quantize(scores(seed), x, options) for seed in range(2)])
    sources = [op for op in merged.ops if op.inputs[0] == 0]
    assert [op.kind for op in sources] == ["conv_2d", "conv_2d"]


def test_one_plan_and_equal_on_the_host(tmp_path: Path) -> None:
    x = rows_of(scores(0), 40)
    merged = ensemble([quantize(scores(seed), x) for seed in range(2)], "pair")
    plan, _ = pack(merged, boards.load("mps2_an386"))
    assert plan.name == "pair"
    path = tmp_path / "pair.ofg"
    path.write_bytes(ofg.dump(merged))
    packed = pack_and_build(path, "posix", "auto", tmp_path)
    q = input_rows(merged, x[:8])[0]
    expected = [[row[None]] for row in run_all(merged, q)[0]]
    assert not differing(outputs_on(packed, shaped(merged, q)), expected)


def test_an_ensemble_can_be_dequantized() -> None:
    x = rows_of(scores(0), 40)
    merged = ensemble([quantize(scores(seed), x) for seed in range(2)])
    real = dequantize(merged)
    scale = merged.tensors[merged.outputs[0]].quant.scale
    assert np.abs(outputs(real, x)[0] - outputs(merged, x)[0]).max() < 6 * scale


def test_graphs_that_do_not_fit() -> None:
    x = rows_of(scores(0), 40)
    one = quantize(scores(0), x)
    with pytest.raises(UserError, match="an ensemble of 1 graphs"):
        ensemble([one])
    with pytest.raises(UserError, match="net is a float graph"):
        ensemble([one, scores(1)])
    other = replace(quantize(scores(1, 6), x), name="six")
    with pytest.raises(UserError, match="six has the outputs"):
        ensemble([one, other])
