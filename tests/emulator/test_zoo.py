"""The zoo's artefacts: what the card says of them, and the figures that compression promises, measured again."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offramp import boards
from offramp.cli.card import card_rows, float_bytes
from offramp.compress.accuracy import accuracy, difference, input_rows
from offramp.compress.data import Data, Rows, Source, load_data
from offramp.exits import answers
from offramp.frontends import load_model
from offramp.ir import Graph
from offramp.pack import pack
from offramp.plan import Options
from offramp.reference import run_all
from offramp.resources import root
from offramp_host.emulated import outputs_on
from offramp_host.measure import measure

pytestmark = pytest.mark.emulator

ZOO = root() / "models" / "fashion_mnist"
CARD = {row["variant"]: row for row in json.loads((ZOO / "card.json").read_text())}
IDX = Path("/usr/share/datasets/fashion-mnist")
M4 = "mps2_an386"
# Whole blobs against the fp32 weights of the baseline, a tenth of the parameters or less at 4 bits: 1.25 % without
# anything else.
MOST_SHARE = {"small": 0.016, "sparse": 0.034}
MOST_LOST = 0.015
MOST_BITS = 0.52  # weight bytes of int4 against int8
HALF = 1.8  # times fewer instructions at half of the MACs


@cache
def graph(variant: str) -> Graph:
    return load_model(ZOO / ("baseline.ofg" if variant == "float" else f"{variant}.ofg"))


@cache
def few() -> Rows:
    images = np.load(ZOO / "test_images.npz")
    return Rows((images["x"].astype(np.float32) + 128) / 255, images["y"].astype(np.int64))


@cache
def all_rows() -> Rows:
    if not IDX.exists():
        pytest.skip("needs the Debian package dataset-fashion-mnist")
    data: Data = load_data(Source(str(IDX), 255), root())
    assert data.test is not None
    return data.test


@cache
def instructions(variant: str) -> int:
    target = boards.load(M4)
    found = measure(target, pack(graph(variant), target, options(variant))[1]).instructions_per_inference
    assert found is not None
    return found


def options(variant: str) -> Options:
    """The blob whose size is quoted is the one whose speed is."""
    if variant not in MOST_SHARE:
        return Options()
    return Options(flash_limit=int(MOST_SHARE[variant] * float_bytes(graph("float"))), names=False)


@pytest.mark.parametrize("variant", [name for name in CARD if name != "float"])
def test_the_card_tells_what_is_packed(variant: str) -> None:
    target = boards.load(M4)
    plan, blob = pack(graph(variant), target, Options())
    row = CARD[variant]
    assert (row["blob_bytes"], row["macs"]) == (len(blob), plan.macs)
    x = input_rows(graph(variant), few().x[:12])[0]
    expected = answers(graph(variant), x)
    left = expected.left([e.threshold for e in graph(variant).exits])
    wanted = [[*expected.exits, expected.last][exit_][i] for i, exit_ in enumerate(left)]
    found = outputs_on(target, blob, list(x))
    assert all(np.array_equal(a.ravel(), b.ravel()) for a, b in zip(found, wanted, strict=True))
    assert row["emulator_equal"] == "500 of 500"


@pytest.mark.soak
@pytest.mark.parametrize("variant", CARD)
def test_the_card_measured_again(variant: str) -> None:
    (found,) = card_rows(variant, graph(variant), all_rows(), [boards.load(M4)], Options())
    row: dict[str, Any] = vars(found)
    kept = CARD[variant] | {
        "instructions": {k: v for k, v in CARD[variant]["instructions"].items() if k == M4}
    }
    assert row == kept


def test_half_of_the_macs() -> None:
    ratio = instructions("int8") / instructions("half")
    print(f"int8 {instructions('int8'):,}, half {instructions('half'):,}: {ratio:.2f} times fewer on {M4}")
    assert ratio >= HALF


@pytest.mark.parametrize("variant", MOST_SHARE)
def test_a_tenth_of_the_parameters_at_four_bits(variant: str) -> None:
    whole = float_bytes(graph("float"))
    blob = pack(graph(variant), boards.load(M4), options(variant))[1]
    fast = pack(graph(variant), boards.load(M4), Options(optimize="speed"))[1]
    share = len(blob) / whole
    lost = CARD["float"]["accuracy"] - CARD[variant]["accuracy"]
    print(
        f"{variant}: {len(blob):,} of {whole:,} bytes, {share:.2%}; {100 * lost:.2f} points lost; "
        f"{instructions(variant):,} instructions; the fastest stream {len(fast):,} bytes"
    )
    assert share <= MOST_SHARE[variant]
    assert lost <= MOST_LOST


def test_weight_bytes_and_instructions_of_int4() -> None:
    """Of the whole networks: bytes as the blobs hold them, instructions on a Cortex-M4 with the dsp set."""
    small, whole = CARD["int4"], CARD["int8"]
    share = small["weight_bytes"] / whole["weight_bytes"]
    ratio = small["instructions"][M4] / whole["instructions"][M4]
    lost = CARD["float"]["accuracy"] - small["accuracy"]
    print(
        f"int4: {share:.1%} of int8's weight bytes, {ratio:.3f} of its instructions, {100 * lost:.2f} points lost"
    )
    assert share <= MOST_BITS
    assert ratio <= 1.15
    assert lost <= 0.01


@pytest.mark.soak
def test_nested_precision() -> None:
    """What the four-bit plan reads and costs, and the two together at the margin that validation rows chose."""
    found = graph("nested")
    (short,) = found.members
    x, y = all_rows().labelled("the test")
    whole, quick = accuracy(found, x, y), accuracy(short, x, y)
    scores = np.sort(run_all(short, input_rows(short, x)[0])[0].astype(int), axis=1)
    again = scores[:, -1] - scores[:, -2] < int(found.metadata["cascade_margin"])
    together = float(np.where(again, whole.right, quick.right).mean())
    target = boards.load(M4)
    plans = measure(target, pack(found, target)[1]).plans
    print(f"8 bits {whole}, 4 bits {quick} ({difference(whole, quick)}), together {together:.4f}")
    costs = [(p.name, p.instructions_per_inference, p.own_bytes + p.shared_bytes) for p in plans]
    print(f"{again.mean():.1%} of the rows run again; plans, instructions, bytes of constants: {costs}")
    assert together >= whole.value - 0.003
