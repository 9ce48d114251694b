"""`offramp bench`: what a model costs on boards, in instructions and bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from offramp import boards
from offramp.cli.blob_file import blob_for
from offramp.cli.leaving import of_spread, show_spread
from offramp.cli.options import (
    FlashLimit,
    Json,
    Kernels,
    ModelOrBlob,
    NoPasses,
    Optimize,
    RamLimit,
    TimeLimit,
    plan_options,
)
from offramp.cli.output import note, print_facts, print_json, print_table, progress, say_error
from offramp.errors import UserError
from offramp.plan import Options
from offramp_host.measure import Measurement, measure
from offramp_host.rows import read_rows


def bench(
    file: ModelOrBlob,
    board: Annotated[list[str], typer.Option("--board", "-b", metavar="B...", help="One board or several.")],
    more_boards: Annotated[list[str] | None, typer.Argument(metavar="B", help="More boards.")] = None,
    kernels: Kernels = "auto",
    no_passes: NoPasses = False,
    optimize: Optimize = "balanced",
    flash_limit: FlashLimit = None,
    ram_limit: RamLimit = None,
    inputs: Annotated[
        Path | None,
        typer.Option(
            "--inputs", "-i", metavar="X.npy|npz", help="Of a model with exits, rows to leave by them."
        ),
    ] = None,
    time_limit: TimeLimit = 120.0,
    as_json: Json = False,
) -> None:
    """Measure a model on emulated boards: one inference on seeded random input."""
    names = [name for text in (*board, *(more_boards or ())) for name in text.split(",") if name]
    targets = [boards.load(name) for name in names]
    options = plan_options(
        kernels, no_passes=no_passes, optimize=optimize, flash_limit=flash_limit, ram_limit=ram_limit
    )
    rows: list[Measurement] = []
    refusals: dict[str, UserError] = {}
    for target in targets:
        try:
            rows.append(bench_on(target, file, options, time_limit, inputs))
        except UserError as error:  # the other boards are measured all the same
            refusals[error.message] = error
    if as_json and rows:
        print_json([asdict(row) for row in rows])
    elif rows:
        show_boards(rows)
        for row in rows:
            show_plans(row)
            show_stages(row)
            show_steps(row)
        note(
            "\nInstructions on seeded random input, right to a tick of the board's counter at each end"
            f"{ticks_on(targets)}; image: flash without the model."
        )
    for refusal in refusals.values():
        say_error(refusal.message, refusal.hint)
    if refusals:
        raise typer.Exit(1)


def ticks_on(targets: Sequence[boards.Board]) -> str:
    """What a tick is on those that count."""
    told = ", ".join(board.tick for board in targets if board.emulator is not None)
    return f" ({told})" if told else ""


def bench_on(
    board: boards.Board, file: Path, options: Options, time_limit_s: float, inputs: Path | None
) -> Measurement:
    boards.must_run_here(board)
    blob, data = blob_for(file, board, options)
    if inputs is not None and not blob.plans[0].exits:
        raise UserError(
            f"--inputs {inputs}: {file} has no exits, so that no row takes another way than a random one",
            "leave it out; `offramp run` gives a model's outputs",
        )
    rows = read_rows(inputs, blob.inputs) if inputs is not None else []
    with progress(f"measuring on {board.name}"):
        return measure(board, data, name=str(file), time_limit_s=time_limit_s, rows=rows)


def show_boards(rows: Sequence[Measurement]) -> None:
    columns = ("board", "instructions", "init", "image", "model", "arena", "state", "static", "stack")
    table = [
        (
            row.board,
            row.instructions_per_inference,
            row.instructions_init,
            sum(row.flash_bytes.values()) - row.flash_bytes["model"],
            row.flash_bytes["model"],
            row.arena_bytes,
            row.state_bytes,
            row.static_ram_bytes,
            row.stack_bytes,
        )
        for row in rows
    ]
    print_table(f"{rows[0].model}: {rows[0].macs:,} MACs", columns, table)


def show_plans(row: Measurement) -> None:
    """A family's; state and arena are in the table above."""
    columns = (
        "",
        "plan",
        "instructions",
        "stated",
        "MACs",
        "own bytes",
        "shared",
        "arena",
        "state",
        "accuracy",
    )
    plans = [
        (
            i,
            plan.name,
            plan.instructions_per_inference,
            plan.instructions_stated,
            plan.macs,
            plan.own_bytes,
            plan.shared_bytes,
            plan.arena_bytes,
            plan.state_bytes,
            plan.accuracy,
        )
        for i, plan in enumerate(row.plans)
    ]
    if plans:
        print_table(f"\nplans on {row.board}", columns, plans)


def show_stages(row: Measurement) -> None:
    """Of a model with exits, and by which of them the rows left."""
    columns = ("up to", "steps", "of them head", "instructions", "proved", "head", "proved")
    stages = [
        (s.name, s.n_steps, s.head_steps, s.instructions, s.instructions_proved)
        + ((s.head_instructions, s.head_instructions_proved) if s.head_steps else (None, None))
        for s in row.stages
    ]
    if stages:
        print_table(f"\nstages on {row.board}", columns, stages)
    show_spread(of_spread(row.exits), f"\nexits on {row.board}")


def show_steps(row: Measurement) -> None:
    total = row.instructions_per_inference or 0
    steps = [
        (
            i,
            step.kernel,
            step.instructions,
            f"{100 * step.instructions / total:.1f}" if step.instructions is not None and total else None,
            step.macs,
            step.instructions / step.macs if step.instructions is not None and step.macs else None,
        )
        for i, step in enumerate(row.steps)
    ]
    of = f" of {row.plans[0].name}" if row.plans else ""
    print_table(f"\nsteps{of} on {row.board}", ("", "kernel", "instructions", "%", "MACs", "a MAC"), steps)
    library = f", CMSIS-NN {row.cmsis_nn_version}" if row.cmsis_nn_version else ""
    facts = [("compiler", row.compiler + library)]
    if row.certificate is not None:
        facts.append(("certificate", "holds for this image; nothing measured exceeds it"))
    print_facts("", facts)
