"""Profiles a blob on an emulated board: instructions by class and function, and the cycles that they make."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from offramp import cycles
from offramp.blob import read
from offramp.boards import Board
from offramp.build.blob_image import blob_image, check_board
from offramp.build.image import Image
from offramp.cycles import Counts, CycleModel
from offramp.errors import UserError
from offramp_host.device import Device
from offramp_host.disassembly import Code, disassemble
from offramp_host.emulator import Emulator
from offramp_host.measure import random_row
from offramp_host.tcg import Section, count_args, read_sections


@dataclass(frozen=True)
class Cost:
    """What some part of an inference costs. Instructions and bytes are exact, cycles an estimate."""

    instructions: int
    cycles: int
    flash_bytes: int
    """Data read from the region that holds code and model; literals of code are among it."""
    counts: Counts
    """By class and event of the cycle model."""


@dataclass(frozen=True)
class FunctionCost:
    function: str
    cost: Cost


@dataclass(frozen=True)
class StepProfile:
    op: str
    name: str
    kernel: str
    macs: int
    cost: Cost
    functions: Sequence[FunctionCost]
    """The dearest first."""


@dataclass(frozen=True)
class Profile:
    """Of one inference on the input that `random_row` makes."""

    board: str
    core: str
    model: str
    cycle_model: str
    """Where its timings come from."""
    read_cycles_per_byte: float
    compiler: str
    cost: Cost
    steps: Sequence[StepProfile]
    functions: Sequence[FunctionCost]

    @property
    def core_cycles(self) -> float:
        """Without what reading flash costs."""
        return self.cost.cycles - self.read_cycles_per_byte * self.cost.flash_bytes


def profile(
    board: Board, data: bytes, *, name: str = "blob", time_limit_s: float = 120.0, plan: str = "0"
) -> Profile:
    """Links the blob into an image with its kernels alone and runs it on the emulated board, as `measure` does.

    `name` is for messages; `plan` is a number or a name; `time_limit_s` holds for one inference. UserError for a board
    without an emulator.
    """
    model = cycles.cycle_model(board.core.name)
    if board.emulator is None or model is None:
        raise UserError(
            f"{board.name} does not count instructions", "profile on an emulated board: `offramp boards`"
        )
    blob = read(data, name)
    check_board(blob, board, name)
    index = blob.plan_index(plan, name)
    steps = blob.plans[index].steps
    with tempfile.TemporaryDirectory(prefix="offramp-") as folder:
        linked = Path(folder) / "model.ofr"
        linked.write_bytes(data)
        image = blob_image(blob, board, Path(folder) / "image.elf", linked=linked)
        sections = _step_sections(board, image, index, len(steps), time_limit_s)
        code = disassemble(image.elf, board.core)
    price = _Price(model, board.code.read_cycles_per_byte)
    return Profile(
        board=board.name,
        core=board.core.name,
        model=blob.plans[index].name,
        cycle_model=model.source,
        read_cycles_per_byte=price.read_cycles_per_byte,
        compiler=image.compiler,
        cost=price.cost(sections, code),
        steps=[
            StepProfile(
                step.op,
                step.name,
                step.kernel,
                step.macs,
                price.cost([section], code),
                price.functions([section], code),
            )
            for step, section in zip(steps, sections, strict=True)
        ],
        functions=price.functions(sections, code),
    )


def _step_sections(board: Board, image: Image, plan: int, n_steps: int, time_limit_s: float) -> list[Section]:
    """What ran in each step of one inference; the counts go to a file beside the image."""
    counted = image.elf.with_name("counted")
    with (
        Emulator(
            board, image.elf, timeout_s=10 * time_limit_s, args=count_args(board, image.elf, counted)
        ) as emulator,
        Device(emulator.url, timeout_s=time_limit_s) as device,
    ):
        device.profile(random_row(device.info().inputs), plan=plan)
    # The last inference ran to its end. The ticks are read before a step, after it, and twice more for what
    # reading them costs, so of the four sections that end with a step's readings the second is the step.
    sections = read_sections(counted)[-4 * n_steps :][1::4]
    assert len(sections) == n_steps
    return sections


@dataclass(frozen=True)
class _Price:
    """What turns counts into cycles."""

    model: CycleModel
    read_cycles_per_byte: float

    def cost(self, sections: Iterable[Section], code: Code) -> Cost:
        counts: Counter[str] = Counter()
        flash_bytes = 0
        for section in sections:
            counts += tally(section, code)
            flash_bytes += sum(executed.flash_bytes for executed in section.values())
        core = self.model(counts)
        return Cost(
            instructions=cycles.instructions(counts),
            cycles=round(core + self.read_cycles_per_byte * flash_bytes),
            flash_bytes=flash_bytes,
            counts=dict(sorted(counts.items())),
        )

    def functions(self, sections: Iterable[Section], code: Code) -> list[FunctionCost]:
        parts: defaultdict[str, list[Section]] = defaultdict(list)
        for section in sections:
            for pc, executed in section.items():
                parts[code.function(pc)].append({pc: executed})
        found = [FunctionCost(name, self.cost(of, code)) for name, of in parts.items()]
        return sorted(found, key=lambda f: f.cost.cycles, reverse=True)


def tally(section: Section, code: Code) -> Counter[str]:
    """How many instructions of each class ran, and how often each event came."""
    counts: Counter[str] = Counter()
    for pc, executed in section.items():
        instruction = code.instructions[pc]
        if instruction.name == "branch":
            counts["branch_taken"] += executed.taken
            counts["branch_not_taken"] += executed.times - executed.taken
        else:
            counts[instruction.name] += executed.times
        for event, n in instruction.events:
            counts[event] += n * executed.times
    return +counts
