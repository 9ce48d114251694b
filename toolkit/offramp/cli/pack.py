"""`offramp pack`: model file -> blob."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from offramp import boards
from offramp import pack as packing
from offramp.build.memory_map import arena_region
from offramp.cli import stages
from offramp.cli.certificate import as_data, show_certificate
from offramp.cli.explain import explanation, show_explanation
from offramp.cli.options import (
    Board,
    CallerInputs,
    Certify,
    FlashLimit,
    FrontEnd,
    Json,
    KeepInputs,
    Kernels,
    Model,
    NoNames,
    NoPasses,
    Optimize,
    RamLimit,
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
from offramp.errors import UserError
from offramp.features import kind_of
from offramp.plan import Plan, PlannedStep
from offramp_host.certify import certify as certify_plan


def pack(
    model: Model,
    board: Board,
    out: Annotated[
        Path | None, typer.Option("-o", metavar="OUT.ofr", help="Default: the model's name, here.")
    ] = None,
    kernels: Kernels = "auto",
    keep_inputs: KeepInputs = False,
    caller_inputs: CallerInputs = None,
    no_passes: NoPasses = False,
    certify: Certify = False,
    optimize: Optimize = "balanced",
    flash_limit: FlashLimit = None,
    ram_limit: RamLimit = None,
    no_names: NoNames = False,
    front_end: FrontEnd = None,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Show the ways of serving each op, their estimates and the choice."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Pack a model into the blob that a board runs."""
    if model.suffix.lower() == ".ofr":
        raise UserError(f"{model} is packed already", "pass the model file that it was packed from")
    target = boards.load(board)
    path = out or Path(f"{model.stem}.ofr")
    check_output(path, model)
    options = plan_options(
        kernels, keep_inputs, caller_inputs, no_passes, optimize, flash_limit, ram_limit, no_names, front_end
    )
    with progress(f"packing {model.name}"):
        plan, blob = packing.pack(model, target, options)
    if certify:
        with progress(f"certifying for {target.name}"):
            plan, blob = certify_plan(plan, target)
        packing.check_flash(plan.name, len(blob), target, options)
    write_output(path, blob)
    if (lack := packing.flash_lack(len(blob), target)) > 0:
        note(
            f"note: {lack} bytes too many to be linked into {target.name}'s {target.code.name}; "
            f"it fits the model slot in {target.model_slot.region.name}"
        )
    summary = summarize(plan, blob, path, target.name)
    explained = explanation(plan) if explain else None
    if as_json:
        print_json(summary | ({"ops": explained} if explained is not None else {}))
    else:
        show(summary, target)
        if explained is not None:
            show_explanation(explained)


def summarize(plan: Plan, blob: bytes, path: Path, board: str) -> dict[str, Any]:
    return {
        "file": str(path),
        "model": plan.name,
        "board": board,
        "core": plan.core,
        "blob_bytes": len(blob),
        "constants_bytes": len(plan.constants),
        "arena_bytes": max(p.arena_bytes for p in plan.every),
        "least_arena_bytes": max(p.least_arena_bytes for p in plan.every),
        "state_bytes": sum(p.state_bytes for p in plan.every),
        "plans": [
            {
                "name": p.name,
                "instructions_estimate": p.instructions or None,
                "arena_bytes": p.arena_bytes,
                "state_bytes": p.state_bytes,
                "macs": p.macs,
            }
            for p in plan.every
        ],
        "stages": stages.of_plan(plan),
        "macs": plan.macs,
        "kernels": dict(Counter(step_name(step) for p in plan.every for step in p.steps)),
        "metadata": plan.metadata,
        "certificate": as_data(
            plan.certificate, [step_name(step) for step in plan.steps], kind_of(plan.front_end)
        ),
    }


def step_name(step: PlannedStep) -> str:
    return f"{step.kernel.set}/{step.kernel.name}"


def show(summary: dict[str, Any], board: boards.Board) -> None:
    steps = ", ".join(f"{name} x{n}" if n > 1 else name for name, n in summary["kernels"].items())
    arena = arena_region(board)
    placed = f"{summary['arena_bytes']:,} bytes (at least {summary['least_arena_bytes']:,})"
    bands = [text for text in summary["metadata"].get("bands", "").split("; ") if text]
    passes = [text for text in summary["metadata"].get("passes", "").split("; ") if text]
    print_facts(
        f"{summary['file']}: {summary['model']} for {board.name} ({board.core.name})",
        [
            ("blob", f"{summary['blob_bytes']:,} bytes, of them constants {summary['constants_bytes']:,}"),
            ("arena", f"{placed} of {arena.size:,} in {arena.name}"),
            ("state", f"{summary['state_bytes']:,} bytes"),
            ("MACs", summary["macs"]),
            *(("pass", change) for change in passes),
            *(("in bands", text) for text in bands),
            ("kernels", steps),
        ],
    )
    if len(summary["plans"]) > 1:
        columns = ("", "plan", "instructions, est.", "arena", "state", "MACs")
        keys = ("name", "instructions_estimate", "arena_bytes", "state_bytes", "macs")
        rows = [(i, *(p[key] for key in keys)) for i, p in enumerate(summary["plans"])]
        print_table("\nplans", columns, rows)
    stages.show_stages(summary["stages"], summary["certificate"] is not None)
    if summary["certificate"] is not None:
        show_certificate(summary["certificate"])
