"""Whether what a board file says in one place agrees with what it says in another."""

from __future__ import annotations

import difflib
from itertools import combinations

from offramp.boards import platformio
from offramp.boards.board import Board
from offramp.boards.cores import SETS_NEED, sets_of
from offramp.boards.ports import PORTS
from offramp.boards.table import Table

ADDRESSES = 1 << 32


def check(board: Board, top: Table) -> None:
    """UserError at the first key that contradicts another one."""
    if board.core.toolchain != "host":  # where the process allocates, addresses are 0
        _check_regions(board, top)
        _check_sectors(board, top)
        _check_room(board, top)
    _check_kernels(board, top)
    _check_port(board, top)
    if board.platformio is not None:
        platformio.check(board, board.platformio, top)


def _check_regions(board: Board, top: Table) -> None:
    for region in board.memory:
        if region.address + region.size > ADDRESSES:
            found = f"{region.size} bytes from {region.address:#x} on"
            raise top.error(f"memory.{region.name}.size", found, f"{ADDRESSES - region.address} bytes")
    for a, b in combinations(sorted(board.memory, key=lambda region: region.address), 2):
        if a.address + a.size > b.address:
            raise top.error(
                f"memory.{a.name}.size",
                f"{a.size} bytes from {a.address:#x} on, into {b.name} at {b.address:#x}",
                f"{b.address - a.address} bytes",
                f"Compare addresses and sizes of {a.name} and {b.name} with the data sheet's memory map.",
            )


def _check_sectors(board: Board, top: Table) -> None:
    """The port of a chip writes models into the one flash whose sectors are known."""
    known = [region.name for region in board.memory if region.sectors]
    if not board.runs_here and len(known) != 1:
        allowed = "the sectors of the one flash that holds models"
        raise top.error("memory", f"sectors of {' and '.join(known) or 'no region'}", allowed)


def _check_room(board: Board, top: Table) -> None:
    """Code and constants in flash, data and arena in RAM, each with memory left beside the model slot."""
    slot = board.model_slot
    for use, kind in (("code", "flash"), ("constants", "flash"), ("data", "ram"), ("arena", "ram")):
        region = getattr(board, use)
        if region.kind != kind:
            raise top.error(
                f"use.{use}", f"{region.name!r}, a region of kind {region.kind}", f"one of {kind}"
            )
        if slot.region == region and slot.address == region.address:
            raise top.error(
                "use.model_slot.offset", f"0, which leaves nothing of {region.name} to use.{use}", "above 0"
            )
    room = slot.address - board.data.address if slot.region == board.data else board.data.size
    if not 0 < board.stack_bytes < room:
        allowed = f"1 to {room - 1} bytes, as data stand beside it in {board.data.name}"
        raise top.error("stack_bytes", f"{board.stack_bytes} bytes", allowed)


def _check_kernels(board: Board, top: Table) -> None:
    runs = sets_of(board.core)
    for name in board.kernels:
        if name not in SETS_NEED:
            near = difflib.get_close_matches(name, SETS_NEED, n=1)
            hint = f"Did you mean {near[0]}?" if near else ""
            raise top.error("kernels", repr(name), f"of {', '.join(runs)}", hint)
        if name not in runs:
            raise top.error(
                "kernels",
                f"{name!r}, which a {board.core.name} cannot run",
                f"of {', '.join(runs)}",
                f"Leave it out, or set `core` to the chip's if that is no {board.core.name}.",
            )
    if "generic" not in board.kernels or len(set(board.kernels)) < len(board.kernels):
        raise top.error("kernels", f"{list(board.kernels)}", "generic and others, each once")


def _check_port(board: Board, top: Table) -> None:
    """Every port has the macros that it cannot do without, and runs on the core."""
    port, given = PORTS[board.port_family], dict(board.port_defines)
    for name in port.needs:
        if name not in given:
            hint = f"The first comment of {board.port_family}.c in firmware/port/ says what it is."
            raise top.error(f"port.defines.{name}", "nothing", "a whole number", hint)
    for group in (port.one_of, tuple(port.series)):
        chosen = [name for name in group if given.get(name, 0) != 0]
        if group and len(chosen) != 1:
            raise top.error(
                "port.defines", " and ".join(chosen) or "none of them", f"one of {', '.join(group)}"
            )
    series = [name for name in port.series if name in given]
    for name in series:
        if given[name] not in (0, 1):
            raise top.error(f"port.defines.{name}", str(given[name]), "1")
    cores = tuple(port.series[name] for name in series if given[name]) or port.cores
    if board.core.name not in cores:
        of = series[0] if series else f"family {board.port_family}"
        raise top.error("core", repr(board.core.name), f"{' or '.join(cores)}, what chips of {of} have")
