"""Several widths over one set of weights: bits of the reference on every kind of core, at what the sharing costs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from offramp import boards
from offramp.blob import read, write
from offramp.build.blob_image import blob_image
from offramp.ir import Graph
from offramp.pack import pack
from offramp.plan import Plan
from offramp.reference import Reference
from offramp_host.device import Device, RefusedError
from offramp_host.emulator import Emulator
from tests.slim_family import SIZE, Layers, gated_family, slim_family

pytestmark = pytest.mark.emulator

ROWS = 3
ODD: Layers = (((2, 3), 1, 1, "same", "relu", 5), ((1, 1), 1, 1, "valid", "relu", 9))
FAMILIES = {
    "usual": slim_family(),
    "thirds": slim_family((1.0, 0.66, 0.34), seed=2, step=12),
    "odd": slim_family((1.0, 0.6), ODD, seed=3, step=1),
    "odd outputs": slim_family((1.0, 0.5), (((3, 3), 1, 1, "same", "none", 8),), seed=4),
}


def outputs_on(family: Graph, board_name: str, folder: Path) -> list[list[NDArray[np.int8]]]:
    """Of every plan for each row."""
    with running(pack(family, boards.load(board_name))[0], board_name, folder) as device:
        plans = range(1 + len(family.members))
        return [[device.run(row, plan=plan).outputs[0] for row in inputs()] for plan in plans]


@contextmanager
def running(plan: Plan, board_name: str, folder: Path) -> Iterator[Device]:
    board, path = boards.load(board_name), folder / "widths.ofr"
    path.write_bytes(write(plan))
    image = blob_image(read(path.read_bytes(), path), board, folder / "image.elf", linked=path)
    with (
        Emulator(board, image.elf, timeout_s=120) as emulator,
        Device(emulator.url, timeout_s=30) as device,
    ):
        yield device


def inputs(n: int = ROWS) -> NDArray[np.int8]:
    return np.random.default_rng(5).integers(-128, 128, (n, 1, SIZE, SIZE, 1)).astype(np.int8)


@pytest.mark.parametrize("board", ["posix", "mps2_an386"])
def test_the_gate_names_the_plan_that_answers(board: str, tmp_path: Path) -> None:
    family, rows = gated_family(), inputs(16)
    *widths, gate = (replace(g, members=()) for g in (family, *family.members))
    named = [int(Reference(gate).run([row])[0].argmax()) for row in rows]
    assert len(set(named)) > 1
    plan = stated(pack(family, boards.load(board))[0])
    with running(plan, board, tmp_path) as device:
        device.set_policy("gate")
        for row, width in zip(rows, named, strict=True):
            found = device.run(row)
            assert (found.plan, found.plans_run) == (width, 2)
            np.testing.assert_array_equal(found.outputs[0], Reference(widths[width]).run([row])[0])
        assert device.statistics().plan_runs == (*(named.count(i) for i in range(4)), 16)
        assert device.set_policy("budget", 230).plan == 3
        with pytest.raises(RefusedError, match=r"LINK_E_BUDGET.*225"):
            device.set_policy("budget", 200)  # the gate takes less, and gives no answer
        device.set_policy("cascade", 255)
        assert device.run(rows[0]).plans_run == 4
        device.set_policy("plan", 1)
        assert device.run(rows[0]).plan == 1


def stated(plan: Plan) -> Plan:
    """With the figures that policies go by, the same on every board; the gate is the cheapest."""
    members = (replace(p, instructions=900 >> i) for i, p in enumerate(plan.members))
    return replace(plan, instructions=2000, members=tuple(members))


def test_a_blob_without_a_gate_refuses_the_policy(tmp_path: Path) -> None:
    plan, _ = pack(FAMILIES["thirds"], boards.load("posix"))
    with running(plan, "posix", tmp_path) as device, pytest.raises(RefusedError, match="LINK_E_GATE"):
        device.set_policy("gate")


@pytest.mark.parametrize("board", ["posix", "mps2_an386", "mps2_an385", "rv32_virt"])
@pytest.mark.parametrize("name", FAMILIES)
def test_every_width_gives_the_references_bits(board: str, name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    found = outputs_on(family, board, tmp_path)
    for graph, outputs in zip((family, *family.members), found, strict=True):
        reference = Reference(replace(graph, members=()))
        for row, output in zip(inputs(), outputs, strict=True):
            np.testing.assert_array_equal(output, reference.run([row])[0], f"{name} {graph.name}")
