"""Writes memory.ld, the board's share of the linker script."""

from __future__ import annotations

from dataclasses import replace

from offramp.boards import Board, Region

# Static data and link buffers of the application, as `offramp build` measures them, rounded up.
FIRMWARE_DATA_BYTES = 2048


def memory_ld(board: Board) -> str:
    """Regions, the names CODE, CONSTANTS, DATA and ARENA for them, stack size and the arena's end."""
    lines = [f"/* Generated from {board.name}.toml. */", "MEMORY", "{"]
    lines += [f"    {r.name} : ORIGIN = {r.address:#x}, LENGTH = {usable(board, r):#x}" for r in board.memory]
    lines += ["}"]
    uses = (
        ("CODE", board.code),
        ("CONSTANTS", board.constants),
        ("DATA", board.data),
        ("ARENA", board.arena),
    )
    lines += [f'REGION_ALIAS("{use}", {region.name})' for use, region in uses]
    lines += [
        f"image_stack_bytes = {board.stack_bytes};",
        f"image_arena_limit = {board.arena.address + usable(board, board.arena):#x};",
    ]
    return "\n".join(lines) + "\n"


def arena_region(board: Board) -> Region:
    """What arena and state may take, as far as it is known before a build, which measures the firmware's own data."""
    region, size = board.arena, usable(board, board.arena)
    if board.core.toolchain == "host":  # a process reserves the whole region beside all else
        return region
    if board.data != region:
        return replace(region, size=size)
    less = (
        f"less {board.stack_bytes} bytes for the stack, {FIRMWARE_DATA_BYTES} bytes for the firmware's data"
    )
    return replace(
        region, name=f"{region.name} ({less})", size=size - board.stack_bytes - FIRMWARE_DATA_BYTES
    )


def usable(board: Board, region: Region) -> int:
    """Bytes of a region that the image and the arena may use: up to the model slot if that lies in it."""
    return board.model_slot.address - region.address if board.model_slot.region == region else region.size


def room(board: Board) -> tuple[int, int]:
    """Bytes of flash and of RAM that an image, its model and its arena may take, as tables of boards state them."""
    host = board.core.toolchain == "host"  # a process reserves the whole region beside all else
    return usable(board, board.constants), board.arena.size if host else usable(board, board.arena)
