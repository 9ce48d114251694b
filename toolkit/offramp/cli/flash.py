"""`offramp flash`: blob -> firmware on a board, or blob -> model slot of a board, and what the board then says."""

from __future__ import annotations

from typing import Annotated

import typer

from offramp import boards
from offramp.build.blob_image import memory_bytes
from offramp.build.memory_map import arena_region, usable
from offramp.build.mlperf import defines as mlperf_defines
from offramp.build.source import source_sources
from offramp.cli.blob_file import blob_for
from offramp.cli.options import Board, Mlperf, ModelOrBlob, Optimize, SourceName, plan_options
from offramp.cli.output import note, print_facts, progress
from offramp.errors import UserError
from offramp_host import flash as steps
from offramp_host.flash import Model

TIMEOUT_S = 10.0
KERNELS = {"universal": "every kernel for int8 models", "all": "every kernel and the code of exits"}


def flash(
    file: ModelOrBlob,
    board: Board,
    port: Annotated[
        str | None,
        typer.Option(
            "--port", "-p", metavar="URL", help="The board's serial port; else the only one there is."
        ),
    ] = None,
    firmware: Annotated[
        bool,
        typer.Option("--firmware", help="Write firmware that takes this model later, with none linked in."),
    ] = False,
    model_only: Annotated[
        bool, typer.Option("--model-only", help="Send the model to the firmware that runs there.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be written where, and write nothing.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Fetch no package; say at once if one is missing.")
    ] = False,
    mlperf: Mlperf = False,
    source: SourceName = None,
    optimize: Optimize = "balanced",
) -> None:
    """Build firmware with a model and write it to a board; check what the board then holds."""
    check(firmware, model_only, mlperf, source)
    target = boards.load(board)
    if source is not None:
        source_sources(target, source, framework=target.platformio is not None)
    blob, data = blob_for(file, target, plan_options(optimize=optimize))
    model = Model(str(file), blob, data)
    if mlperf:
        mlperf_defines(blob, target)  # refuses what is for none of its benchmarks
    check_room(target, model, firmware or model_only)
    at = steps.link_port(target, port) if not dry_run or port or target.platformio is None else None
    print_facts(f"{blob.name} on {target.name}", plan(target, model, at, firmware, model_only))
    if dry_run:
        note("dry run: nothing was written")
        return
    assert at is not None
    if not model_only:
        with progress(f"building and writing {target.name}"):
            steps.write_firmware(
                *(target, None if firmware else model, port or own(target)),
                kernels=steps.kernels_for(blob) if firmware else "universal",
                mlperf=mlperf,
                source=source,
                offline=offline,
            )
    with steps.connect(at, TIMEOUT_S) as device:
        if model_only:
            with progress(f"sending {blob.name}", len(data)) as show:
                steps.write_model(device, target, model, lambda done, _: show(done))
        info = steps.check(device, target, None if firmware else model, fresh=not model_only)
    holds = f", model {info.model.name}, CRC {info.model.crc:08x}" if info.model.source else ", no model"
    note(f"{target.name} at {at} runs offramp {info.board.firmware_version}{holds}")
    if mlperf:
        identity = steps.check_mlperf(at, blob, TIMEOUT_S)
        note(f"it speaks MLPerf Tiny's protocol for {identity.model}: offramp mlperf --port {at}")


def check(firmware: bool, model_only: bool, mlperf: bool, source: str | None) -> None:
    """UserError for options that do not go together."""
    if firmware and model_only:
        raise UserError("--firmware and --model-only are given", "give one of them, or neither to write both")
    if mlperf and (firmware or model_only):
        raise UserError(
            "--mlperf is for firmware with its model",
            "leave out --firmware and --model-only: both are written",
        )
    if source is not None and model_only:
        raise UserError("--source is for firmware, and --model-only writes none", "give one of them")


def own(board: boards.Board) -> str | None:
    """What PlatformIO is told of the port where the person named none."""
    return steps.own_port(board) if board.platformio is None else None


def plan(
    board: boards.Board, model: Model, port: str | None, firmware: bool, model_only: bool
) -> list[tuple[str, str]]:
    """What is written where."""
    code, slot = board.code, board.model_slot
    found = []
    if model_only:
        found.append(
            ("model", f"{len(model.data):,} bytes into the slot at {slot.address:#x} ({slot.size:,} bytes)")
        )
    else:
        part = (
            f"firmware with {KERNELS[steps.kernels_for(model.blob)]}, without a model"
            if firmware
            else f"firmware with the model's {len(model.data):,} bytes"
        )
        found.append(
            ("image", f"{part}, into {code.name} at {code.address:#x} ({usable(board, code):,} bytes)")
        )
        known = board.platformio
        by = (
            f"PlatformIO, {known.platform}, board {known.board}" if known else "PlatformIO, into the emulator"
        )
        found.append(("written by", by))
    found.append(("port", port or "the only serial port there is"))
    return found


def check_room(board: boards.Board, model: Model, in_slot: bool) -> None:
    """UserError where flash, or the slot, or RAM cannot hold it, before anything is built; the linker is exact."""
    arena = arena_region(board)
    if (wanted := memory_bytes(model.blob)) > arena.size:
        raise UserError(
            f"{model.name} does not fit {board.name}: arena and state need {wanted} bytes, "
            f"region {arena.name} has {arena.size} bytes",
            "choose a board with more RAM (`offramp boards`) or a smaller model",
        )
    room = board.model_slot.size if in_slot else usable(board, board.code)
    if len(model.data) > room:
        raise UserError(
            f"{model.name} does not fit {board.name}: the blob takes {len(model.data)} bytes, "
            f"{'the model slot' if in_slot else f'region {board.code.name}'} has {room} bytes",
            "choose a smaller model, or a board with more memory (`offramp boards`)",
        )
