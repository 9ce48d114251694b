"""The planner's choice: costs of every kernel, flash that is slow to read, what comes first, limits, near-ties."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from offramp import boards
from offramp.boards import Board
from offramp.build.firmware import kernels_on
from offramp.errors import UserError
from offramp.ir import Graph, Op, Quantization, Tensor
from offramp.ops.add import Add
from offramp.ops.gemm import Window
from offramp.ops.softmax import Softmax
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
PRICES = {
    "dsp/depthwise_conv_2d": (1100, 1100, 50),
    "generic/depthwise_conv_2d_3x3": (1000, 1000, 400),
    "dsp/pointwise_conv_2d": (1000, 1000, 50),
    "dsp/pointwise_conv_2d_16": (900, 1100, 200),
    "dsp/conv_2d": (2000, 2000, 0),
    "dsp/conv_2d_16": (1800, 2200, 0),
    "dsp/winograd_conv_2d": (1500, 1700, 0),
    "generic/conv_2d_pair": (9000, 9000, 0),
}
"""Instructions, cycles and bytes of flash of a call, made up; other kernels cost DEAR."""
DEAR = (50_000, 50_000, 0)


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planner goes by PRICES."""
    rows = {
        name: {"prices": {"calls": PRICES.get(name, DEAR)}, "code": {"": 0}}
        for name in map(name_of, kernels_on(AN386))
    }
    assert set(PRICES) <= set(rows)
    monkeypatch.setattr("offramp.plan.choose.cost_table", lambda core: CostTable(rows))


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


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize("optimize", ["balanced", "speed"])
def test_the_choice_flips_when_flash_is_slow_to_read(optimize: str) -> None:
    """100 cycles more without, 350 bytes fewer to read."""
    net, options = graph_of(DEPTHWISE), Options(optimize=optimize)
    fast, still, slow = (make_plan(net, reading(c), options).chosen[0] for c in (0.0, 0.2, 0.4))
    assert [w.steps[0].kernel.set for w in (fast, still, slow)] == ["generic", "generic", "dsp"]
    assert [w.flash_cycles for w in (fast, still, slow)] == [0, 80, 20]


@pytest.mark.usefixtures("made_up")
def test_weights_at_int16_are_not_worth_slow_reads() -> None:
    """100 instructions fewer, 150 bytes more to read."""
    fast, slow = (
        make_plan(graph_of(POINTWISE), reading(cycles), Options(optimize="speed")).chosen[0]
        for cycles in (0.0, 1.0)
    )
    assert fast.constants_bytes > slow.constants_bytes
    assert (fast.instructions, slow.instructions) == (900, 1000)


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


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize("optimize", OPTIMIZE)
def test_what_comes_first_is_least(optimize: str) -> None:
    plans = {o: make_plan(NET, AN386, Options(optimize=o)) for o in OPTIMIZE}
    figures: dict[str, Callable[[str], float]] = {
        "balanced": lambda o: sum(w.cycles for w in plans[o].chosen.values()),
        "speed": lambda o: sum(w.instructions for w in plans[o].chosen.values()),
        "flash": lambda o: len(plans[o].constants),
        "ram": lambda o: plans[o].arena_bytes,
    }
    # `speed` may take fewer cycles than `balanced`, with constants that `balanced` does not allow.
    others = [o for o in OPTIMIZE if o != optimize and (optimize, o) != ("balanced", "speed")]
    figure = figures[optimize]
    assert all(figure(optimize) < figure(o) for o in others)


def test_speed_ranks_by_instructions_and_reads_of_flash() -> None:
    def of(instructions: float, cycles: float, flash_cycles: float = 0) -> Way:
        return replace(way(0), cost=Cost(instructions, cycles, 0), flash_cycles=flash_cycles)

    few_cycles = of(800, 1000)
    for other, optimize, taken in (
        (of(600, 2000), "speed", 1),
        (of(600, 2000, 190), "speed", 1),
        (of(600, 2000, 210), "speed", 0),
        (of(795, 500), "speed", 0),  # within 1 %: the first
        (of(600, 2000), "balanced", 0),
        (of(900, 900), "balanced", 1),
    ):
        ways = (few_cycles, other)
        assert chosen_of([Candidates(OP, ways, None)], optimize)[0] is ways[taken]


@pytest.mark.parametrize(("optimize", "share"), [("balanced", 1), ("ram", 1), ("speed", 10)])
def test_a_kernel_gives_way_to_one_that_the_image_does_not_hold_yet(optimize: str, share: int) -> None:
    """50 of 10,100 cycles are worth 507 bytes, those of the other kernel's code deducted."""
    big = Candidates(OP, (way(10_000, kernel=0),), None)
    small = Candidates(OP, (way(100, kernel=1), way(150, kernel=2)), None)
    for more, taken in ((490, 100), (520, 150)):
        code = {0: 500, 1: 2000 + share * more, 2: 2000}
        assert chosen_of([big, small], optimize, code)[1].cycles == taken


def test_code_is_not_saved_by_larger_constants() -> None:
    """Where kernels go, `balanced` keeps to weights at int8 size all the same."""
    large = way(500, 200, kernel=1)
    of_op = Candidates(OP, (way(1000, 130, kernel=0), large), 150)
    assert chosen_of([of_op], code={0: 5000, 1: 10})[0].cycles == 1000
    assert chosen_of([Candidates(OP, (large,), 150), of_op], code={0: 5000, 1: 10})[1].cycles == 1000


def test_kernels_that_pay_for_shared_code_only_together_are_given_up_together() -> None:
    """Each saves more than its own code is worth, both less than what they share."""
    kernels = kernels_on(AN386)[:3]
    code = [{"": 10}, {"shared": 3000, "": 10}, {"shared": 3000, "": 10}]
    table = CostTable({name_of(k): {"code": of} for k, of in zip(kernels, code, strict=True)})
    found = {0: Candidates(OP, (way(10_000),), None)} | {
        i: Candidates(OP, (way(100, kernel=i), way(150)), None) for i in (1, 2)
    }
    assert [w.cycles for w in Choice(found, table, "balanced").best().values()] == [10_000, 150, 150]


@pytest.mark.usefixtures("made_up")
def test_limits_steer_and_refuse() -> None:
    free, blob = pack(NET, AN386, Options(optimize="speed"))
    _, small_blob = pack(NET, AN386, Options(optimize="flash"))
    assert len(small_blob) < len(blob)
    _, limited = pack(NET, AN386, Options(optimize="speed", flash_limit=len(blob) - 1))
    assert len(limited) < len(blob)
    with pytest.raises(UserError, match=r"takes \d{5} bytes, --flash-limit allows 100 bytes, ") as refused:
        pack(NET, AN386, Options(flash_limit=100))
    assert int(refused.value.message.split()[4]) <= len(small_blob)
    low = pack(NET, AN386, Options(optimize="ram"))[0].arena_bytes
    assert low < free.arena_bytes
    for limit in (free.arena_bytes - 1, low):
        assert low <= pack(NET, AN386, Options(optimize="speed", ram_limit=limit))[0].arena_bytes <= limit


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize("below", [1, 1000])
def test_a_ram_limit_is_refused_with_one_that_holds(below: int) -> None:
    low = pack(NET, AN386, Options(optimize="ram"))[0].arena_bytes
    message = rf"^g: arena and state take \d+ bytes in the .* found, --ram-limit allows {low - below} bytes$"
    with pytest.raises(UserError) as refused:
        pack(NET, AN386, Options(ram_limit=low - below))
    assert re.search(message, refused.value.message)
    least = int(refused.value.message.split()[5])
    assert low - below < least <= low
    assert refused.value.hint.endswith(f"try --ram-limit {least}, or a smaller model")
    assert pack(NET, AN386, Options(ram_limit=least))[0].arena_bytes <= least


def test_the_fit_recovers_prices_and_gives_none_below_nothing() -> None:
    random = np.random.default_rng(0)
    a = random.integers(0, 50, (40, 5)).astype(float)
    true = np.array([3.0, 0.0, 7.5, 0.25, 12.0])
    assert non_negative(a, a @ true) == pytest.approx(true)
    found = non_negative(a, a @ np.array([3.0, -2.0, 7.5, 0.25, 12.0]))
    assert (found >= 0).all() and found[1] == 0


def residual() -> Graph:
    """Three sums, each of the two tensors before it, and a softmax: enough to be worth the code of other kernels."""
    scales = (0.02, 0.03, 0.04, 0.05, 0.06, 1 / 256)
    tensors = [Tensor(f"t{i}", (1, 40), "s8", Quantization((s,), (3,))) for i, s in enumerate(scales)]
    tensors[-1] = replace(tensors[-1], quantization=Quantization((1 / 256,), (-128,)))
    sums = [Op("add", f"sum{i}", (i, i + 1), (i + 2,), Add()) for i in range(3)]
    ops = (*sums, Op("softmax", "softmax", (4,), (5,), Softmax()))
    return Graph("residual", tuple(tensors), ops, (0, 1), (5,))


@pytest.mark.parametrize("name", EMULATED)
def test_tables_are_computed_where_bytes_count(name: str) -> None:
    board, net = boards.load(name), residual()
    ordinary, speed, flash = (
        make_plan(net, board, Options(optimize=o)) for o in ("balanced", "speed", "flash")
    )
    without = {"add", "softmax_exp"}
    assert {s.kernel.name for s in flash.steps} == without
    assert len(flash.constants) < 400 < 2000 < len(ordinary.constants)
    for plan in (ordinary, speed):
        assert not {(s.kernel.set, s.kernel.name) for s in plan.steps} & {("generic", n) for n in without}
    limited = make_plan(net, board, Options(flash_limit=len(ordinary.constants) - 1))
    assert len(limited.constants) < len(ordinary.constants)
    assert sum(w.compact for w in limited.chosen.values()) == 1


@pytest.mark.parametrize("board", [name for name in boards.names() if boards.load(name).emulator])
def test_a_piece_of_code_is_one_and_the_same_whoever_shares_it(board: str) -> None:
    """Its bytes in two images differ by their alignment at most; static functions of one name are two pieces."""
    sizes: dict[str, set[int]] = {}
    for row in cost_table(boards.load(board).core.name).kernels.values():
        for piece, n in row["code"].items():
            sizes.setdefault(piece, set()).add(n)
    del sizes[""]
    assert sizes and [piece for piece, found in sizes.items() if max(found) - min(found) >= 4] == []
