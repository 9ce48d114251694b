"""A family of three in one blob: switching takes no load and no more RAM than the largest member; policies choose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from offramp import boards
from offramp.blob import read, write
from offramp.boards import Board
from offramp.build.blob_image import blob_image
from offramp.build.firmware import firmware, kernels_named
from offramp.errors import UserError
from offramp.frontends import load_model
from offramp.ir import Graph
from offramp.pack import pack
from offramp.plan import Options, Plan
from offramp.plan.arena import aligned
from offramp.reference import Reference
from offramp_host.device import Device, RefusedError, Result
from offramp_host.emulator import Emulator
from offramp_host.link import Code
from tests.families import SHAPE, family
from tests.fuzz import seeds

pytestmark = pytest.mark.emulator

NAMES = ("large", "medium", "small")
# What an inference takes more than in an image for its plan alone: the table of instances, and counting the run.
MOST_INSTRUCTIONS_OF_A_SWITCH = 60
SIZE_OF_MODEL = 132  # ofr_model on a 32-bit core
ROWS = 24
# Of each plan, as the cost table of an386 has it; posix has none, and policies need them.
STATED = {"large": 200_000, "medium": 30_000, "small": 3_000}


def alone(graph: Graph) -> list[Graph]:
    return [replace(member, members=()) for member in (graph, *graph.members)]


def image_inputs(n: int = ROWS) -> NDArray[np.int8]:
    return np.random.default_rng(3).integers(-128, 128, (n, *SHAPE), np.int8)


def expected(x: NDArray[np.int8]) -> list[NDArray[np.int8]]:
    """Outputs of each plan for all rows, from the reference."""
    return [np.stack([Reference(g).run([row])[0] for row in x]) for g in alone(family())]


def stated(plan: Plan) -> Plan:
    """With the figures that policies go by, the same on every board."""
    members = tuple(replace(p, instructions=STATED[p.name]) for p in plan.members)
    return replace(plan, instructions=STATED[plan.name], members=members)


@dataclass(frozen=True)
class Bench:
    board: Board
    plan: Plan
    device: Device


def started(board_name: str, folder: Path, options: Options = Options()) -> Iterator[Bench]:  # noqa: B008
    board = boards.load(board_name)
    plan = stated(pack(family(), board, options)[0])
    blob = folder / "family.ofr"
    blob.write_bytes(write(plan))
    image = blob_image(read(blob.read_bytes(), blob), board, folder / "image.elf", linked=blob)
    with (
        Emulator(board, image.elf, timeout_s=120) as emulator,
        Device(emulator.url, timeout_s=30) as device,
    ):
        yield Bench(board, plan, device)


@pytest.fixture(scope="module", params=["mps2_an386", "posix"])
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    yield from started(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture
def device(bench: Bench) -> Iterator[Device]:
    """Plan 0 runs, as after a load."""
    bench.device.set_policy("plan", 0)
    yield bench.device


def test_info_lists_the_plans(bench: Bench) -> None:
    info = bench.device.info()
    assert [(p.name, p.instructions) for p in info.plans] == list(STATED.items())
    assert [p.arena_bytes for p in info.plans] == [p.arena_bytes for p in bench.plan.every]
    assert [p.n_steps for p in info.plans] == [len(p.steps) for p in bench.plan.every]
    assert (info.model.n_plans, info.model.name) == (3, "large")


def test_switching_gives_each_plans_bits_without_a_load(bench: Bench, device: Device) -> None:
    x, before = image_inputs(), device.statistics()
    for i, row in enumerate(x):  # another plan at every run, the inputs written before it is known
        plan = i % 3
        found = device.run(row, plan=NAMES[plan] if i % 2 else plan)
        assert (found.plan, found.plans_run) == (plan, 1)
        assert np.array_equal(found.outputs[0], expected(x[i : i + 1])[plan][0])
    for plan, name in enumerate(NAMES):
        device.set_policy("plan", name)
        found = device.run(x[0])
        assert found.plan == plan and np.array_equal(found.outputs[0], expected(x[:1])[plan][0])
    after = device.statistics()
    assert (after.loads, after.load_ticks, after.crc_ticks) == (
        before.loads,
        before.load_ticks,
        before.crc_ticks,
    )
    assert [b - a for a, b in zip(before.plan_runs, after.plan_runs, strict=True)] == [ROWS // 3 + 1] * 3
    assert after.runs - before.runs == ROWS + 3


def test_no_more_ram_than_the_largest_member(bench: Bench, device: Device) -> None:
    lone = [pack(graph, bench.board)[0].arena_bytes for graph in alone(family())]
    assert device.statistics().memory_bytes == bench.plan.arena_bytes == max(lone) == lone[0]
    assert device.info().model.arena_bytes == max(lone)


def test_what_a_switch_costs(tmp_path: Path) -> None:
    """In instructions: a run of a plan in the family's image against one in an image of its own."""
    board = boards.load("mps2_an386")
    assert board.emulator is not None
    row, counts, static = image_inputs(1)[0], [], []
    for name, graph in zip(("family", *NAMES), (family(), *alone(family())), strict=True):
        _, data = pack(graph, board)
        (tmp_path / name).write_bytes(data)
        image = blob_image(read(data, name), board, tmp_path / "image.elf", linked=tmp_path / name)
        static.append(image.footprint.static_ram_bytes)
        with Emulator(board, image.elf, timeout_s=60) as emulator, Device(emulator.url) as device:
            orders = [(0, 1, 2, 1, 0, 2, 2), (0,)][name != "family"]
            ticks = [device.run(row, measure=True, plan=p).ticks or 0 for p in orders]
            counts.append([(p, board.emulator.instructions(t)) for p, t in zip(orders, ticks, strict=True)])
    in_family = [{n for p, n in counts[0] if p == plan} for plan in range(3)]
    assert all(len(found) == 1 for found in in_family), "whichever plan ran before, a run takes the same"
    costs = [found.pop() - own[0][1] for found, own in zip(in_family, counts[1:], strict=True)]
    print("instructions of a switch:", costs, "static RAM:", static)
    assert all(abs(cost) <= MOST_INSTRUCTIONS_OF_A_SWITCH for cost in costs)
    assert static[0] - max(static[1:]) <= 2 * SIZE_OF_MODEL + 64


@pytest.mark.parametrize(
    ("budget", "plan"), [(200_000, 0), (1 << 31, 0), (199_999, 1), (30_000, 1), (29_999, 2), (3_000, 2)]
)
def test_budget(device: Device, budget: int, plan: int) -> None:
    assert device.set_policy("budget", budget).plan == plan
    assert device.run(image_inputs(1)[0]).plan == plan


def test_refused_policies_change_nothing(device: Device) -> None:
    device.set_policy("plan", "medium")
    for kind, value, message in (
        ("budget", 2_999, "LINK_E_BUDGET.*found 2999.*allowed 3000"),
        ("budget", 0, "LINK_E_BUDGET.*found 0.*allowed 3000"),
    ):
        with pytest.raises(RefusedError, match=message):
            device.set_policy(kind, value)  # type: ignore[arg-type]
    for plan in (3, -1, "huge"):
        with pytest.raises(UserError, match=f"the model has no plan {plan}"):
            device.set_policy("plan", plan)
        with pytest.raises(UserError, match=f"the model has no plan {plan}"):
            device.run(image_inputs(1)[0], plan=plan)
    assert device.run(image_inputs(1)[0]).plan == 1


def cascade(x: NDArray[np.int8], margin: int, path: Sequence[int] = (2, 1, 0)) -> list[tuple[int, int]]:
    """(plan that answers, plans that run) of each row, worked out from the reference's outputs."""
    found = []
    outputs = expected(x)
    for row in range(len(x)):
        for ran, plan in enumerate(path, 1):
            second, first = np.sort(outputs[plan][row].reshape(-1).astype(int))[-2:]
            if plan == path[-1] or first - second >= margin:
                found.append((plan, ran))
                break
    return found


def check_cascade(
    device: Device, x: NDArray[np.int8], margin: int, path: Sequence[int] = (2, 1, 0)
) -> list[Result]:
    results = list(device.stream(list(x)))
    assert [(r.plan, r.plans_run) for r in results] == cascade(x, margin, path)
    outputs = expected(x)
    assert all(np.array_equal(r.outputs[0], outputs[r.plan][i]) for i, r in enumerate(results))
    return results


@pytest.mark.parametrize("margin", [0, 1, 14, 100, 256])
def test_cascade(bench: Bench, device: Device, margin: int) -> None:
    """The next plan runs on the very inputs of the one before; the copy of them is all that it costs in RAM."""
    x, before = image_inputs(), device.statistics()
    assert device.set_policy("cascade", margin).margin == margin
    results = check_cascade(device, x, margin)
    ran = [b - a for a, b in zip(before.plan_runs, device.statistics().plan_runs, strict=True)]
    assert sum(ran) == sum(r.plans_run for r in results)
    if margin == 14:
        assert {r.plan for r in results} == {0, 1, 2}, "else this test shows little"
    copied = 144  # 12 x 12 bytes, a multiple of 16
    assert device.statistics().memory_bytes == bench.plan.arena_bytes + copied
    device.set_policy("plan", 0)
    assert device.statistics().memory_bytes == bench.plan.arena_bytes


@pytest.mark.parametrize("to", [None, 0, 1, 2])
@pytest.mark.parametrize("margin", [None, 14, 100])
def test_cascade_to_a_plan(device: Device, margin: int | None, to: int | None) -> None:
    """Past those between; the blob's own margin is for plan 0."""
    path = {None: (2, 1, 0) if margin else (2, 0), 0: (2, 0), 1: (2, 1), 2: (2,)}[to]
    found = device.set_policy("cascade", margin, to)
    assert (found.plan, found.margin) == (2, 0 if to == 2 else margin or 14)
    check_cascade(device, image_inputs(), margin or 14, path)


def test_cascade_to_no_plan_is_refused(device: Device) -> None:
    device.set_policy("plan", 1)
    with pytest.raises(UserError, match="no plan 3"):
        device.set_policy("cascade", 14, 3)
    with pytest.raises(RefusedError, match=r"LINK_E_INDEX.*found 4.*allowed 3"):
        device._session.request(Code.POLICY, bytes([0, 2, 0, 4, 14, 0, 0, 0]))
    assert device.run(image_inputs(1)[0]).plan == 1, "the policy before holds"


def test_cascade_with_the_input_in_the_callers_memory(tmp_path: Path) -> None:
    """Nothing is copied: the arena does without the input, which outlives a run where it lies."""
    options = Options(caller_inputs=("input",))
    for bench in started("mps2_an386", tmp_path, options):
        before = bench.device.statistics().memory_bytes
        bench.device.set_policy("cascade", 14)
        check_cascade(bench.device, image_inputs(), 14)
        assert bench.device.statistics().memory_bytes == before == bench.plan.arena_bytes + 144


def test_cascade_without_a_margin_is_refused(tmp_path: Path) -> None:
    """Else 0, which stands for none, would let the cheapest plan answer always; a host's own 0 does so knowingly."""
    plan, data = pack(family(margin=0), boards.load("posix"))
    for bench in loaded(plan, "posix", tmp_path):
        bench.device.load_model(data)
        with pytest.raises(RefusedError, match=r"LINK_E_MARGIN.*found 0.*allowed 255") as refused:
            bench.device.set_policy("cascade")
        assert refused.value.hint == "Give one of 1 to 255: cascade:MARGIN."
        assert bench.device.run(image_inputs(1)[0]).plan == 0, "the policy before holds"
        for margin in (0, 14):
            assert bench.device.set_policy("cascade", margin).margin == margin


def test_profile_of_each_plan(bench: Bench, device: Device) -> None:
    row = image_inputs(1)[0]
    for i, plan in enumerate(bench.plan.every):
        steps = device.profile(row, plan=i)
        assert len(steps) == len(plan.steps)
        if bench.board.emulator is not None:
            whole = device.run(row, measure=True, plan=i).ticks or 0
            assert 0 < sum(steps) <= whole


def test_images_for_fewer_plans_refuse_the_blob_by_name(tmp_path: Path) -> None:
    board = boards.load("mps2_an386")
    _, data = pack(family(), board)
    kernels = kernels_named(read(data, "family").kernels)
    image = firmware(board, tmp_path / "image.elf", kernels=kernels, plans=2)
    with Emulator(board, image.elf, timeout_s=60) as emulator, Device(emulator.url) as device:
        with pytest.raises(RefusedError, match=r"LINK_E_PLANS.*found 3.*allowed 2"):
            device.load_model(data)
        _, small = pack(alone(family())[2], board)
        device.load_model(small)
        assert np.array_equal(device.run(image_inputs(1)[0]).outputs[0], expected(image_inputs(1))[2][0])


def test_an_image_for_one_plan_has_no_policies(tmp_path: Path) -> None:
    board = boards.load("mps2_an386")
    (tmp_path / "m.ofr").write_bytes(pack(alone(family())[2], board)[1])
    blob = read((tmp_path / "m.ofr").read_bytes(), "m")
    image = blob_image(blob, board, tmp_path / "image.elf", linked=tmp_path / "m.ofr")
    with Emulator(board, image.elf, timeout_s=60) as emulator, Device(emulator.url) as device:
        assert [p.name for p in device.info().plans] == ["small"]
        row = image_inputs(1)[0]
        assert np.array_equal(device.run(row, plan=0).outputs[0], device.run(row).outputs[0])
        with pytest.raises(RefusedError, match="LINK_E_REQUEST"):
            device.set_policy("budget", 1000)
        assert (device.statistics().loads, device.statistics().plan_runs) == (None, ())


def loaded(plan: Plan, board_name: str, folder: Path) -> Iterator[Bench]:
    """Without the planner's word that it fits together."""
    board = boards.load(board_name)
    blob = folder / "family.ofr"
    blob.write_bytes(write(plan))
    image = blob_image(read(blob.read_bytes(), blob), board, folder / "image.elf")
    with Emulator(board, image.elf, timeout_s=60) as emulator, Device(emulator.url) as device:
        yield Bench(board, plan, device)


def moved(plan: Plan, index: int, **fields: object) -> Plan:
    tensors = list(plan.tensors)
    tensors[index] = replace(tensors[index], **fields)  # type: ignore[arg-type]
    return replace(plan, tensors=tuple(tensors))


def test_plans_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    """Inputs at another place, or other outputs: each plan loads by itself, the family does not."""
    plan = pack(family(), boards.load("posix"))[0]
    large, medium, small = plan.every
    at = small.inputs[0]
    elsewhere = moved(small, at, offset=small.tensors[at].offset + 16)
    out = small.outputs[0]
    narrow = moved(small, out, tensor=replace(small.tensors[out].tensor, shape=(1, 9)))
    more = replace(small, outputs=small.outputs * 2)
    steps = replace(small, arena_bytes=0)
    for member, status in (
        (replace(elsewhere, arena_bytes=small.arena_bytes + 16), "LINK_E_FAMILY.*found 2"),
        (more, "LINK_E_FAMILY.*found 2"),
        (narrow, "OFR_E_"),
        (steps, "OFR_E_TENSOR"),
    ):
        for bench in loaded(replace(large, members=(medium, member)), "posix", tmp_path):
            with pytest.raises(RefusedError, match=status):
                bench.device.load_model(write(bench.plan))
            assert bench.device.info().model.source == ""


def test_each_plan_has_a_state_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "s.tflite").write_bytes(seeds.streaming_net())
    graph = load_model(tmp_path / "s.tflite")
    plan, data = pack(replace(graph, members=(replace(graph, name="twin"),)), boards.load("posix"))
    tensor = graph.tensors[graph.inputs[0]]
    rows = np.random.default_rng(1).integers(-128, 128, (8, *tensor.shape), np.int8)
    references = [Reference(graph), Reference(graph)]
    for bench in loaded(plan, "posix", tmp_path):
        bench.device.load_model(data)
        for i, row in enumerate(rows):
            of = (0, 0, 1, 0, 1, 1, 1, 0)[i]
            found = bench.device.run([row], plan=of).outputs
            wanted = references[of].run([row])
            assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))
        states = 2 * aligned(plan.state_bytes)
        assert bench.device.statistics().memory_bytes == plan.arena_bytes + states
        with pytest.raises(RefusedError, match="LINK_E_CASCADE"):
            bench.device.set_policy("cascade", 3)
        bench.device.reset_state()
        for of in (0, 1):
            wanted = Reference(graph).run([rows[0]])
            found = bench.device.run([rows[0]], plan=of).outputs
            assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))
