"""`offramp boards`: what boards there are."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from typing import Any

from offramp import boards as known
from offramp.build.memory_map import room
from offramp.cli.options import Json
from offramp.cli.output import note, print_json, print_table


def boards(as_json: Json = False) -> None:
    """List the boards."""
    rows = [describe(known.load(name)) for name in known.names()]
    if as_json:
        print_json(rows)
        return
    columns = ("board", "core", "flash, K", "RAM, K", "kernel sets", "run")
    table = [
        (
            *(row["board"], row["core"], row["usable_flash_bytes"] // 1024, row["usable_ram_bytes"] // 1024),
            *(", ".join(row["kernels"]), row["run"]),
        )
        for row in rows
    ]
    print_table("", columns, table)
    note(
        "\nFlash and RAM: what an image, its model and its arena may take beside the model slot, K of 1,024 bytes."
    )


def describe(board: known.Board) -> dict[str, Any]:
    """All facts. `flash_bytes` and `arena_region_bytes` are the sizes of the regions that model and arena lie in,
    `usable_…` what the model slot leaves of them; `run` says what runs the board here, or "not run"."""
    emulator = board.emulator.binary if board.emulator else None
    usable_flash, usable_ram = room(board)
    return {
        "board": board.name,
        "description": board.description,
        "core": board.core.name,
        "clock_hz": board.clock_hz,
        "flash_bytes": board.constants.size,
        "arena_region_bytes": board.arena.size,
        "usable_flash_bytes": usable_flash,
        "usable_ram_bytes": usable_ram,
        "model_slot_bytes": board.model_slot.size,
        "kernels": list(board.kernels),
        "emulator": emulator,
        "emulator_installed": emulator is None or shutil.which(emulator) is not None,
        "run": emulator or ("this machine" if board.runs_here else "not run"),
        "compiler_flags": list(board.core.flags),
        "stack_bytes": board.stack_bytes,
        "power": asdict(board.power) if board.power else None,
        "memory": {region.name: region_facts(region) for region in board.memory},
        "use": {use: getattr(board, use).name for use in ("code", "constants", "data", "arena")}
        | {"model_slot": {"region": board.model_slot.region.name, "address": board.model_slot.address}},
        "port": {"family": board.port_family, "defines": dict(board.port_defines)},
        "platformio": asdict(board.platformio) if board.platformio else None,
    }


def region_facts(region: known.Region) -> dict[str, Any]:
    """Its keys of the board file; null is not known, or does not apply."""
    return {key: value for key, value in asdict(region).items() if key != "name"}
