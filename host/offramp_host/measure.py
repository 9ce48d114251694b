"""Measures a blob on a board: instructions, flash, RAM and stack, all from one image."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from offramp.blob import read
from offramp.blob.read import PlanRecord
from offramp.boards import Board
from offramp.build.blob_image import blob_image, caller_bytes, check_board, memory_bytes
from offramp.build.sources import Category
from offramp.kernels import SETS
from offramp.plan import Certificate
from offramp_host.certificate import check, holds_for
from offramp_host.device import Device, ExitPolicy, TensorInfo
from offramp_host.emulator import Emulator
from offramp_host.exits import Spread, StageInfo, spread

SEED = 0
ROWS = 20
"""Random rows of a model with exits, where none are given."""


@dataclass(frozen=True)
class StepCost:
    """`instructions` is None where the board does not count them."""

    op: str
    name: str
    kernel: str
    instructions: int | None
    macs: int


@dataclass(frozen=True)
class StageCost:
    """Steps up to an exit or the end, the head last. `…_proved` add what it takes to decide whether a run leaves."""

    name: str
    n_steps: int
    head_steps: int
    instructions: int | None
    head_instructions: int | None
    instructions_proved: int | None
    head_instructions_proved: int | None


@dataclass(frozen=True)
class PlanCost:
    """One plan of a family. `own_bytes` of the blob's constants are its alone, `shared_bytes` other plans' too."""

    name: str
    instructions_per_inference: int | None
    instructions_stated: int | None
    """What the blob says: an estimate, or proven."""
    macs: int
    own_bytes: int
    shared_bytes: int
    arena_bytes: int
    state_bytes: int
    accuracy: str | None
    """As the plan's metadata give it."""
    steps: Sequence[StepCost]


@dataclass(frozen=True)
class Measurement:
    """One row of a benchmark. Instructions are those for the input that `random_row` makes, to the model's end; None on
    posix."""

    board: str
    model: str
    kernels: str
    """The best kernel set that a step uses; what it lacks is served by generic."""
    instructions_per_inference: int | None
    instructions_init: int | None
    """The structural check at load; the CRC is apart."""
    instructions_crc: int | None
    macs: int
    steps: Sequence[StepCost]
    flash_bytes: Mapping[Category, int]
    blob_bytes: int
    model_file_bytes: int | None
    """Of the file that the blob was packed from; None where the blob does not say."""
    arena_bytes: int
    """Inputs and outputs included, wherever they lie."""
    state_bytes: int
    static_ram_bytes: int
    """Beside arena, stack and link buffers."""
    stack_bytes: int | None
    """Most that was used, startup, link and inference together; None where the board does not see it."""
    compiler: str
    cmsis_nn_version: str | None
    certificate: Certificate | None
    """The blob's, where it is for this image: nothing measured exceeds it."""
    plans: Sequence[PlanCost] = ()
    """Of a family; the figures above are then those of its plan 0, but the sizes those of all."""
    stages: Sequence[StageCost] = ()
    """Of a plan 0 with exits."""
    exits: Spread | None = None
    """How the rows left."""


def measure(
    board: Board,
    data: bytes,
    *,
    name: str = "blob",
    time_limit_s: float = 120.0,
    rows: Sequence[Sequence[NDArray[np.generic]]] = (),
) -> Measurement:
    """Links the blob `data` into an image with its kernels alone and runs it on the emulated board.

    `name` is for messages; `time_limit_s` holds for one inference. Of a model with exits `rows` are run too, or random
    ones. UserError where a run exceeds what is certified.
    """
    blob = read(data, name)
    check_board(blob, board, name)
    with tempfile.TemporaryDirectory(prefix="offramp-") as folder:
        linked = Path(folder) / "model.ofr"
        linked.write_bytes(data)
        image = blob_image(blob, board, Path(folder) / "image.elf", linked=linked)
        with (
            Emulator(board, image.elf, timeout_s=10 * time_limit_s) as emulator,
            Device(emulator.url, timeout_s=time_limit_s) as device,
        ):
            row = random_row(device.info().inputs)
            stages = device.info().plans[0].stages if blob.plans[0].exits else ()
            ran = [ticks_of(device, row, i) for i in range(len(blob.plans))]
            ticks, step_ticks = ran[0]
            seen = device.statistics()
            left = how_rows_leave(device, board, stages, rows) if stages else None
        certificate = holds_for(blob, image.elf)
    sizes = image.footprint
    if certificate is not None:
        check(
            certificate,
            name,
            [instructions(board, n) or 0 for n in step_ticks],
            instructions(board, sum(step_ticks) if stages else ticks) or 0,
            seen.stack_bytes,
            memory_bytes(blob) + sizes.static_ram_bytes + sizes.link_buffer_bytes + seen.stack_bytes,
        )
    sets = {step.kernel.split("/")[0] for step in blob.steps}
    source_bytes = blob.metadata.get("source_bytes")
    return Measurement(
        board=board.name,
        model=blob.name,
        kernels=next((s for s in SETS if s in sets), ""),
        instructions_per_inference=instructions(board, ticks),
        instructions_init=instructions(board, seen.load_ticks),
        instructions_crc=instructions(board, seen.crc_ticks),
        macs=blob.plans[0].macs,
        steps=step_costs(board, blob.plans[0], step_ticks),
        flash_bytes=sizes.flash_bytes,
        blob_bytes=len(data),
        model_file_bytes=int(source_bytes) if source_bytes else None,
        arena_bytes=blob.arena_bytes + caller_bytes(blob),
        state_bytes=blob.state_bytes,
        static_ram_bytes=sizes.static_ram_bytes,
        stack_bytes=seen.stack_bytes or None,
        compiler=image.compiler,
        cmsis_nn_version=image.cmsis_nn_version,
        certificate=certificate,
        plans=[plan_cost(board, plan, *seen) for plan, seen in zip(blob.plans, ran, strict=True)]
        if len(blob.plans) > 1
        else (),
        stages=[stage_cost(board, stage, step_ticks) for stage in stages],
        exits=left,
    )


def how_rows_leave(
    device: Device,
    board: Board,
    stages: Sequence[StageInfo],
    rows: Sequence[Sequence[NDArray[np.generic]]],
) -> Spread:
    """Plan 0 by its thresholds."""
    inputs = device.info().inputs
    found = list(device.stream(rows or [random_row(inputs, i) for i in range(ROWS)], measure=True, plan=0))
    counts = [board.emulator.instructions(r.ticks or 0) for r in found] if board.emulator else []
    most = device.set_exit_policy(ExitPolicy()).most
    return spread(stages, [(r.exit, r.outcome) for r in found], counts, most)


def stage_cost(board: Board, stage: StageInfo, step_ticks: Sequence[int]) -> StageCost:
    ticks = step_ticks[stage.first_step : stage.first_step + stage.n_steps]
    head = ticks[len(ticks) - stage.head_steps :]
    return StageCost(
        stage.exit.name if stage.exit is not None else "end",
        stage.n_steps,
        stage.head_steps,
        instructions(board, sum(ticks)),
        instructions(board, sum(head)),
        stage.instructions or None,
        stage.head_instructions or None,
    )


def ticks_of(device: Device, row: Sequence[NDArray[np.generic]], plan: int) -> tuple[int, list[int]]:
    """Of an inference, and of each step."""
    whole = device.run(row, state="reset", measure=True, plan=plan, to_the_end=True).ticks or 0
    return whole, device.profile(row, plan=plan)


def step_costs(board: Board, plan: PlanRecord, ticks: Sequence[int]) -> list[StepCost]:
    return [
        StepCost(step.op, step.name, step.kernel, instructions(board, n), step.macs)
        for step, n in zip(plan.steps, ticks, strict=True)
    ]


def plan_cost(board: Board, plan: PlanRecord, ticks: int, step_ticks: Sequence[int]) -> PlanCost:
    return PlanCost(
        plan.name,
        instructions(board, ticks),
        plan.instructions or None,
        plan.macs,
        plan.own_bytes,
        plan.shared_bytes,
        plan.arena_bytes,
        plan.state_bytes,
        plan.metadata.get("accuracy"),
        step_costs(board, plan, step_ticks),
    )


def instructions(board: Board, ticks: int) -> int | None:
    return board.emulator.instructions(ticks) if board.emulator is not None else None


def random_row(inputs: Sequence[TensorInfo], seed: int = SEED) -> list[NDArray[np.generic]]:
    """Seeded random values over each input's whole range; the same for every board."""
    random = np.random.default_rng(seed)
    return [
        np.frombuffer(random.bytes(tensor.n_bytes), tensor.dtype).reshape(tensor.shape) for tensor in inputs
    ]
