"""Watches what an emulated board executes, instruction by instruction, with plugins of ours in QEMU."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile

from offramp.boards import Board
from offramp.build.cache import cache_folder
from offramp.errors import UserError
from offramp_host.effects import PC

MARKER = "port_ticks"
"""The function that ends a section whenever it is entered: firmware reads the ticks around what it measures."""

BEGIN = "ofr_begin"
"""The function that every inference begins with."""

_FOLDER = Path(__file__).parent
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


def count_args(board: Board, elf: Path, out: Path) -> list[str]:
    """Arguments for an Emulator that runs `elf`; sections are written to `out` as they end."""
    flash = board.code
    return _args("count", elf, {"out": str(out), "flash": f"{flash.address:x}+{flash.size:x}"})


def taint_args(board: Board, elf: Path, rules: Path, out: Path) -> list[str]:
    """Arguments for an Emulator that follows what depends on the arena's contents at the begin of a run.

    `rules` says what each instruction does, see taint.c; what is found is written to `out` as sections end.
    """
    arena = _symbol(elf, "image_arena")
    values = {
        "out": str(out),
        "rules": str(rules),
        "start": f"{_symbol(elf, BEGIN) & ~1:x}",
        "data": f"{arena:x}+{_symbol(elf, 'image_arena_end') - arena:x}",
        "pc": f"{PC if board.core.toolchain == 'arm' else 0:x}",
    }
    ram = [("ram", f"{r.address:x}+{r.size:x}") for r in dict.fromkeys((board.data, board.arena))]
    return _args("taint", elf, values, ram)


def _args(name: str, elf: Path, values: Mapping[str, str], more: Sequence[tuple[str, str]] = ()) -> list[str]:
    with elf.open("rb") as file:
        text = ELFFile(file).get_section_by_name(".text")
        code = f"{text['sh_addr']:x}+{text['sh_size']:x}"
    settings = [("marker", f"{_symbol(elf, MARKER) & ~1:x}"), ("code", code), *values.items(), *more]
    path = str(plugin(name)).replace(",", ",,")
    return ["-plugin", ",".join([path, *(f"{key}={value.replace(',', ',,')}" for key, value in settings)])]


def _symbol(elf: Path, name: str) -> int:
    with elf.open("rb") as file:
        [symbol] = ELFFile(file).get_section_by_name(".symtab").get_symbol_by_name(name)
    return int(symbol["st_value"])


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


def plugin(name: str) -> Path:
    """The plugin `count` or `taint`, compiled once for each version of its source and of the compiler."""
    compiler = shutil.which("gcc")
    if compiler is None:
        raise UserError(
            "gcc is not installed; counting instructions by class needs it",
            "sudo apt-get install gcc libc6-dev",
        )
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
    sources = [_FOLDER / f"{name}.c", _FOLDER / "plugin.h"]
    content = b"".join(source.read_bytes() for source in sources)
    key = hashlib.sha256(repr((_FLAGS, version)).encode() + content).hexdigest()[:32]
    path = cache_folder() / "tcg" / f"{key}.so"
    if not path.exists():
        _compile(compiler, sources[0], path)
    return path


def _compile(compiler: str, source: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        built = Path(folder) / "so"
        done = subprocess.run(
            [compiler, *_FLAGS, str(source), "-o", str(built)], capture_output=True, text=True
        )
        if done.returncode != 0:
            raise UserError(
                f"{source.name} does not compile:\n{done.stderr.strip()}",
                "counting instructions by class needs Linux and a C compiler for it",
            )
        os.replace(built, path)
