"""`offramp boards`: what boards there are."""

from __future__ import annotations

import shutil
from dataclasses import asdict
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
    columns = ("board", "core", "flash KB", "RAM KB", "kernels", "run")
    keys = ("board", "core", "flash_bytes", "arena_region_bytes", "kernels", "run")
    table = [[row[key] for key in keys] for row in rows]
    for cells in table:
        cells[2:] = [cells[2] // 1024, cells[3] // 1024, ", ".join(cells[4]), cells[5]]
    print_table("", columns, table)


def describe(board: known.Board) -> dict[str, Any]:
    """All facts. `flash_bytes` and `arena_region_bytes` are the sizes of the regions that model and arena lie in;
    `run` says what runs the board here, or that nothing does: "not run"."""
    emulator = board.emulator.binary if board.emulator else None
    return {
        "board": board.name,
        "description": board.description,
        "core": board.core.name,
        "clock_hz": board.clock_hz,
        "flash_bytes": board.constants.size,
        "arena_region_bytes": board.arena.size,
        "model_slot_bytes": board.model_slot.size,
        "kernels": list(board.kernels),
        "emulator": emulator,
        "emulator_installed": emulator is None or shutil.which(emulator) is not None,
        "run": emulator or ("this machine" if board.runs_here else "not run"),
        "compiler_flags": list(board.core.flags),
        "stack_bytes": board.stack_bytes,
        "memory": {region.name: region_facts(region) for region in board.memory},
        "use": {use: getattr(board, use).name for use in ("code", "constants", "data", "arena")}
        | {"model_slot": {"region": board.model_slot.region.name, "address": board.model_slot.address}},
        "port": {"family": board.port_family, "defines": dict(board.port_defines)},
        "platformio": asdict(board.platformio) if board.platformio else None,
    }


def region_facts(region: known.Region) -> dict[str, Any]:
    """Its keys of the board file; null is not known, or does not apply."""
    return {key: value for key, value in asdict(region).items() if key != "name"}
