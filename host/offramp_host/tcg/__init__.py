"""Counts what an emulated board executes, instruction by instruction, with a plugin of ours in QEMU."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile

from offramp.boards import Board
from offramp.build.cache import cache_folder
from offramp.errors import UserError

MARKER = "port_ticks"
"""The function that ends a section whenever it is entered: firmware reads the ticks around what it measures."""

_SOURCE = Path(__file__).with_name("count.c")
_FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-shared", "-fPIC")


@dataclass(frozen=True)
class Executed:
    """Of one instruction in one section."""

    times: int
    taken: int
    """How often something other than the next instruction followed."""
    flash_bytes: int
    """Data read from the region that holds code and the linked model."""


Section = Mapping[int, Executed]
"""By the address of the instruction."""


def plugin_args(board: Board, elf: Path, out: Path) -> list[str]:
    """Arguments for an Emulator that runs `elf`; sections are written to `out` as they end."""
    with elf.open("rb") as file:
        parsed = ELFFile(file)
        text = parsed.get_section_by_name(".text")
        [marker] = parsed.get_section_by_name(".symtab").get_symbol_by_name(MARKER)
    flash = board.code
    values = {
        "out": str(out),
        "marker": f"{marker['st_value'] & ~1:x}",
        "code": f"{text['sh_addr']:x}+{text['sh_size']:x}",
        "flash": f"{flash.address:x}+{flash.size:x}",
    }
    settings = [f"{name}={value.replace(',', ',,')}" for name, value in values.items()]
    return ["-plugin", ",".join([str(plugin()).replace(",", ",,"), *settings])]


def read_sections(path: Path) -> list[Section]:
    """The sections that have ended, oldest first."""
    sections: list[Section] = []
    section: dict[int, Executed] = {}
    for line in path.read_text().splitlines():
        if line == "end":
            sections.append(section)
            section = {}
        else:
            pc, *counts = line.split()
            section[int(pc, 16)] = Executed(*map(int, counts))
    return sections


def plugin() -> Path:
    """The plugin, compiled once for each version of its source and of the compiler."""
    compiler = shutil.which("gcc")
    if compiler is None:
        raise UserError(
            "gcc is not installed; counting instructions by class needs it",
            "sudo apt-get install gcc libc6-dev",
        )
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
    key = hashlib.sha256(repr((_FLAGS, version)).encode() + _SOURCE.read_bytes()).hexdigest()[:32]
    path = cache_folder() / "tcg" / f"{key}.so"
    if not path.exists():
        _compile(compiler, path)
    return path


def _compile(compiler: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        built = Path(folder) / "so"
        done = subprocess.run(
            [compiler, *_FLAGS, str(_SOURCE), "-o", str(built)], capture_output=True, text=True
        )
        if done.returncode != 0:
            raise UserError(
                f"{_SOURCE.name} does not compile:\n{done.stderr.strip()}",
                "counting instructions by class needs Linux and a C compiler for it",
            )
        os.replace(built, path)
