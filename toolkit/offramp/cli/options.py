"""Options and arguments that several commands take."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated

import typer

from offramp.errors import UserError
from offramp.features import CHOICES
from offramp.kernels import SETS
from offramp.plan import OPTIMIZE, Options

MOST = 9e9
"""Of any number that a person gives: waits of the system end at 292 years."""

Mlperf = Annotated[
    bool, typer.Option("--mlperf", help="Add MLPerf Tiny's protocol for this model: docs/mlperf.md.")
]
SourceName = Annotated[
    str | None,
    typer.Option(
        "--source",
        metavar="sensor|synthetic",
        help="Add the board's own sensor, or a synthetic one, for `offramp record`: docs/source.md.",
    ),
]
Board = Annotated[
    str,
    typer.Option(
        "--board", "-b", metavar="B", help="The board (`offramp boards` lists them), or a board file's path."
    ),
]
EmulatedBoard = Annotated[str | None, typer.Option("--board", "-b", metavar="B", help="Emulate this board.")]
Port = Annotated[
    str | None,
    typer.Option("--port", "-p", metavar="URL", help="A serial port or URL with a board behind it."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Kernels = Annotated[
    str,
    typer.Option(
        "--kernels", metavar="|".join(("auto", *SETS)), help="Kernel set; generic serves what it lacks."
    ),
]
KeepInputs = Annotated[bool, typer.Option("--keep-inputs", help="Leave inputs as they are after a run.")]
CallerInputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input", metavar="NAME=caller", help="Leave this input in the caller's memory, read-only."
    ),
]
NoPasses = Annotated[
    bool,
    typer.Option("--no-passes", help="Plan the model's graph as it is, no channel removed, no op fused."),
]
Certify = Annotated[
    bool,
    typer.Option(
        "--certify", help="Prove bounds for instructions, stack and RAM, and write them into the blob."
    ),
]
Optimize = Annotated[
    str,
    typer.Option(
        "--optimize",
        metavar="|".join(OPTIMIZE),
        help="What comes first: cycles with weights at int8 size or, where 1 KB saved costs no more than 1 %, smaller; "
        "cycles with constants up to 4 times as large; the fewest bytes of flash; the smallest arena.",
    ),
]
FlashLimit = Annotated[
    int | None,
    typer.Option("--flash-limit", metavar="BYTES", min=1, help="Most bytes that the blob may take."),
]
RamLimit = Annotated[
    int | None,
    typer.Option("--ram-limit", metavar="BYTES", min=1, help="Most bytes that arena and state may take."),
]
FrontEnd = Annotated[
    str | None,
    typer.Option(
        "--front-end",
        metavar="KIND[:KEY=N,...]",
        help="What makes the first input of raw samples on the board (docs/features.md): "
        f"{', '.join(CHOICES)}.",
    ),
]
NoNames = Annotated[
    bool,
    typer.Option(
        "--no-names",
        help="Leave out of the blob what only reports read: operators, names and MACs of steps, the model's metadata.",
    ),
]
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A .tflite or .ofg file.")]
ModelOrBlob = Annotated[
    Path, typer.Argument(metavar="FILE", help="A .ofr file; a .tflite or .ofg is packed first.")
]
PlanChoice = Annotated[
    str, typer.Option("--plan", metavar="N|NAME", help="Of a blob that holds several plans, this one.")
]
TimeLimit = Annotated[
    float, typer.Option("--time-limit", metavar="S", min=1.0, help="Seconds that one inference may take.")
]


def check_place(command: str, board: str | None, port: str | None) -> None:
    """UserError unless the command has one of both."""
    if (board is None) == (port is None):
        raise UserError(
            "--board and --port are given" if board else f"{command} needs either --board or --port",
            "give one of them: --board B emulates a board, --port URL talks to one",
        )


def plan_options(
    kernels: str = "auto",
    keep_inputs: bool = False,
    inputs: list[str] | None = None,
    no_passes: bool = False,
    optimize: str = "balanced",
    flash_limit: int | None = None,
    ram_limit: int | None = None,
    no_names: bool = False,
    front_end: str | None = None,
) -> Options:
    if optimize not in OPTIMIZE:
        raise UserError(f"--optimize {optimize}: it is one of {', '.join(OPTIMIZE)}", nearest(optimize))
    callers = tuple(caller_input(text) for text in inputs or ())
    return Options(
        kernels,
        keep_inputs,
        callers,
        not no_passes,
        optimize,
        flash_limit,
        ram_limit,
        not no_names,
        front_end,
    )


def nearest(optimize: str) -> str:
    return f"try --optimize {(difflib.get_close_matches(optimize, OPTIMIZE, n=1) or OPTIMIZE)[0]}"


def caller_input(text: str) -> str:
    name, _, place = text.rpartition("=")
    if not name or place != "caller":
        raise UserError(
            f"--input {text}: NAME=caller is needed", "it leaves input NAME in the caller's memory"
        )
    return name
