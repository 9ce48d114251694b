"""`offramp boards`: what boards there are."""

from __future__ import annotations

import shutil
from typing import Any

from offramp import boards as known
from offramp.cli.options import Json
from offramp.cli.output import print_json, print_table


def boards(as_json: Json = False) -> None:
    """List the boards."""
    rows = [describe(known.load(name)) for name in known.names()]
    if as_json:
        print_json(rows)
        return
    columns = ("board", "core", "flash KB", "RAM KB", "kernels", "emulator")
    keys = ("board", "core", "flash_bytes", "arena_region_bytes", "kernels", "emulator")
    table = [[row[key] for key in keys] for row in rows]
    for cells in table:
        cells[2:] = [cells[2] // 1024, cells[3] // 1024, ", ".join(cells[4]), cells[5] or "none needed"]
    print_table("", columns, table)


def describe(board: known.Board) -> dict[str, Any]:
    """`flash_bytes` and `arena_region_bytes` are the sizes of the regions that code and arena lie in."""
    emulator = board.emulator.binary if board.emulator else None
    return {
        "board": board.name,
        "description": board.description,
        "core": board.core.name,
        "clock_hz": board.clock_hz,
        "flash_bytes": board.code.size,
        "arena_region_bytes": board.arena.size,
        "model_slot_bytes": board.model_slot.size,
        "kernels": list(board.kernels),
        "emulator": emulator,
        "emulator_installed": emulator is None or shutil.which(emulator) is not None,
    }
