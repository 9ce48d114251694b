"""`offramp profile`: where an inference's instructions and cycles go, by step and by function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from offramp import boards
from offramp.cli.blob_file import blob_for
from offramp.cli.flame import flame
from offramp.cli.options import (
    Board,
    FlashLimit,
    Json,
    Kernels,
    ModelOrBlob,
    Optimize,
    PlanChoice,
    RamLimit,
    TimeLimit,
    plan_options,
)
from offramp.cli.output import (
    check_output,
    note,
    print_facts,
    print_json,
    print_table,
    progress,
    write_output,
)
from offramp.cycles import INSTRUCTIONS
from offramp_host.profile import Cost, FunctionCost, Profile
from offramp_host.profile import profile as profile_on


def profile(
    file: ModelOrBlob,
    board: Board,
    kernels: Kernels = "auto",
    optimize: Optimize = "balanced",
    flash_limit: FlashLimit = None,
    ram_limit: RamLimit = None,
    functions: Annotated[
        int, typer.Option("--functions", metavar="N", min=1, help="Functions to show, the dearest first.")
    ] = 10,
    plan: PlanChoice = "0",
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Draw steps and functions, a static picture.")
    ] = None,
    time_limit: TimeLimit = 120.0,
    as_json: Json = False,
) -> None:
    """Count one inference by step, function and instruction class, and estimate its cycles."""
    if svg is not None:
        check_output(svg, file, option="--svg")
    target = boards.must_run_here(boards.load(board))
    options = plan_options(kernels, optimize=optimize, flash_limit=flash_limit, ram_limit=ram_limit)
    _, data = blob_for(file, target, options)
    with progress(f"profiling on {target.name}"):
        found = profile_on(target, data, name=str(file), time_limit_s=time_limit, plan=plan)
    if svg is not None:
        write_output(svg, flame(found).encode())
        note(f"wrote {svg}")
    if as_json:
        print_json(as_data(found))
    else:
        show(found, functions)


def as_data(found: Profile) -> dict[str, Any]:
    """The profile's fields; keys of cycles say that they are estimates."""

    def named(value: Any) -> Any:
        if isinstance(value, dict):
            return {"cycles_estimate" if k == "cycles" else k: named(v) for k, v in value.items()}
        return [named(item) for item in value] if isinstance(value, list | tuple) else value

    data: dict[str, Any] = named(asdict(found))
    return data


def show(found: Profile, n_functions: int) -> None:
    columns = ("", "kernel", "instructions", "cycles, est.", "%", "a MAC, est.", "flash bytes")
    print_table(
        f"{found.model} on {found.board}, {found.core}: steps",
        columns,
        [(i, step.kernel, *figures(step.cost, found.cost, step.macs)) for i, step in enumerate(found.steps)]
        + [("", "in all", *figures(found.cost, found.cost, sum(step.macs for step in found.steps)))],
    )
    show_functions(found.functions[:n_functions], found.cost)
    show_classes(found.cost)
    price = f"{found.read_cycles_per_byte:g} cycles a byte of data read from the code's region"
    print_facts("", [("cycles", f"estimate: {found.cycle_model}; {price}"), ("compiler", found.compiler)])
    note(
        "\nInstructions are exact and hold the reading of the counter around each step; cycles are estimates."
    )


def figures(cost: Cost, whole: Cost, macs: int) -> tuple[Any, ...]:
    return (
        cost.instructions,
        cost.cycles,
        f"{100 * cost.cycles / whole.cycles:.1f}",
        cost.cycles / macs if macs else None,
        cost.flash_bytes,
    )


def show_functions(functions: Sequence[FunctionCost], whole: Cost) -> None:
    rows = [(f.function, *figures(f.cost, whole, 0)[:3], f.cost.flash_bytes) for f in functions]
    print_table("\nfunctions", ("function", "instructions", "cycles, est.", "%", "flash bytes"), rows)


def show_classes(cost: Cost) -> None:
    rows = [
        (name.replace("_", " "), n, f"{100 * n / cost.instructions:.1f}")
        for name in INSTRUCTIONS
        if (n := cost.counts.get(name, 0))
    ]
    print_table("\nclasses", ("class", "instructions", "%"), rows)
