"""The planner's choice: costs of every kernel, flash that is slow to read, what comes first, limits, near-ties."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from offramp import boards
from offramp.boards import Board
from offramp.build.firmware import kernels_on
from offramp.errors import UserError
from offramp.ir import Graph, Op, Tensor
from offramp.ops.gemm import Window
from offramp.pack import pack
from offramp.plan import OPTIMIZE, Options, make_plan
from offramp.plan.choose import Candidates, Choice, Way, constants_of
from offramp.plan.cost import Cost, CostTable, cost_table, name_of
from tools.cost_grid import Layer, weighted
from tools.costs import non_negative

AN386 = boards.load("mps2_an386")
EMULATED = [name for name in boards.names() if boards.load(name).emulator is not None]
# What no layer is packed for on these cores: kernels of the library's other loops.
NEVER = {
    True: {"cmsis_nn/depthwise_conv_2d_3x3"},  # Helium
    False: {"cmsis_nn/row_conv_2d", "cmsis_nn/depthwise_conv_2d_opt"},
}


def layer(kind: str, x: tuple[int, ...], w: tuple[int, ...], stride: int = 1) -> Layer:
    a = Window(stride, stride, padding="same")
    return weighted(np.random.default_rng(0), kind, a, x, w, False)


def graph_of(*layers: Layer) -> Graph:
    """Layers one behind the other."""
    tensors: list[Tensor] = [replace(layers[0].inputs[0], name="in")]
    ops = []
    for i, one in enumerate(layers):
        first = len(tensors)
        quant = one.inputs[0].quantization
        tensors[-1] = replace(tensors[-1], quantization=quant)
        tensors += [replace(t, name=f"{t.name}{i}") for t in (*one.inputs[1:], one.output)]
        ops.append(replace(one.op, name=f"op{i}", inputs=(first - 1, first, first + 1), outputs=(first + 2,)))
    return Graph("g", tuple(tensors), tuple(ops), (0,), (len(tensors) - 1,))


DEPTHWISE = layer("depthwise_conv_2d", (1, 17, 10, 23), (1, 3, 3, 23), stride=2)
POINTWISE = layer("conv_2d", (1, 9, 5, 23), (40, 1, 1, 23))
SQUARE = layer("conv_2d", (1, 9, 5, 40), (32, 3, 3, 40))
NET = graph_of(DEPTHWISE, POINTWISE, SQUARE)


@pytest.mark.parametrize("name", EMULATED)
def test_every_kernel_that_a_board_can_choose_has_costs(name: str) -> None:
    board = boards.load(name)
    known = cost_table(board.core.name).kernels
    wanted = {name_of(k) for k in kernels_on(board)} - NEVER["mve" in board.core.features]
    assert wanted - set(known) == set(), "make costs"
    for row in known.values():
        assert row["prices"] and row["code"][""] > 0


def test_a_host_has_no_costs_and_takes_the_first() -> None:
    plan = make_plan(NET, boards.load("posix"))
    assert all(w.cost is None for w in plan.chosen.values())
    assert [s.kernel for s in plan.steps] == [c.ways[0].steps[0].kernel for c in plan.candidates.values()]


@pytest.mark.parametrize("kernels", ["generic", "cmsis_nn", "dsp"])
def test_a_named_set_serves_all_that_it_can(kernels: str) -> None:
    plan = make_plan(NET, AN386, Options(kernels=kernels))
    assert [s.kernel.set for s in plan.steps] == [kernels] * 3


def reading(cycles: float) -> Board:
    return replace(AN386, code=replace(AN386.code, read_cycles_per_byte=cycles))


def test_the_choice_flips_when_flash_is_slow_to_read() -> None:
    """Generic reads a channel's weights for every two outputs, dsp once for all lines of a band."""
    fast, slow = (make_plan(graph_of(DEPTHWISE), reading(cycles)).chosen[0] for cycles in (0.0, 8.0))
    assert fast.steps[0].kernel.set == "generic" and slow.steps[0].kernel.set == "dsp"
    assert fast.cost and slow.cost and fast.cost.flash_bytes > slow.cost.flash_bytes
    assert fast.flash_cycles == 0 and slow.flash_cycles == 8 * slow.cost.flash_bytes


def test_weights_at_int16_are_not_worth_slow_reads() -> None:
    fast, slow = (
        make_plan(graph_of(POINTWISE), reading(cycles), Options(optimize="speed")).chosen[0]
        for cycles in (0.0, 8.0)
    )
    assert fast.constants_bytes > slow.constants_bytes and fast.instructions < slow.instructions


def way(cycles: float, constants: int = 100, kernel: int = 0) -> Way:
    kernels = kernels_on(AN386)
    step = replace(make_plan(NET, AN386).chosen[0].steps[0], kernel=kernels[kernel])
    return Way((step,), constants, Cost(cycles, cycles, 0))


OP = Op("conv_2d", "op", (0,), (1,), None)


def chosen_of(
    found: list[Candidates], optimize: str = "balanced", code: dict[int, int] | None = None
) -> list[Way]:
    rows = {name_of(kernels_on(AN386)[k]): {"code": {"": n}} for k, n in (code or {}).items()}
    return list(Choice(dict(enumerate(found)), CostTable(rows), optimize).best().values())


def test_within_one_percent_the_first_is_taken() -> None:
    assert chosen_of([Candidates(OP, (way(1009), way(1000)), None)])[0].cycles == 1009
    assert chosen_of([Candidates(OP, (way(1011), way(1000)), None)])[0].cycles == 1000


def test_balanced_keeps_weights_at_int8_size_and_speed_does_not() -> None:
    of_op = Candidates(OP, (way(1000, 130), way(500, 200)), 150)
    assert chosen_of([of_op])[0].cycles == 1000
    assert chosen_of([of_op], "speed")[0].cycles == 500
    only_large = Candidates(OP, (way(500, 200),), 150)
    assert chosen_of([only_large])[0].cycles == 500


def test_a_kernel_that_saves_less_than_its_code_is_worth_is_given_up() -> None:
    """1,024 bytes must save a hundredth of the cycles."""
    big = Candidates(OP, (way(10_000, kernel=0),), None)
    small = Candidates(OP, (way(100, kernel=1), way(250, kernel=0)), None)
    for bytes_, taken in ((1500, 100), (1600, 250)):
        assert chosen_of([big, small], code={0: 500, 1: bytes_})[1].cycles == taken


def test_speed_keeps_to_four_times_the_constants() -> None:
    ways = [Candidates(OP, (way(1000, 100), way(900 - gain, 600)), None) for gain in (0, 50, 100)]
    choice = Choice(dict(enumerate(ways)), CostTable({}), "speed")
    limited = choice.limit_constants(choice.best(), 1300)
    assert [w.constants_bytes for w in limited.values()] == [100, 600, 600]
    assert constants_of(choice.limit_constants(choice.best(), 10)) == 300  # as small as it gets


@pytest.mark.parametrize("optimize", OPTIMIZE)
def test_what_comes_first_is_least(optimize: str) -> None:
    plans = {o: make_plan(NET, AN386, Options(optimize=o)) for o in OPTIMIZE}
    code = cost_table(AN386.core.name).code_bytes

    def flash(plan_of: str) -> int:
        return len(plans[plan_of].constants) + code(s.kernel for s in plans[plan_of].steps)

    least = {
        "balanced": lambda o: sum(w.cycles for w in plans[o].chosen.values()) if o != "speed" else 1e9,
        "speed": lambda o: sum(w.cycles + w.instructions for w in plans[o].chosen.values()),
        "flash": flash,
        "ram": lambda o: plans[o].arena_bytes,
    }[optimize]
    assert least(optimize) == min(map(least, OPTIMIZE))


def test_speed_weighs_instructions_as_well() -> None:
    def of(cycles: float, instructions: float) -> Way:
        return replace(way(cycles), cost=Cost(instructions, cycles, 0))

    assert chosen_of([Candidates(OP, (of(1000, 800), of(1040, 600)), None)], "speed")[0].cycles == 1040
    assert chosen_of([Candidates(OP, (of(1000, 800), of(1260, 600)), None)], "speed")[0].cycles == 1000
    assert chosen_of([Candidates(OP, (of(1000, 800), of(1040, 600)), None)])[0].cycles == 1000


def test_kernels_that_pay_for_shared_code_only_together_are_given_up_together() -> None:
    """Each saves more than its own code is worth, both less than what they share."""
    kernels = kernels_on(AN386)[:3]
    code = [{"": 10}, {"shared": 3000, "": 10}, {"shared": 3000, "": 10}]
    table = CostTable({name_of(k): {"code": of} for k, of in zip(kernels, code, strict=True)})
    found = {0: Candidates(OP, (way(10_000),), None)} | {
        i: Candidates(OP, (way(100, kernel=i), way(150)), None) for i in (1, 2)
    }
    assert [w.cycles for w in Choice(found, table, "balanced").best().values()] == [10_000, 150, 150]


def test_limits_steer_and_refuse() -> None:
    free, blob = pack(NET, AN386)
    _, small_blob = pack(NET, AN386, Options(optimize="flash"))
    assert len(small_blob) < len(blob)
    _, limited = pack(NET, AN386, Options(flash_limit=len(blob) - 1))
    assert len(limited) < len(blob)
    with pytest.raises(UserError, match=r"takes \d{5} bytes, --flash-limit allows 100, ") as refused:
        pack(NET, AN386, Options(flash_limit=100))
    assert int(refused.value.message.split()[4]) <= len(small_blob)
    low = pack(NET, AN386, Options(optimize="ram"))[0].arena_bytes
    assert low < free.arena_bytes
    assert pack(NET, AN386, Options(ram_limit=free.arena_bytes - 1))[0].arena_bytes < free.arena_bytes
    assert pack(NET, AN386, Options(ram_limit=low))[0].arena_bytes == low
    with pytest.raises(UserError, match=rf"need {low} bytes, --ram-limit allows {low - 1}, 1 too few; alive"):
        pack(NET, AN386, Options(ram_limit=low - 1))


def test_the_fit_recovers_prices_and_gives_none_below_nothing() -> None:
    random = np.random.default_rng(0)
    a = random.integers(0, 50, (40, 5)).astype(float)
    true = np.array([3.0, 0.0, 7.5, 0.25, 12.0])
    assert non_negative(a, a @ true) == pytest.approx(true)
    found = non_negative(a, a @ np.array([3.0, -2.0, 7.5, 0.25, 12.0]))
    assert (found >= 0).all() and found[1] == 0
