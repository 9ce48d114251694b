"""Options and arguments that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offramp.errors import UserError
from offramp.kernels import SETS
from offramp.plan import Options

Board = Annotated[
    str, typer.Option("--board", "-b", metavar="B", help="The board; `offramp boards` lists them.")
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
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A .tflite or .ofg file.")]
ModelOrBlob = Annotated[
    Path, typer.Argument(metavar="FILE", help="A .ofr file; a .tflite or .ofg is packed first.")
]
TimeLimit = Annotated[
    float, typer.Option("--time-limit", metavar="S", min=1.0, help="Seconds that one inference may take.")
]


def plan_options(
    kernels: str, keep_inputs: bool = False, inputs: list[str] | None = None, no_passes: bool = False
) -> Options:
    return Options(kernels, keep_inputs, tuple(caller_input(text) for text in inputs or ()), not no_passes)


def caller_input(text: str) -> str:
    name, _, place = text.rpartition("=")
    if not name or place != "caller":
        raise UserError(
            f"--input {text}: NAME=caller is needed", "it leaves input NAME in the caller's memory"
        )
    return name
