"""Plans of a family: what members must have in common, one place for inputs, shared constants, limits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offramp import boards
from offramp.blob import read, write
from offramp.errors import UserError
from offramp.ir import Graph, Op, Quantization, Tensor
from offramp.ops.add import Add
from offramp.pack import pack
from offramp.plan import Options, make_plan
from offramp.plan.arena import NOWHERE, Buffer, aligned, place, together
from offramp_host.certify import certify
from tests.families import family

AN386 = boards.load("mps2_an386")
Placed = tuple[list[Buffer], int]


def members_alone(graph: Graph) -> list[Graph]:
    return [replace(member, members=()) for member in (graph, *graph.members)]


def changed(graph: Graph, index: int, **fields: object) -> Graph:
    tensors = list(graph.tensors)
    tensors[index] = replace(tensors[index], **fields)  # type: ignore[arg-type]
    return replace(graph, tensors=tuple(tensors))


@pytest.mark.parametrize(
    "names", [("large", "medium", "small"), ("small", "large", "medium"), ("medium", "large")]
)
@pytest.mark.parametrize("board", ["mps2_an386", "mps2_an385", "mps3_an547", "posix"])
def test_one_place_for_inputs_and_the_largest_arena(names: tuple[str, ...], board: str) -> None:
    graph, target = family(names), boards.load(board)
    plan, data = pack(graph, target)
    assert [p.name for p in plan.every] == list(names)
    assert len({p.tensors[p.inputs[0]].offset for p in plan.every}) == 1
    lone = [pack(member, target)[0] for member in members_alone(graph)]
    assert max(p.arena_bytes for p in plan.every) == max(p.arena_bytes for p in lone)
    blob = read(data, "family")
    assert blob.format == "1.1" and [p.name for p in blob.plans] == list(names)
    assert [p.instructions for p in blob.plans] == [p.instructions for p in lone]
    assert [p.metadata["accuracy"] for p in blob.plans] == [p.metadata["accuracy"] for p in lone]
    assert blob.margin == 14
    assert read(write(lone[0]), "one").format == "1.0"


def test_equal_constants_are_stored_once() -> None:
    """Two members that differ in their names alone cost tables and no constants."""
    one = family(("large",))
    two = replace(one, members=(replace(one, name="twin"),))
    blobs = [read(pack(graph, AN386)[1], "x") for graph in (one, two)]
    assert blobs[1].constants_bytes == blobs[0].constants_bytes
    assert [(p.own_bytes, p.shared_bytes) for p in blobs[1].plans] == [(0, blobs[0].plans[0].own_bytes)] * 2
    assert blobs[0].plans[0].shared_bytes == 0


def test_members_must_take_and_give_the_same() -> None:
    graph = family(("large", "small"))
    small = graph.members[0]
    scaled = Quantization((0.5,), (7,))
    source, scores = small.inputs[0], small.outputs[0]
    for member, message in (
        (
            changed(small, source, quantization=scaled),
            r"input 0 of small \(input\) has the quantization 0.5, zero point 7",
        ),
        (
            changed(small, scores, quantization=scaled),
            r"output 0 of small \(scores\d*\) has the quantization 0.5",
        ),
        (changed(small, source, dtype="u8"), r"input 0 of small .* has the type u8, that of large .* s8"),
        (
            changed(small, source, shape=(1, 144)),
            r"has the shape \(1, 144\), that of large .* \(1, 12, 12, 1\)",
        ),
        (replace(small, outputs=small.outputs * 2), "small has 2 outputs, large of the same family has 1"),
        (replace(small, members=(small,)), "its member small has members itself"),
    ):
        with pytest.raises(UserError, match=message):
            make_plan(replace(graph, members=(member,)), AN386)


@pytest.mark.parametrize("text", ["-1", "256", "many", "1.5"])
def test_a_margin_is_a_number(text: str) -> None:
    graph = replace(family(), metadata={"cascade_margin": text})
    with pytest.raises(UserError, match="cascade_margin is"):
        make_plan(graph, AN386)


def test_inputs_in_the_callers_memory_go_by_each_members_names() -> None:
    graph = family()
    renamed = changed(graph.members[1], graph.members[1].inputs[0], name="picture")
    graph = replace(graph, members=(graph.members[0], renamed))
    plan, _ = pack(graph, AN386, Options(caller_inputs=("input",)))
    assert [p.tensors[p.inputs[0]].memory for p in plan.every] == ["input"] * 3


def test_limits_hold_for_the_family() -> None:
    free, data = pack(family(), AN386, Options(optimize="speed"))
    _, smaller = pack(family(), AN386, Options(optimize="speed", flash_limit=len(data) - 500))
    assert len(smaller) <= len(data) - 500
    with pytest.raises(UserError, match="--flash-limit allows 3000 bytes"):
        pack(family(), AN386, Options(flash_limit=3000))
    limit = free.arena_bytes - 16
    under = pack(family(), AN386, Options(optimize="speed", ram_limit=limit))[0]
    assert max(p.arena_bytes for p in under.every) <= limit
    with pytest.raises(UserError, match="--ram-limit allows 200 bytes"):
        pack(family(), AN386, Options(ram_limit=200))


def test_a_family_is_not_certified() -> None:
    plan, _ = pack(family(), AN386)
    with pytest.raises(UserError, match="large is a family of 3 plans"):
        certify(plan, AN386)


QUANT = Quantization((0.1,), (0,))


def sum_of(name: str, order: tuple[int, int]) -> Graph:
    tensors = tuple(Tensor(f"t{i}", (1, 64), "s8", QUANT) for i in range(4))
    ops = (Op("add", "a", order, (2,), Add()), Op("add", "b", (2, 0), (3,), Add()))
    return Graph(name, tensors, ops, (0, 1), (3,))


def test_several_inputs_have_a_place_each() -> None:
    graph = replace(sum_of("one", (0, 1)), members=(sum_of("other", (1, 0)),))
    plan = make_plan(graph, AN386)
    places = {tuple(p.tensors[i].offset for i in p.inputs) for p in plan.every}
    assert len(places) == 1 and len(set(*places)) == 2


@st.composite
def with_fixed(draw: st.DrawFn) -> tuple[list[Buffer], list[int]]:
    """Buffers the first of which live from the start, and where those are to lie."""
    n = draw(st.integers(1, 7))
    fixed = draw(st.lists(st.integers(0, 12).map(lambda k: 16 * k), min_size=1, max_size=min(n, 3)))
    found = []
    for i in range(n):
        first = 0 if i < len(fixed) else draw(st.integers(0, 6))
        found.append(Buffer(f"b{i}", draw(st.integers(1, 100)), first, draw(st.integers(first, 7))))
    return found, fixed


@settings(deadline=None, max_examples=200)
@given(with_fixed())
def test_fixed_buffers_stay_and_nothing_overlaps(drawn: tuple[list[Buffer], list[int]]) -> None:
    buffers, fixed = drawn
    offsets, arena = place(buffers, fixed)
    spans = [range(o, o + aligned(b.bytes)) for o, b in zip(offsets, buffers, strict=True)]

    def clash(i: int, j: int) -> bool:
        return together(buffers[i], buffers[j]) and bool(np.intersect1d(spans[i], spans[j]).size)

    if any(clash(i, j) for i in range(len(fixed)) for j in range(i)):
        assert arena == NOWHERE
        return
    assert offsets[: len(fixed)] == fixed and arena == max(s.stop for s in spans)
    assert not any(clash(i, j) for i in range(len(buffers)) for j in range(i))
