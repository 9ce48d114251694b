"""`offramp monitor`: a source streamed through a board, live: on the screen, as lines of JSON, as a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from offramp.blob.read import Blob
from offramp.cli.choice import Choice, PolicyText
from offramp.cli.leaving import Budget, ExitPolicyText, Leaving, NoExits, Thresholds
from offramp.cli.options import (
    EmulatedBoard,
    FlashLimit,
    FrontEnd,
    Kernels,
    Optimize,
    Port,
    RamLimit,
    TimeLimit,
    check_place,
    plan_options,
)
from offramp.cli.output import check_output, note
from offramp.cli.place import place_for
from offramp.cli.showing import check_screen, print_line, serve, show_screen, stream
from offramp.cli.ways import Given, ways_of
from offramp.errors import UserError
from offramp_host.monitor.feed import Feed
from offramp_host.monitor.maker import Options
from offramp_host.monitor.model import Model, model_of
from offramp_host.monitor.pace import Pace
from offramp_host.monitor.recording import check_name
from offramp_host.monitor.server import PORT, Page
from offramp_host.monitor.settings import Settings
from offramp_host.monitor.source import KINDS, Source, open_source
from offramp_host.monitor.stream import Monitor

HOST = "127.0.0.1"
Files = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[FILE]...", help="Models to switch between; none with --port: what runs on the board."
    ),
]


def monitor(
    files: Files = None,
    board: EmulatedBoard = None,
    port: Port = None,
    source: Annotated[str, typer.Option("--source", "-s", metavar="S", help=f"{KINDS}.")] = "synthetic",
    rate: Annotated[
        float | None, typer.Option("--rate", metavar="HZ", help="Rows a second; else as fast as it goes.")
    ] = None,
    loop: Annotated[
        bool | None,
        typer.Option("--loop/--once", help="Begin again at the source's end; --json alone ends there."),
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", metavar="N", min=1, help="End after so many rows.")
    ] = None,
    divide: Annotated[
        float | None, typer.Option("--divide", metavar="X", help="Divide pixels or columns by this.")
    ] = None,
    hop: Annotated[
        int | None,
        typer.Option("--hop", metavar="N", min=1, help="Samples or lines from a window to the next."),
    ] = None,
    sample_rate: Annotated[
        int | None,
        typer.Option("--sample-rate", metavar="HZ", min=1, help="Of the microphone; of a WAV file checked."),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option("--record", metavar="X.npz", help="Record rows and answers, for `run --inputs`."),
    ] = None,
    reconnect: Annotated[
        float, typer.Option("--reconnect", metavar="S", min=0.0, help="How long to wait for a lost board.")
    ] = 60.0,
    front_end: FrontEnd = None,
    kernels: Kernels = "auto",
    optimize: Optimize = "balanced",
    flash_limit: FlashLimit = None,
    ram_limit: RamLimit = None,
    policy: PolicyText = None,
    thresholds: Thresholds = None,
    budget: Budget = None,
    exit_policy: ExitPolicyText = None,
    no_exits: NoExits = False,
    time_limit: TimeLimit = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON a result.")] = False,
    web: Annotated[bool, typer.Option("--web", help="Show a page in the browser.")] = False,
    host: Annotated[
        str,
        typer.Option("--host", metavar="H", help="Address of the page; beyond this machine with a token."),
    ] = HOST,
    web_port: Annotated[
        int, typer.Option("--web-port", metavar="N", help="Port of the page; 0: any free one.")
    ] = PORT,
    token: Annotated[
        str | None, typer.Option("--token", metavar="T", help="What readers of the page must know.")
    ] = None,
) -> None:
    """Watch a model live: rows from files, a camera, a microphone through a board, and what it answers."""
    check(files, board, port, divide)
    if not web:
        check_no_page(host, web_port, token)
    given = Given(Choice.of(policy), Leaving.of(thresholds, budget, exit_policy, no_exits), no_exits)
    pace = Pace(rate)
    options = plan_options(
        kernels, optimize=optimize, flash_limit=flash_limit, ram_limit=ram_limit, front_end=front_end
    )
    if record is not None:
        check_name(record)
        check_output(record, *(files or ()), *(p for p in [Path(source)] if p.is_file()), option="--record")
    if not (as_json or web):
        check_screen()
    page = Page(Feed(), host, web_port, token) if web else None

    def source_for(model: Model) -> Source:
        return open_source(source, model, Options(divide, hop, sample_rate))

    def refuse(file: Path, blob: Blob) -> None:
        given.check(blob, file)
        check_source(source_for(model_of(blob, b"")))

    with place_for(files or [], board, port or "", options, time_limit, refuse) as place:
        blobs = {blob.crc: (blob, file) for file, blob, _ in place.models}
        settings = Settings(
            models=tuple(model_of(blob, data) for _, blob, data in place.models),
            source_for=source_for,
            ways_for=lambda model: ways_of(blobs.get(model.crc), given),
            pace=pace,
            loop=loop if loop is not None else (not as_json or count is not None),
            count=count,
            emulated=place.board,
            recording=record,
            record_at_once=record is not None,
            statistics_s=None if as_json and not web else 1.0,
            reconnect_s=reconnect,
        )
        monitor = Monitor(place.open_device, settings)
        if page is not None:
            serve(monitor, page, as_json)
        elif as_json:
            stream(monitor, [print_line])
        else:
            show_screen(monitor)


def check_source(source: Source) -> None:
    """UserError where a camera or a microphone gives nothing; warns of rows that are odd."""
    if source.warning:
        note(f"warning: {source.warning}")
    if source.is_live:
        next(source.rows())


def check(files: Sequence[Path] | None, board: str | None, port: str | None, divide: float | None) -> None:
    check_place("monitor", board, port)
    if board is not None and not files:
        raise UserError("--board needs a model to emulate", "offramp monitor MODEL --board B")
    if divide is not None and not divide > 0:
        raise UserError(f"--divide {divide:g}: it is above 0", "255 brings pixels to 0..1")


def check_no_page(host: str, web_port: int, token: str | None) -> None:
    """UserError for options of a page that was not asked for."""
    given = {"--host": host != HOST, "--web-port": web_port != PORT, "--token": token is not None}
    for name, is_given in given.items():
        if is_given:
            raise UserError(f"{name} is for the page", "add --web, or leave it out")
