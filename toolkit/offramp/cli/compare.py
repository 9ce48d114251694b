"""`offramp compare A B`: two runs, or two models on a board, side by side; what grew most stands first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from offramp import boards
from offramp.cli.blob_file import blob_for, is_blob
from offramp.cli.changes import changed, show_changes, with_growth
from offramp.cli.json_file import read_json
from offramp.cli.options import FlashLimit, Json, Kernels, Optimize, RamLimit, TimeLimit, plan_options
from offramp.cli.output import note, print_json, print_table, progress
from offramp.errors import UserError
from offramp.plan import Options
from offramp_host.comparison import RunFigures, StepFigures, figures_of, share, step_changes
from offramp_host.measure import measure

WAY_OUT = "write it with `offramp bench … --json > FILE`, or `offramp profile … --json > FILE`"
HELP = "JSON of `bench` or `profile`, or with --board a model file or .ofr."


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help=HELP)],
    second: Annotated[Path, typer.Argument(metavar="B", help="Likewise.")],
    board: Annotated[
        str | None,
        typer.Option(
            "--board", "-b", metavar="B", help="Measure models here; of JSON with several, this one."
        ),
    ] = None,
    kernels: Kernels = "auto",
    optimize: Optimize = "balanced",
    flash_limit: FlashLimit = None,
    ram_limit: RamLimit = None,
    time_limit: TimeLimit = 120.0,
    as_json: Json = False,
) -> None:
    """Compare two runs or models: figures, and steps by how much their instructions grew."""
    options = plan_options(kernels, optimize=optimize, flash_limit=flash_limit, ram_limit=ram_limit)
    kinds = [kind_of(path) for path in (first, second)]
    if kinds[0] != kinds[1]:
        raise UserError(
            f"{first} is a {kinds[0]}, {second} a {kinds[1]}: they count different things",
            "give two of a kind: two models with --board, two of `offramp bench --json` or of `profile --json`",
        )
    before, after = (run_of(path, board, options, time_limit) for path in (first, second))
    if as_json:
        print_json(as_data(before, after))
    else:
        show(before, after)


def kind_of(path: Path) -> str:
    """model, bench or profile; UserError for anything else."""
    if path.suffix.lower() != ".json":
        is_blob(path)
        return "model"
    data = read_json(path)
    found = data[0] if isinstance(data, list) and data else data
    if not isinstance(found, dict) or not {"model", "board", "steps"} <= found.keys():
        raise UserError(f"{path} is no run", WAY_OUT)
    return "bench" if isinstance(data, list) else "profile"


def run_of(path: Path, board: str | None, options: Options, time_limit_s: float) -> RunFigures:
    if path.suffix.lower() == ".json":
        try:
            data = read_json(path)
            return of_bench(path, data, board) if isinstance(data, list) else of_profile(data)
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} is no run: {type(error).__name__}: {error}", WAY_OUT) from error
    if board is None:
        raise UserError(
            f"{path} is a model; no board is given to measure it on", "add --board B (`offramp boards`)"
        )
    target = boards.must_run_here(boards.load(board))
    _, data = blob_for(path, target, options)
    with progress(f"measuring {path.name} on {target.name}"):
        return figures_of(asdict(measure(target, data, name=str(path), time_limit_s=time_limit_s)))


def of_bench(path: Path, rows: list[Mapping[str, Any]], board: str | None) -> RunFigures:
    there = [row["board"] for row in rows]
    wanted = [row for row in rows if board in (None, row["board"])]
    if len(wanted) != 1:
        raise UserError(
            f"{path} holds {', '.join(there)}" + (f", not {board}" if board else ", one is needed"),
            f"choose one with --board {there[0]}",
        )
    return figures_of(wanted[0])


def of_profile(data: Mapping[str, Any]) -> RunFigures:
    steps = [
        StepFigures(
            s["op"], s.get("name", ""), s["kernel"], s["cost"]["instructions"], s["cost"]["cycles_estimate"]
        )
        for s in data["steps"]
    ]
    figures = {name: data["cost"][name] for name in ("instructions", "cycles_estimate")}
    figures["flash_bytes_read"] = data["cost"]["flash_bytes"]
    return RunFigures(data["model"], data["board"], figures, steps, {"compiler": data["compiler"]})


def show(before: RunFigures, after: RunFigures) -> None:
    rows = [
        (name, was, after.figures.get(name), changed(was, after.figures.get(name)))
        for name, was in before.figures.items()
    ]
    names = [f"{run.model} on {run.board}" for run in (before, after)]
    print_table(f"A: {names[0]}; B: {names[1]}", ("", "A", "B", "change"), rows)
    changes = step_changes(before.steps, after.steps)
    differing = [change for change in changes if change.growth or change.before != change.after]
    if differing:
        show_changes("\nsteps that differ, A before, B after", differing)
    note(f"\n{len(changes) - len(differing)} of {len(changes)} steps are the same. Instructions are exact.")
    for name, was in before.tools.items():
        if was != (now := after.tools.get(name)):
            note(f"{name}: A {was}, B {now}")


def as_data(before: RunFigures, after: RunFigures) -> dict[str, Any]:
    figures = {
        name: {
            "before": was,
            "after": after.figures.get(name),
            "growth": share(was, after.figures.get(name)),
        }
        for name, was in before.figures.items()
    }
    sides = {
        side: {key: value for key, value in asdict(run).items() if key in ("model", "board", "tools")}
        for side, run in (("before", before), ("after", after))
    }
    steps = [with_growth(change) for change in step_changes(before.steps, after.steps)]
    return {**sides, "figures": figures, "steps": steps}
