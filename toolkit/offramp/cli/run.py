"""`offramp run`: rows of inputs through a model on a board, real or emulated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from offramp import boards
from offramp.blob.read import Blob
from offramp.cli.choice import Choice, PolicyText
from offramp.cli.inference import Bench, arrays_of, attached, emulated, infer
from offramp.cli.leaving import (
    Budget,
    ExitPolicyText,
    Leaving,
    NoExits,
    Thresholds,
    of_spread,
    show_spread,
)
from offramp.cli.options import (
    EmulatedBoard,
    FlashLimit,
    FrontEnd,
    Json,
    Kernels,
    ModelOrBlob,
    Optimize,
    Port,
    RamLimit,
    TimeLimit,
    check_place,
    plan_options,
)
from offramp.cli.output import (
    check_output,
    note,
    print_facts,
    print_json,
    print_table,
    write_output,
)
from offramp.cli.sound import is_sound
from offramp.errors import UserError
from offramp_host.device import Device, Result, StageInfo
from offramp_host.exits import spread
from offramp_host.rows import Array, npz


def run(
    file: ModelOrBlob,
    inputs: Annotated[
        Path,
        typer.Option(
            "--inputs",
            "-i",
            metavar="X.npy|npz|wav",
            help="First axis: the row. A .wav goes through the front end.",
        ),
    ],
    board: EmulatedBoard = None,
    port: Port = None,
    out: Annotated[Path | None, typer.Option("-o", metavar="Y.npz", help="One array an output.")] = None,
    state: Annotated[str, typer.Option("--state", metavar="carry|reset", help="From row to row.")] = "carry",
    kernels: Kernels = "auto",
    optimize: Optimize = "balanced",
    flash_limit: FlashLimit = None,
    ram_limit: RamLimit = None,
    plan: Annotated[
        str | None,
        typer.Option("--plan", metavar="N|NAME", help="Of a blob with several plans, run this one."),
    ] = None,
    policy: PolicyText = None,
    thresholds: Thresholds = None,
    budget: Budget = None,
    exit_policy: ExitPolicyText = None,
    no_exits: NoExits = False,
    front_end: FrontEnd = None,
    time_limit: TimeLimit = 60.0,
    as_json: Json = False,
) -> None:
    """Run a model on rows of inputs; state is reset before the first."""
    if plan is not None and policy is not None:
        raise UserError("--plan and --policy are given", "give one of them: a policy decides which plan runs")
    chosen = Choice("plan", plan) if plan is not None else Choice.of(policy)
    leaving = Leaving.of(thresholds, budget, exit_policy, no_exits)
    check_place("run", board, port)
    if state not in ("carry", "reset"):
        raise UserError(f"--state {state}: carry or reset is needed", "carry keeps state from row to row")
    if out is not None:
        check_output(out, file, inputs)
    options = plan_options(
        kernels, optimize=optimize, flash_limit=flash_limit, ram_limit=ram_limit, front_end=front_end
    )
    if is_sound(inputs) and (state == "reset" or leaving.policy.unit == "ticks"):
        raise UserError(
            f"{inputs}: samples follow each other, so --state reset and budgets in ticks do not go with them",
            "leave them out, or give rows of inputs",
        )

    def index_in(blob: Blob) -> int:
        """The plan that exits options speak of, which it has."""
        found = chosen.plan_index(blob, file) if chosen is not None else 0
        leaving.check(blob.plans[found], file)
        return found

    connected = (
        emulated(file, boards.must_run_here(boards.load(board)), options, inputs, time_limit, index_in)
        if board
        else None
    )
    with connected or attached(file, port or "", options, inputs, time_limit, index_in) as bench:
        if chosen is not None:
            chosen.set_on(bench.device, bench.blob, file)
        index = index_in(bench.blob)
        if leaving.policy.unit == "ticks":
            note(f"ticks: {tick_of(bench.device)}")
        most = leaving.set_on(bench.device, bench.blob.plans[index], index, bench.rows)
        with leaving.named():
            results = infer(bench, "carry" if state == "carry" else "reset", no_exits)
        stages = bench.device.info().plans[index].stages
    outputs = arrays_of(results, bench.blob, file)
    if out is not None:
        write_output(out, npz(outputs))
        note(f"wrote {out}")
    summary = summarize(bench, results, outputs, stages, most)
    if as_json:
        print_json(summary)
    else:
        show(summary, bench.blob.labels, leaving.has_budget)


def tick_of(device: Device) -> str:
    name = device.info().board.board
    return boards.load(name).tick if name in boards.names() else f"of the counter of {name}"


def summarize(
    bench: Bench,
    results: Sequence[Result],
    outputs: Sequence[tuple[str, Array]],
    stages: Sequence[StageInfo],
    most: int,
) -> dict[str, Any]:
    ticks = [result.ticks or 0 for result in results]
    emulator = bench.board.emulator if bench.board else None
    counts = [emulator.instructions(t) for t in ticks] if emulator else []
    classes = None
    if (len(outputs) == 1 or len(stages) > 1) and outputs[0][1].ndim == 2 and outputs[0][1].shape[1] > 1:
        found = Counter(int(i) for i in np.argmax(outputs[0][1], axis=1))
        classes = {str(i): found[i] for i in sorted(found)}
    return {
        "model": bench.blob.name,
        "board": bench.where,
        "rows": len(results),
        "instructions_per_inference": round(sum(counts) / len(counts)) if counts else None,
        "instructions_least": min(counts, default=None),
        "instructions_most": max(counts, default=None),
        "outputs": [{"name": name, "shape": a.shape, "dtype": str(a.dtype)} for name, a in outputs],
        "plans": of_plans(bench.blob, results),
        "argmax": classes,
        "exits": of_spread(spread(stages, [(r.exit, r.outcome) for r in results], counts, most))
        if len(stages) > 1
        else None,
    }


def of_plans(blob: Blob, results: Sequence[Result]) -> list[dict[str, Any]]:
    """How many answers came from each plan."""
    answers = Counter(result.plan for result in results)
    return [{"name": plan.name, "answers": answers[i]} for i, plan in enumerate(blob.plans)]


def show(summary: dict[str, Any], labels: Sequence[str], has_budget: bool) -> None:
    facts = [("rows", summary["rows"])]
    if summary["instructions_per_inference"] is not None:
        spread = f"{summary['instructions_least']:,} to {summary['instructions_most']:,}"
        facts.append(("instructions", f"{summary['instructions_per_inference']:,} an inference ({spread})"))
    if len(summary["plans"]) > 1:
        facts.append(("answers", ", ".join(f"{p['name']} {p['answers']}" for p in summary["plans"])))
    facts += [(o["name"], f"{'x'.join(map(str, o['shape']))} {o['dtype']}") for o in summary["outputs"]]
    print_facts(f"{summary['model']} on {summary['board']}", facts)
    if summary["argmax"] is not None:
        classes = [(labels[int(i)] if int(i) < len(labels) else i, n) for i, n in summary["argmax"].items()]
        print_table("\nargmax", ("class", "rows"), classes)
    show_spread(summary["exits"], has_budget=has_budget)
