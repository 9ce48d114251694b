"""Reads a board file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from offramp.boards.agreement import check
from offramp.boards.board import Board, Emulation, ModelSlot, PlatformIO, Power, Region
from offramp.boards.cores import CORES, Core
from offramp.boards.ports import PORTS
from offramp.boards.table import Table
from offramp.toml_table import read_toml


def parse(path: Path) -> Board:
    """The board that a file describes; UserError names the file and the key that is wrong."""
    top = Table(path, "", read_toml(path, "docs/new-board.md shows how to write one"))
    memory_table = top.table("memory")
    memory = {name: _region(name, memory_table.table(name)) for name in memory_table.rest()}
    use, port = top.table("use"), top.table("port")
    family, defines = port.choice("family", PORTS), port.table("defines")
    defines.refuse_the_rest(PORTS[family].keys())
    code = memory[use.choice("code", memory)]
    board = Board(
        name=top.choice("name", (path.stem,)),
        description=top.string("description"),
        core=_core_of(top),
        clock_hz=top.positive("clock_hz"),
        kernels=top.strings("kernels"),
        stack_bytes=top.integer("stack_bytes"),
        memory=tuple(memory.values()),
        code=code,
        constants=memory[use.choice("constants", memory)] if use.has("constants") else code,
        data=memory[use.choice("data", memory)],
        arena=memory[use.choice("arena", memory)],
        model_slot=_model_slot(use.table("model_slot"), memory),
        port_family=family,
        port_defines=tuple((name, defines.integer(name)) for name in defines.rest()),
        platformio=_platformio(top.table("platformio")) if top.has("platformio") else None,
        emulator=_emulation(top.table("emulator")) if top.has("emulator") else None,
        power=_power(top.table("power")) if top.has("power") else None,
    )
    for table in (top, memory_table, use, port):
        table.refuse_the_rest()
    check(board, top)
    return board


def _core_of(top: Table) -> Core:
    core = CORES[top.choice("core", CORES)]
    if not top.has("fpu"):
        return core
    fpu = f"-mfpu={top.string('fpu')}"
    if not any(flag.startswith("-mfpu=") for flag in core.flags):
        raise top.error("fpu", repr(top.string("fpu")), f"no such key: {core.name} has no choice of FPU")
    return replace(core, flags=tuple(fpu if flag.startswith("-mfpu=") else flag for flag in core.flags))


def _region(name: str, table: Table) -> Region:
    kind: Literal["flash", "ram"] = "flash" if table.choice("kind", ("flash", "ram")) == "flash" else "ram"
    region = Region(
        name,
        kind,
        table.integer("address"),
        table.positive("size"),
        table.number("read_cycles_per_byte") if table.has("read_cycles_per_byte") else 0.0,
        table.integer("wait_states") if table.has("wait_states") else None,
        table.boolean("xip") if kind == "flash" and table.has("xip") else None,
        table.boolean("cached") if table.has("cached") else None,
        table.boolean("dma") if table.has("dma") else None,
        table.pairs("sectors") if kind == "flash" and table.has("sectors") else (),
        table.integer("program_bytes") if kind == "flash" and table.has("program_bytes") else None,
    )
    table.refuse_the_rest()
    _check_flash(region, table)
    return region


def _check_flash(region: Region, table: Table) -> None:
    total, unit = sum(size * count for size, count in region.sectors), region.program_bytes
    if region.sectors and total != region.size:
        raise table.error("sectors", f"{total} bytes in all", f"{region.size} bytes, the region's size")
    if unit is not None and (unit == 0 or unit & (unit - 1)):
        raise table.error("program_bytes", str(unit), "a power of two")


def _model_slot(table: Table, memory: Mapping[str, Region]) -> ModelSlot:
    region = memory[table.choice("region", memory)]
    offset, size = table.integer("offset"), table.positive("size")
    table.refuse_the_rest()
    if offset + size > region.size:
        room = (
            f"{region.size - offset} bytes"
            if offset < region.size
            else f"an offset below {region.size} bytes"
        )
        raise table.error(
            "size", f"{size} bytes, which ends {offset + size - region.size} bytes past {region.name}", room
        )
    if offset % 16:
        raise table.error("offset", str(offset), "a multiple of 16")
    starts = region.sector_starts()
    if region.sectors and not {region.address + offset, region.address + offset + size} <= set(starts):
        raise table.error("offset", f"{offset} and size {size}", "whole sectors")
    return ModelSlot(region, region.address + offset, size)


def _emulation(table: Table) -> Emulation:
    ratio = table.values.get("instructions_per_tick")
    table.seen.add("instructions_per_tick")
    if not (isinstance(ratio, list) and len(ratio) == 2 and all(type(n) is int and n > 0 for n in ratio)):
        raise table.error("instructions_per_tick", repr(ratio), "[numerator, denominator], both above 0")
    emulation = Emulation(
        binary=table.string("binary"),
        machine=table.string("machine"),
        args=table.strings("args"),
        icount_shift=table.integer("icount_shift"),
        numerator=ratio[0],
        denominator=ratio[1],
    )
    table.refuse_the_rest()
    return emulation


def _power(table: Table) -> Power:
    volts, run, sleep = (table.number(key) for key in ("supply_v", "run_ma", "sleep_ua"))
    for key, value in (("supply_v", volts), ("run_ma", run)):
        if value == 0.0:
            raise table.error(key, "0.0", "above 0.0")
    found = Power(volts, run, sleep, table.string("source"))
    table.refuse_the_rest()
    return found


def _platformio(table: Table) -> PlatformIO:
    found = PlatformIO(
        table.string("platform"),
        table.string("board"),
        table.string("framework"),
        *(table.strings(key) if table.has(key) else () for key in ("packages", "flags", "lib_deps")),
    )
    table.refuse_the_rest()
    return found
