"""What an image's machine code is: the class of every instruction and the function that it belongs to."""

from __future__ import annotations

import bisect
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile

from offramp.boards import Core
from offramp.build.compilers import INSTALL, compiler_for
from offramp.errors import UserError
from offramp_host.instruction_class import Instruction, classify

# What else objdump prints between the colon and the end of a line are bytes of data.
_LINE = re.compile(r"^ *([0-9a-f]+):\t([a-z][a-z0-9]*(?:\.[a-z0-9]+)*)\s*(?:\t([^@;<]*).*)?$")
_FUNCTION = re.compile(r"^[0-9a-f]+ <(.*)>:$")


@dataclass(frozen=True)
class Code:
    """Of one image: instructions by address, functions by the address at which each begins."""

    instructions: Mapping[int, Instruction]
    functions: tuple[tuple[int, str], ...]

    def function(self, pc: int) -> str:
        """The function at an address; a local label of assembly counts as one."""
        i = bisect.bisect_right(self.functions, (pc, "\U0010ffff"))
        return self.functions[i - 1][1] if i else "?"


def disassemble(elf: Path, core: Core) -> Code:
    """The classes of an image's instructions."""
    return Code(_instructions(objdump(elf, core), core.toolchain), _functions(elf))


def objdump(elf: Path, core: Core) -> str:
    """The code of an image as the objdump of its toolchain prints it."""
    found = re.sub("gcc$", "objdump", compiler_for(core).path)
    if shutil.which(found) is None:
        raise UserError(f"{found} is not installed", INSTALL[core.toolchain])
    command = [found, "-d", "-z", "--no-show-raw-insn", "-j", ".text"]
    if "mve" in core.features:
        command += ["-m", "armv8.1-m.main"]  # without it objdump knows no vector instructions
    if core.toolchain == "riscv":
        command += ["-M", "no-aliases"]
    return subprocess.run([*command, str(elf)], capture_output=True, text=True, check=True).stdout


def _instructions(text: str, isa: str) -> dict[int, Instruction]:
    """Classes depend on neighbours, so each function is read apart."""
    found: dict[int, Instruction] = {}
    at: list[int] = []
    lines: list[tuple[str, str]] = []
    for line in [*text.splitlines(), "0 <>:"]:
        if match := _LINE.match(line):
            at.append(int(match[1], 16))
            lines.append((match[2], (match[3] or "").strip()))
        elif _FUNCTION.match(line):
            found.update(zip(at, classify(lines, isa), strict=True))
            at, lines = [], []
    return found


def _functions(elf: Path) -> tuple[tuple[int, str], ...]:
    with elf.open("rb") as file:
        symbols = ELFFile(file).get_section_by_name(".symtab").iter_symbols()
        named = {s["st_value"] & ~1: s.name for s in symbols if s["st_info"]["type"] == "STT_FUNC"}
    return tuple(sorted(named.items()))
