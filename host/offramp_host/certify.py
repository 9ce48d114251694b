"""Proves how many instructions each step of a plan takes at most, whatever its input, and what stack and RAM.

The image runs in the emulator while all that depends on the arena's and the state's contents is followed (taint.c).
Where no decision depends on them every run goes the same way, and the count is exact. Where a branch does, and its
ways meet again without a loop, a call or a store between, the longest of them bounds what it takes, and all that
these ways write counts as dependent too. Anything else is refused.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from offramp.blob import read, write
from offramp.boards import Board
from offramp.build import compiler_for
from offramp.build.blob_image import blob_image, memory_bytes
from offramp.errors import UserError
from offramp.plan import Bound, Certificate, Plan
from offramp_host import stack
from offramp_host.certificate import code_sha256
from offramp_host.device import Device
from offramp_host.emulator import Emulator
from offramp_host.flow import Function, Parting, Program, program
from offramp_host.measure import random_row
from offramp_host.tcg import taint_args

_UNKNOWN = 0xFFFFFFFF
_DECISIONS = {
    "b": "what comes next",
    "s": "where it stores",
    "g": "whether it stores",
    "x": "something unknown",
}


@dataclass(frozen=True)
class Section:
    """What ran between two readings of the counter. By kind (see taint.c) and address, what depended on data: how
    often, and how many instructions then ran before the ways met again."""

    instructions: int
    decisions: Mapping[tuple[str, int], tuple[int, int]]


class Unbounded(Exception):
    """What a section did that has no bound."""


def certify(plan: Plan, board: Board, time_limit_s: float = 120.0) -> tuple[Plan, bytes]:
    """The plan with its certificate, and its blob. UserError where something has no bound, or no emulator counts."""
    if board.emulator is None:
        raise UserError(
            f"{board.name} does not count instructions, so that nothing can be certified for it",
            "pack for an emulated board: `offramp boards`",
        )
    if plan.members:
        raise UserError(
            f"{plan.name} is a family of {len(plan.every)} plans; bounds are proved for an image of one",
            "pack a member by itself to certify it, or leave out --certify",
        )
    # Bounds are numbers of fixed size in the blob, so that the code around it does not change with them.
    bound = Bound(_UNKNOWN, _UNKNOWN)
    compiler = str(compiler_for(board.core))
    unknown = Certificate((bound,) * len(plan.steps), bound, _UNKNOWN, _UNKNOWN, compiler, "0" * 64)
    with tempfile.TemporaryDirectory(prefix="offramp-") as folder:
        blob = write(replace(plan, certificate=unknown))
        linked = Path(folder) / "model.ofr"
        linked.write_bytes(blob)
        described = read(blob, plan.name)
        image = blob_image(described, board, Path(folder) / "image.elf", linked=linked)
        code = program(image.elf, board.core)
        steps, inference = _follow(board, image.elf, code, Path(folder), time_limit_s, plan)
        try:
            stack_bytes = stack.stack_bytes(board, image.elf, code)
        except stack.Unbounded as error:
            raise UserError(f"the stack of {board.name}'s image has no bound: {error}", _WAY_OUT) from error
        sizes = image.footprint
        ram_bytes = memory_bytes(described) + sizes.static_ram_bytes + sizes.link_buffer_bytes + stack_bytes
        certificate = Certificate(
            tuple(_bound(plan, i, section, code) for i, section in enumerate(steps)),
            bounds(inference, code) if inference else unknown.inference,
            stack_bytes,
            ram_bytes,
            compiler,
            code_sha256(image.elf),
        )
    if plan.exits:
        certificate = replace(certificate, inference=way_through(plan, certificate))
    certified = replace(plan, certificate=certificate)
    return certified, write(certified)


POLICY = {"RUN": 800, "EXIT": 250, "STAGE": 200, "STEP": 60, "BYTE": 20}
"""What offramp_policy.h takes at most, by its OFR_POLICY_…_INSTRUCTIONS."""


def way_through(plan: Plan, certificate: Certificate) -> Bound:
    """Of a plan with exits: at most all stages under a policy, at least the first. Where a run goes data decide,
    so that it is put together of steps and decisions."""
    most = sum(stage.proved(certificate)[0] for stage in plan.stages)
    most += POLICY["RUN"] + POLICY["STAGE"] * len(plan.stages) + POLICY["STEP"] * len(plan.steps)
    answers = [plan.tensors[i].tensor.bytes for i in (*(e.answer for e in plan.exits), plan.outputs[0])]
    most += POLICY["EXIT"] * len(plan.exits) + POLICY["BYTE"] * sum(answers)
    first = plan.stages[0]
    return Bound(most, sum(bound.least for bound in certificate.steps[: first.end]))


_WAY_OUT = "another kernel set may do: --kernels generic; `offramp pack` without --certify needs no bounds"


def _bound(plan: Plan, i: int, section: Section, code: Program) -> Bound:
    try:
        return bounds(section, code)
    except Unbounded as error:
        step = plan.steps[i]
        kernel = f"{step.kernel.set}/{step.kernel.name}"
        raise UserError(
            f"{plan.name}: the instructions of step {i} ({step.name}, {kernel}) have no bound: {error}",
            _WAY_OUT,
        ) from error


def bounds(section: Section, code: Program) -> Bound:
    """What it takes whatever the data; Unbounded names the first decision that spoils it."""
    most = least = section.instructions
    for (kind, pc), (times, inside) in section.decisions.items():
        function = code.function(pc)
        at = f"{function.lines[pc].mnemonic} {function.lines[pc].operands} at {function.name}+{pc - function.start:#x}"
        if kind != "b" or function.effects[pc].kind != "branch":
            raise Unbounded(f"data decide {_DECISIONS[kind]}, {at}")
        parting = function.parting(pc)
        if parting.meet == 0:
            raise Unbounded(f"data decide whether there is {parting.why}, {at}")
        most += times * parting.longest - inside
        least += times * parting.shortest - inside
    return Bound(most, least)


def _follow(
    board: Board, elf: Path, code: Program, folder: Path, time_limit_s: float, plan: Plan
) -> tuple[list[Section], Section | None]:
    """What each step did, and a whole inference, which with exits reads the counter at each step: None."""
    with (
        following(board, elf, code, folder, timeout_s=10 * time_limit_s) as (emulator, out),
        Device(emulator.url, timeout_s=time_limit_s) as device,
    ):
        row = random_row(device.info().inputs)
        device.profile(row)
        if not plan.exits:
            device.run(row, state="reset", measure=True)
    # The counter is read before what is measured, after it, and twice more for what reading it costs.
    sections = read_sections(out)
    inference = None if plan.exits else sections[-4:][1]
    ends = len(sections) - (0 if plan.exits else 4)
    return sections[ends - 4 * len(plan.steps) : ends][1::4], inference


@contextmanager
def following(
    board: Board, elf: Path, code: Program, folder: Path, *, timeout_s: float
) -> Iterator[tuple[Emulator, Path]]:
    """The image, running while what depends on the arena's contents is followed; and where that is written."""
    rules, out = folder / "rules", folder / "followed"
    rules.write_text("".join(rule for function in code.functions for rule in _rules(function)))
    with Emulator(board, elf, timeout_s=timeout_s, args=taint_args(board, elf, rules, out)) as emulator:
        yield emulator, out


def _rules(function: Function) -> Iterable[str]:
    """As taint.c reads them."""
    nothing = Parting(0, "", 0, 0, 0)
    for pc, e in function.effects.items():
        if e.unknown:
            continue  # seen when it runs
        ways = function.parting(pc) if e.kind == "branch" else nothing
        numbers = [pc, e.reads, e.writes, e.changes, e.address, e.guard, e.decides, ways.meet, ways.written]
        numbers += [e.memory == "store", len(e.words), *e.words]
        yield " ".join(f"{number:x}" for number in numbers) + "\n"


def read_sections(path: Path) -> list[Section]:
    """The sections that have ended, oldest first."""
    sections: list[Section] = []
    decisions: dict[tuple[str, int], tuple[int, int]] = {}
    for line in path.read_text().splitlines():
        kind, *numbers = line.split()
        if kind == "end":
            sections.append(Section(int(numbers[0]), decisions))
            decisions = {}
        else:
            decisions[kind, int(numbers[0], 16)] = int(numbers[1]), int(numbers[2])
    return sections
