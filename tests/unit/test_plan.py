"""Plans: order with the least peak, places in the arena, sharing of memory, refusals."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offramp import boards
from offramp.errors import UserError
from offramp.ir import Graph, Op, Quantization, Tensor, Variable
from offramp.ops.add import Add
from offramp.ops.concatenation import Concatenation
from offramp.ops.reshape import Reshape
from offramp.ops.strided_slice import StridedSlice
from offramp.ops.variable import VariableName
from offramp.plan import Options, Plan, make_plan
from offramp.plan.arena import Buffer, aligned, greedy, peak, place, place_greedily
from offramp.plan.choose import all_candidates
from offramp.plan.order import dependencies, order
from offramp.plan.plan import Constants, Planner
from tests.random_nets import Net

QUANT = Quantization((0.5,), (0,))


@st.composite
def buffers(draw: st.DrawFn, most: int = 14) -> list[Buffer]:
    found = []
    for _ in range(draw(st.integers(1, most))):
        first, life = draw(st.integers(0, 12)), draw(st.integers(1, 7))
        sizes = draw(st.lists(st.integers(1, 400), min_size=life, max_size=life))
        changes = draw(st.booleans())
        sizes = sizes if changes else sizes[:1]
        found.append(Buffer("b", max(sizes), first, first + life - 1, tuple(sizes) if changes else ()))
    return found


def conflicts(a: Buffer, b: Buffer) -> list[tuple[int, int]]:
    """Bytes of both at each step at which both live."""
    steps = range(max(a.first, b.first), min(a.last, b.last) + 1)
    return [(a.bytes_at(step), b.bytes_at(step)) for step in steps]


@settings(deadline=None, max_examples=50)
@given(buffers())
def test_buffers_alive_together_never_overlap(found: list[Buffer]) -> None:
    offsets, total = place(found)
    assert peak(found)[0] <= total <= place_greedily(found)[1]
    for (a, at), (b, bt) in itertools.combinations(list(zip(found, offsets, strict=True)), 2):
        assert all(at + n <= bt or bt + m <= at for n, m in conflicts(a, b))
    for buffer, offset in zip(found, offsets, strict=True):
        assert offset % 16 == 0 and offset >= 0 and offset + aligned(buffer.bytes) <= total


@settings(deadline=None, max_examples=50)
@given(buffers(5))
def test_the_arena_is_the_least_of_all_orders(found: list[Buffer]) -> None:
    """Some order of dropping each to the lowest place it fits gives the least arena."""
    least = min(greedy(found, sequence)[1] for sequence in itertools.permutations(range(len(found))))
    assert place(found)[1] == least


def test_the_search_beats_the_greedy_orders() -> None:
    found = [Buffer("b", *b) for b in ((64, 4, 6), (48, 0, 3), (48, 1, 4), (32, 1, 1))]
    assert (place(found)[1], place_greedily(found)[1]) == (128, 144)


def add_graph(edges: list[tuple[int, int]], sizes: list[int]) -> Graph:
    """Op i makes tensor i + 1 from two tensors before it; tensor 0 is the input. Shapes are for ordering only."""
    tensors = tuple(Tensor(f"t{i}", (n,), "s8", QUANT) for i, n in enumerate(sizes))
    ops = tuple(Op("add", f"op{i}", pair, (i + 1,), Add()) for i, pair in enumerate(edges))
    used = {t for pair in edges for t in pair}
    outputs = tuple(i + 1 for i in range(len(edges)) if i + 1 not in used)
    return Graph("g", tensors, ops, (0,), outputs)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    n = draw(st.integers(1, 6))
    edges = [(draw(st.integers(0, i)), draw(st.integers(0, i))) for i in range(n)]
    return add_graph(edges, draw(st.lists(st.integers(1, 100), min_size=n + 1, max_size=n + 1)))


def peak_of(graph: Graph, sequence: list[int]) -> int:
    """Most bytes alive while any op of the sequence runs."""
    worst, exist = 0, set(graph.inputs)
    for position, i in enumerate(sequence):
        exist |= set(graph.ops[i].outputs)
        later = {t for j in sequence[position + 1 :] for t in graph.ops[j].inputs} | set(graph.outputs)
        now = exist & (later | set(graph.ops[i].inputs) | set(graph.ops[i].outputs))
        worst = max(worst, sum(graph.tensors[t].bytes for t in now))
    return worst


@settings(deadline=None)
@given(graphs())
def test_order_has_the_least_peak_of_all(graph: Graph) -> None:
    before = dependencies(graph)
    legal = [
        list(p)
        for p in itertools.permutations(range(len(graph.ops)))
        if all(p.index(b) < p.index(i) for i in range(len(graph.ops)) for b in before[i])
    ]
    found = order(graph)
    assert found in legal
    assert peak_of(graph, found) == min(peak_of(graph, p) for p in legal)


def offsets_of(plan: Plan) -> dict[str, tuple[str, int]]:
    return {t.tensor.name: (t.memory, t.offset) for t in plan.tensors}


def chain(
    *ops: Op, tensors: tuple[Tensor, ...], outputs: tuple[int, ...], inputs: tuple[int, ...] = (0,)
) -> Graph:
    return Graph("chain", tensors, ops, inputs, outputs)


def test_add_lies_over_an_input_that_dies() -> None:
    t = tuple(Tensor(f"t{i}", (1, 64), "s8", QUANT) for i in range(3))
    graph = chain(Op("add", "a", (0, 1), (2,), Add()), tensors=t, outputs=(2,), inputs=(0, 1))
    assert make_plan(graph, boards.load("mps2_an386")).arena_bytes == 128
    kept = make_plan(graph, boards.load("mps2_an386"), Options(keep_inputs=True))
    assert kept.arena_bytes == 192


@pytest.mark.parametrize(
    ("why_not", "fused"),
    [("", True), ("read twice", False), ("output", False), ("broadcast", False), ("itself", False)],
)
def test_an_addition_goes_into_the_convolution_before_it(why_not: str, fused: bool) -> None:
    net = Net()
    x, other = net.input(1, 6, 6, 4), net.input(1, 1 if why_not == "broadcast" else 6, 6, 8)
    made = net.conv(x, 8)
    result = net.op("add", (other, made) if why_not != "itself" else (made, made), Add())
    last = net.op("add", (result, made), Add()) if why_not == "read twice" else result
    graph = net.graph([x, other], [last, made] if why_not == "output" else [last])
    plan = make_plan(graph, boards.load("mps2_an385"))
    assert [s.op for s in plan.steps[:2]] == (["conv_2d"] if fused else ["conv_2d", "add"])
    if fused:
        [step] = plan.steps
        assert offsets_of(plan)[graph.tensors[result].name] == offsets_of(plan)[graph.tensors[other].name]
        assert plan.arena_bytes == 6 * 6 * (4 + 8) + aligned(step.scratch_bytes)


def test_a_reshape_costs_no_step_and_no_memory() -> None:
    t = (
        Tensor("a", (1, 8, 8), "s8", QUANT),
        Tensor("b", (1, 64), "s8", QUANT),
        Tensor("c", (1, 64), "s8", QUANT),
    )
    graph = chain(
        Op("reshape", "r", (0,), (1,), Reshape((1, 64))),
        Op("add", "a", (1, 1), (2,), Add()),
        tensors=t,
        outputs=(2,),
    )
    plan = make_plan(graph, boards.load("mps2_an386"))
    assert [s.op for s in plan.steps] == ["add"]
    places = offsets_of(plan)
    assert places["b"] == places["c"] and plan.arena_bytes == 64


def test_an_input_may_stay_with_the_caller() -> None:
    t = tuple(Tensor(f"t{i}", (1, 64), "s8", QUANT) for i in range(3))
    graph = chain(Op("add", "a", (0, 1), (2,), Add()), tensors=t, outputs=(2,), inputs=(0, 1))
    plan = make_plan(graph, boards.load("mps2_an386"), Options(caller_inputs=("t1",)))
    assert offsets_of(plan)["t1"] == ("input", 0)
    with pytest.raises(UserError, match="nonsense"):
        make_plan(graph, boards.load("mps2_an386"), Options(caller_inputs=("nonsense",)))


def test_a_value_made_for_the_state_is_written_there() -> None:
    t = tuple(Tensor(name, (1, 16), "s8", QUANT) for name in ("x", "old", "new"))
    zero = Tensor("zero", (1, 16), "s8", QUANT, np.zeros((1, 16), np.int8))
    ops = (
        Op("read_variable", "r", (), (1,), VariableName("v")),
        Op("add", "a", (0, 0), (2,), Add()),
        Op("assign_variable", "w", (2,), (), VariableName("v")),
    )
    graph = Graph("s", (*t, zero), ops, (0,), (), (Variable("v", 3),))
    plan = make_plan(graph, boards.load("mps2_an386"))
    assert [s.op for s in plan.steps] == ["add"]
    assert offsets_of(plan)["new"] == ("state", 0)


def variable_graph(*ops: Op, outputs: tuple[int, ...]) -> Graph:
    """Tensors 0 the input, 1 and 2 the variable's value and a view of it, 3 a result, 4 its first value."""
    shapes = ((1, 16), (1, 16), (16,), (1, 16), (1, 16))
    tensors = [Tensor(f"t{i}", shape, "s8", QUANT) for i, shape in enumerate(shapes)]
    tensors[4] = replace(tensors[4], data=np.zeros((1, 16), np.int8))
    return Graph("v", tuple(tensors), ops, (0,), outputs, (Variable("v", 4),))


READ = Op("read_variable", "r", (), (1,), VariableName("v"))
ASSIGN = Op("assign_variable", "w", (0,), (), VariableName("v"))


def test_a_value_that_is_an_output_is_copied_before_the_state_changes() -> None:
    plan = make_plan(variable_graph(READ, ASSIGN, outputs=(1,)), boards.load("mps2_an386"))
    assert [s.op for s in plan.steps] == ["read_variable", "assign_variable"]
    assert offsets_of(plan)["t1"][0] == "arena"


def test_a_view_of_an_old_value_read_after_the_assignment_is_copied() -> None:
    view = Op("reshape", "s", (1,), (2,), Reshape((16,)))
    use = Op("add", "a", (2, 2), (3,), Add())
    late = replace(variable_graph(outputs=(3,)), ops=(READ, view, ASSIGN, use))
    tensors = list(late.tensors)
    tensors[3] = replace(tensors[3], shape=(16,))
    late = replace(late, tensors=tuple(tensors))
    plan = make_plan(late, boards.load("mps2_an386"))
    assert [s.op for s in plan.steps] == ["read_variable", "assign_variable", "add"]
    early = make_plan(replace(late, ops=(READ, view, use, ASSIGN)), boards.load("mps2_an386"))
    assert [s.op for s in early.steps] == ["add", "assign_variable"]


def rows_of(x: int, out: int, begin: int, n: int) -> Op:
    window = StridedSlice((0, begin, 0), (1, n, 16), (1, 1, 1), (1, n, 16))
    return Op("strided_slice", f"cut{out}", (x,), (out,), window)


def test_parts_are_neither_copied_out_nor_together() -> None:
    """Halves of t0 are doubled and joined."""
    shapes = ((1, 8, 16), (1, 4, 16), (1, 4, 16), (1, 4, 16), (1, 4, 16), (1, 8, 16))
    t = tuple(Tensor(f"t{i}", shape, "s8", QUANT) for i, shape in enumerate(shapes))
    graph = chain(
        rows_of(0, 1, 0, 4),
        Op("add", "a", (1, 1), (3,), Add()),
        rows_of(0, 2, 4, 4),
        Op("add", "b", (2, 2), (4,), Add()),
        Op("concatenation", "c", (3, 4), (5,), Concatenation(1)),
        tensors=t,
        outputs=(5,),
    )
    plan = make_plan(graph, boards.load("mps2_an386"))
    places = offsets_of(plan)
    assert [s.op for s in plan.steps] == ["add", "add"]
    assert places["t2"][1] - places["t1"][1] == places["t4"][1] - places["t3"][1] == 64
    assert plan.arena_bytes == plan.least_arena_bytes == 256


def test_parts_that_do_not_lie_together_are_copied() -> None:
    shapes = ((1, 8, 16), (1, 4, 16), (1, 4, 16), (1, 4, 32))
    t = tuple(Tensor(f"t{i}", shape, "s8", QUANT) for i, shape in enumerate(shapes))
    graph = chain(
        rows_of(0, 1, 0, 4),
        Op("add", "a", (1, 1), (2,), Add()),
        Op("concatenation", "c", (2, 1), (3,), Concatenation(2)),
        tensors=t,
        outputs=(3,),
    )
    plan = make_plan(graph, boards.load("mps2_an386"))
    assert [s.op for s in plan.steps] == ["add", "concatenation", "concatenation"]


def test_an_output_that_is_seen_in_a_part_stays_aligned() -> None:
    """The runtime hands outputs out at multiples of 16; rows here have 4 bytes."""
    shapes = ((1, 8, 4), (1, 5, 4), (5, 4), (1, 5, 4), (5, 4), (1, 10, 4), (1, 5, 4))
    t = tuple(Tensor(f"t{i}", shape, "s8", QUANT) for i, shape in enumerate(shapes))
    cut = StridedSlice((0, 3, 0), (1, 5, 4), (1, 1, 1), (1, 5, 4))
    graph = chain(
        Op("strided_slice", "cut", (0,), (1,), cut),
        Op("reshape", "r", (1,), (2,), Reshape((5, 4))),
        Op("add", "a", (1, 1), (3,), Add()),
        Op("reshape", "s", (3,), (4,), Reshape((5, 4))),
        Op("add", "b", (3, 3), (6,), Add()),
        Op("concatenation", "c", (6, 3), (5,), Concatenation(1)),
        tensors=t,
        outputs=(2, 4, 5),
    )
    board = boards.load("mps2_an386")
    served = {i: c.ways[0].steps for i, c in all_candidates(graph, board, Options()).items()}
    plan = Planner(graph, board, Options(), served).because({}, {}).plan(Constants())  # in this order of ops
    assert all(plan.tensors[i].offset % 16 == 0 for i in plan.outputs)


def test_what_does_not_fit_is_named() -> None:
    board = boards.load("microbit")
    t = (Tensor("big_in", (1, 9000), "s8", QUANT), Tensor("big_out", (1, 9000), "s8", QUANT))
    graph = chain(Op("add", "sum", (0, 0), (1,), Add()), tensors=t, outputs=(0, 1))
    with pytest.raises(UserError) as caught:
        make_plan(graph, replace(board))
    buffers = ("big_in (9000 bytes)", "big_out (9000 bytes)")
    for part in ("18016", board.arena.name, str(board.arena.size), *buffers, "sum"):
        assert part in caught.value.message
