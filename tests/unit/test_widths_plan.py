"""Families of several widths: the blob holds the weights once, and what each width has of its own is small."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from offramp import boards, ofg
from offramp.blob import read, write
from offramp.errors import UserError
from offramp.ir import Graph
from offramp.pack import pack
from offramp.plan import Options, Plan, make_plan
from offramp.plan.widest import with_widest
from tests.slim_family import Layers, gated_family, slim_family

BOARDS = ("posix", "mps2_an385", "mps2_an386", "rv32_virt")
LARGE: Layers = (((3, 3), 2, 1, "same", "relu", 32), ((3, 3), 1, 1, "same", "relu", 64))


def constants_of(plan: Plan) -> set[int]:
    """Offsets of constant tensors."""
    return {t.offset for t in plan.tensors if t.memory == "constant"}


@pytest.mark.parametrize("board", BOARDS)
def test_all_plans_read_the_same_wide_weights(board: str) -> None:
    family = slim_family(layers=LARGE)
    plan = make_plan(family, boards.load(board))
    first, *others = (constants_of(p) for p in plan.every)
    assert len(first) == len(LARGE) + 1 and all(other == first for other in others)
    weights = sum(t.tensor.bytes for t in plan.tensors if t.memory == "constant")
    int8 = sum(family.tensors[op.inputs[1]].bytes for op in family.ops if len(op.inputs) > 1)
    assert int8 <= weights <= int8 + 200  # words are filled up
    apart = len(plan.constants) - weights
    assert apart < 4 * 40 * (32 + 64 + 7)  # bias, multiplier and shift, and fixed fields of three steps


def test_sharing_saves_what_the_narrower_widths_weights_take() -> None:
    family = slim_family(layers=LARGE)
    board = boards.load("mps2_an386")
    alone = [make_plan(replace(g, members=()), board) for g in (family, *family.members)]
    assert len(make_plan(family, board).constants) < 1.35 * len(alone[0].constants)
    assert sum(len(p.constants) for p in alone) > 1.8 * len(alone[0].constants)


def test_passes_leave_channels_that_others_read() -> None:
    family = slim_family()
    dead = family.tensors[family.ops[0].inputs[1]].data
    assert dead is not None
    plan, _ = pack(
        with_weights(family, 0, np.where(np.arange(16) < 2, 0, 1).reshape(-1, 1, 1, 1) * dead), BOARD
    )
    assert [p.steps[0].macs for p in plan.every] == [p.steps[0].macs for p in make_plan(family, BOARD).every]


BOARD = boards.load("mps2_an386")


def with_weights(graph: Graph, layer: int, data: np.ndarray) -> Graph:
    """Of every width, the first ones."""

    def changed(g: Graph) -> Graph:
        i = g.ops[layer].inputs[1]
        shape = g.tensors[i].shape
        part = np.ascontiguousarray(data[: shape[0], ..., : shape[-1]]).astype(np.int8)
        tensors = (*g.tensors[:i], replace(g.tensors[i], data=part), *g.tensors[i + 1 :])
        return replace(g, tensors=tensors)

    return replace(changed(graph), members=tuple(map(changed, graph.members)))


def test_weights_that_are_no_part_are_refused() -> None:
    family = slim_family((1.0, 0.5))
    [narrow] = family.members
    i = narrow.ops[1].inputs[1]
    data = narrow.tensors[i].data
    assert data is not None
    other = replace(narrow.tensors[i], data=-data)
    wrong = replace(narrow, tensors=(*narrow.tensors[:i], other, *narrow.tensors[i + 1 :]))
    with pytest.raises(
        UserError, match=r"width_50: weights w1 .* are not the first ones of those of width_100"
    ):
        make_plan(replace(family, members=(wrong,)), BOARD)


def test_numbers_that_dsp_does_not_take_are_served_by_generic() -> None:
    family = slim_family((1.0, 0.5), LARGE)
    i = family.ops[1].inputs[1]
    scales = tuple(s * 1e6 for s in family.tensors[i].quant.scales)
    tensor = replace(family.tensors[i], quantization=replace(family.tensors[i].quant, scales=scales))
    large = replace(family, tensors=(*family.tensors[:i], tensor, *family.tensors[i + 1 :]))
    plan = make_plan(large, BOARD)
    assert [p.steps[1].kernel.name for p in plan.every] == ["conv_2d_slice"] * 2
    assert [p.steps[1].kernel.set for p in plan.every] == ["generic"] * 2
    assert constants_of(plan) == constants_of(plan.members[0])


def test_the_graph_file_keeps_the_mark() -> None:
    family = slim_family((1.0, 0.5))
    again = ofg.load(ofg.dump(family), "x")
    assert [t.storage for t in again.members[0].tensors] == [t.storage for t in family.members[0].tensors]
    assert with_widest(again, ("generic",)).tensors[-1].name.endswith("/wide")


def test_generic_kernels_when_asked_for() -> None:
    plan = make_plan(slim_family(), BOARD, Options(kernels="generic"))
    assert {s.kernel.set for p in plan.every for s in p.steps} == {"generic"}


def test_the_gate_shares_the_first_layer_and_keeps_its_inputs() -> None:
    plan = make_plan(gated_family(), BOARD)
    assert plan.gate == 5 and plan.every[4].steps[0].params == plan.every[3].steps[0].params
    blob = read(write(plan), "x")
    assert (blob.gate, blob.format) == (5, "1.3")
    [source] = plan.every[4].inputs
    place = plan.every[4].tensors[source]
    others = [t for i, t in enumerate(plan.every[4].tensors) if t.memory == "arena" and i != source]
    assert all(
        t.offset >= place.offset + place.tensor.bytes or t.offset + t.tensor.bytes <= place.offset
        for t in others
    )


@pytest.mark.parametrize("what", ["first", "scores"])
def test_a_gate_that_cannot_choose_is_refused(what: str) -> None:
    family = gated_family()
    *others, gate = family.members
    members = (gate, *others) if what == "first" else (*others[:-1], gate)
    with pytest.raises(UserError, match="the gate gate is member"):
        make_plan(replace(family, members=tuple(members)), BOARD)
