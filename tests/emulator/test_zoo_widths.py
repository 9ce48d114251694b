"""The zoo's network of several widths: which width answers by the gate and by the margin, and what both save."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from offramp import boards
from offramp.blob import read
from offramp.build.blob_image import blob_image
from offramp.compress.accuracy import Accuracy, accuracy, difference, input_rows
from offramp.compress.cascade import judged_by_margin, margins, scores_of
from offramp.compress.gating import judged_by_gate, named, widths
from offramp.ir import CASCADE_MARGIN, Graph
from offramp.pack import pack
from offramp_host.device import Device
from offramp_host.emulator import Emulator
from offramp_host.measure import measure
from tests.emulator.test_zoo import M4, all_rows, few, graph

pytestmark = pytest.mark.emulator

SAVED = 0.2  # of the instructions of the width that is as accurate


@cache
def family() -> Graph:
    return graph("slim")


@cache
def costs() -> list[int]:
    """Instructions of each width, then of the gate."""
    found = measure(boards.load(M4), pack(family(), boards.load(M4))[1]).plans
    return [p.instructions_per_inference or 0 for p in found]


def by_margin(x: NDArray[np.float32]) -> NDArray[np.int64]:
    """The place of the width that answers each row: the narrowest, or where unsure the widest."""
    unsure = margins(scores_of(widths(family())[-1], x)) < int(family().metadata[CASCADE_MARGIN])
    return np.where(unsure, 0, len(widths(family())) - 1)


@pytest.mark.parametrize("count", [16, pytest.param(500, marks=pytest.mark.soak)])
@pytest.mark.parametrize("policy", ["gate", "cascade"])
def test_the_board_takes_the_width_that_the_reference_takes(policy: str, count: int, tmp_path: Path) -> None:
    x = (few() if count <= 200 else all_rows()).x[:count]
    answering = named(family().members[-1], x) if policy == "gate" else by_margin(x)
    wanted = [scores_of(g, x) for g in widths(family())]
    target, blob = boards.load(M4), tmp_path / "slim.ofr"
    blob.write_bytes(pack(family(), target)[1])
    image = blob_image(read(blob.read_bytes(), blob), target, tmp_path / "image.elf", linked=blob)
    with Emulator(target, image.elf, timeout_s=600) as emulator, Device(emulator.url) as device:
        device.set_policy("gate" if policy == "gate" else "cascade")
        found = list(device.stream([[row[None]] for row in input_rows(family(), x)[0]]))
    assert [r.plan for r in found] == list(answering)
    assert len(set(answering)) > 1
    for i, result in enumerate(found):
        np.testing.assert_array_equal(result.outputs[0].ravel(), wanted[answering[i]][i])


def told(name: str, found: Accuracy, mean: float) -> tuple[Accuracy, float]:
    print(f"{name}: {found}, {mean:,.0f} instructions")
    return found, mean


@pytest.mark.soak
def test_unsure_answers_asked_of_the_widest_save_a_fifth() -> None:
    """Against the cheapest fixed width that is not less accurate, within one standard error of the difference."""
    x, y = all_rows().labelled("the test")
    *of_widths, of_gate = costs()
    fixed = [
        told(g.name, accuracy(replace(g, members=()), x, y), cost)
        for g, cost in zip(widths(family()), of_widths, strict=True)
    ]
    gated, shares = judged_by_gate(family(), x, y)
    told("by the gate", gated, float(np.dot(shares, of_widths)) + of_gate)
    found, again = judged_by_margin(family(), x, y)
    _, mean = told("by the margin", found, of_widths[-1] + again * of_widths[0])
    gaps = [difference(found, right) for right, _ in fixed]
    equal = [cost for gap, (_, cost) in zip(gaps, fixed, strict=True) if gap.value >= -gap.stderr]
    print(f"the width of equal accuracy takes {min(equal):,.0f}: {1 - mean / min(equal):.1%} saved")
    assert mean <= (1 - SAVED) * min(equal)
