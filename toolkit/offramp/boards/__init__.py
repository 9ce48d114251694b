"""Boards by name or file: what is known of each is read from its one TOML file in boards/.

docs/new-board.md shows a file from top to bottom; what each key means stands in board.py, beside the field it fills.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from offramp import resources
from offramp.boards.board import Board, Emulation, ModelSlot, PlatformIO, Power, Region
from offramp.boards.cores import CORES, Core
from offramp.boards.file import parse
from offramp.errors import UserError

__all__ = [
    "CORES",
    "Board",
    "Core",
    "Emulation",
    "ModelSlot",
    "PlatformIO",
    "Power",
    "Region",
    "load",
    "must_run_here",
    "names",
    "parse",
    "runnable",
]


def names() -> list[str]:
    """Boards that have a file, in alphabetical order."""
    return sorted(path.stem for path in _folder().glob("*.toml"))


def runnable() -> list[str]:
    """Names of those that run without hardware."""
    return [name for name in names() if load(name).runs_here]


def must_run_here(board: Board) -> Board:
    """The board itself; UserError if only hardware can run it."""
    if not board.runs_here:
        raise UserError(
            f"{board.name} is not emulated, so nothing runs or is measured on it here",
            f"`offramp build --board {board.name}` makes its firmware; `offramp run --port PORT` talks to a board "
            f"that has it. Emulated are {', '.join(runnable())}.",
        )
    return board


def load(name: str) -> Board:
    """The board called `name`, or that of the file if the name ends in .toml; UserError with the nearest names."""
    if name.endswith(".toml"):
        if not Path(name).is_file():
            raise UserError(f"{name}: no such board file", "docs/new-board.md shows how to write one.")
        return parse(Path(name))
    path = _folder() / f"{name}.toml"
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=3, cutoff=0.4)
        hint = f"Did you mean {' or '.join(near)}?" if near else "`offramp boards` lists all."
        raise UserError(f"no board is called {name!r}; there are {', '.join(names())}", hint)
    return parse(path)


def _folder() -> Path:
    return resources.root() / "boards"
