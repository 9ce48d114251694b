"""Whether a board file's `[platformio]` is of the board that the rest of the file describes."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from offramp import resources
from offramp.boards.board import Board, PlatformIO
from offramp.boards.ports import FRAMEWORKS, PORTS, esp32_core, stm32_series
from offramp.boards.table import Table

OWN_NAME = "`pio boards` lists the names; without [platformio] `offramp build` still makes the firmware."


def check(board: Board, found: PlatformIO, top: Table) -> None:
    """UserError at what belongs to another board or chip than the file's."""
    table = top.table("platformio")
    table.choice("framework", FRAMEWORKS)
    platform, wanted = found.platform.partition("@")[0], PORTS[board.port_family].platform
    if platform.rpartition("/")[2] != wanted:
        raise table.error(
            "platform", repr(platform), f"{wanted or 'none'}, that of family {board.port_family}"
        )
    _check_chip(board, found.board, table)
    _check_arena(board, found, table)
    for path, other in others_of(found.board, top.path):
        mine, theirs = facts(top.values), facts(other)
        for key in mine:
            if mine[key] != theirs[key]:
                raise table.error(
                    "board",
                    f"{found.board!r}, which is the board of {path.name}: {key} {theirs[key]} there, {mine[key]} here",
                    f"the name of {board.name} at PlatformIO",
                    OWN_NAME,
                )


def _check_chip(board: Board, name: str, table: Table) -> None:
    """What the name of PlatformIO's board says of its chip."""
    series = [key[-2:] for key, value in board.port_defines if key in PORTS["stm32"].series and value]
    if series and (of := stm32_series(name)) not in (None, *series):
        raise table.error("board", f"{name!r}, an STM32{of}", f"a board with an STM32{series[0]}", OWN_NAME)
    core = esp32_core(name) if board.port_family == "esp32" else None
    if core not in (None, board.core.name):
        raise table.error("board", f"{name!r}, a {core}", f"a board with a {board.core.name}", OWN_NAME)


def _check_arena(board: Board, found: PlatformIO, table: Table) -> None:
    """The arena is static where a framework starts the chip, and so is a slot in RAM."""
    slot = board.model_slot.size if board.model_slot.region == board.arena else 0
    for flag in found.flags:
        size = re.fullmatch(r"-DPORT_STATIC_ARENA_BYTES=(\d+)", flag)
        if size and int(size[1]) + slot > board.arena.size:
            raise table.error("flags", f"{flag}, in bytes", f"at most {board.arena.size - slot} bytes")


def others_of(name: str, path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Files of other boards, among ours and beside `path`, that give the same PlatformIO board."""
    folders = dict.fromkeys((resources.root() / "boards", path.resolve().parent))
    for other in (file for folder in folders for file in sorted(folder.glob("*.toml"))):
        if other.stem == path.stem or f'"{name}"' not in (text := other.read_text(errors="replace")):
            continue
        try:
            values = tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            continue
        if _at(values, "platformio", "board") == name:
            yield other, values


def facts(values: dict[str, Any]) -> dict[str, Any]:
    """What two files of one board cannot say differently."""
    regions = [region for region in (_at(values, "memory") or {}).values() if isinstance(region, dict)]
    bytes_of = {
        f"{kind} in bytes": sum(region.get("size", 0) for region in regions if region.get("kind") == kind)
        for kind in ("flash", "ram")
    }
    return {"core": values.get("core"), "port.family": _at(values, "port", "family"), **bytes_of}


def _at(values: Any, *keys: str) -> Any:
    """What stands at a path of keys; None: nothing."""
    for key in keys:
        values = values.get(key) if isinstance(values, dict) else None
    return values
