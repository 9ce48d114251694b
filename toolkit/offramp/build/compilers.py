"""The compilers, and every flag that they are given."""

from __future__ import annotations

import functools
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from offramp.boards import Board, Core
from offramp.build.sources import Category, Source
from offramp.errors import UserError

EXECUTABLES = {
    "arm": "arm-none-eabi-gcc",
    "riscv": "riscv64-unknown-elf-gcc",
    "xtensa": "xtensa-esp-elf-gcc",
    "host": "gcc",
}
INSTALL = {
    "arm": "sudo apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "riscv": "sudo apt-get install gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf",
    "xtensa": "PlatformIO brings it and builds for these boards; `offramp build` does not",
    "host": "sudo apt-get install gcc libc6-dev",
}
"""How a compiler comes, by toolchain."""

# Kernels are where the instructions go; the rest is where the flash goes. Splitting paths repeats the end of a loop
# on each side of a condition in it: more instructions on RV32 (1 %), and nothing for `pack --certify` to bound.
OPTIMIZE: dict[Category, tuple[str, ...]] = {
    "kernels": ("-O3", "-fno-split-paths"),
    "runtime": ("-Os",),
    "application": ("-Os",),
    "model": ("-Os",),
}
SECTIONS = ("-ffunction-sections", "-fdata-sections", "-fno-common")
COMMON = ("-std=gnu11", *SECTIONS, "-g")
STANDARD = "-std=c11"
OURS = (STANDARD, "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
# CMSIS-NN measures best at -O2, and sums of hostile numbers may overflow: -fwrapv makes that defined.
THIRD_PARTY = ("-O2", "-fwrapv", "-w")
# gcc 12 moves volatile stores out of loops and repeats them at the exit.
VOLATILE_STORES = "-fno-move-loop-stores"
BARE_METAL_LINK = ("-nostartfiles", "-static", "-Wl,--no-warn-rwx-segments")
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")


@dataclass(frozen=True)
class Compiler:
    """A compiler that is installed; `version` is all of "12.2.1"."""

    path: str
    executable: str
    version: str

    def __str__(self) -> str:
        return f"{self.executable} {self.version}"


def compiler_for(core: Core) -> Compiler:
    """The compiler for a core; UserError names the apt package if it is missing."""
    executable = EXECUTABLES[core.toolchain]
    path = shutil.which(executable)
    if path is None:
        raise UserError(
            f"{executable} is not installed; {core.name} needs it",
            INSTALL[core.toolchain],
        )
    return Compiler(path, executable, _version(path))


def compile_flags(board: Board, compiler: Compiler, source: Source, sanitize: bool) -> list[str]:
    """Flags for one file, without its includes and macros."""
    flags = [*COMMON, *target_flags(board.core)]
    flags += THIRD_PARTY if source.third_party else [*OPTIMIZE[source.category], *OURS]
    if source.category == "application" and int(compiler.version.split(".")[0]) >= 12:
        flags.append(VOLATILE_STORES)
    return flags + _sanitize(board, sanitize)


def link_flags(board: Board, script: Path | None, map_file: Path, sanitize: bool) -> list[str]:
    """Flags of the link; `script` is the folder with memory.ld and None on the host."""
    flags = [*target_flags(board.core), "-Wl,--gc-sections", f"-Wl,-Map={map_file}"]
    if script is not None:
        flags += [*BARE_METAL_LINK, f"-L{script}", f"-T{script / 'sections.ld'}"]
    return flags + _sanitize(board, sanitize)


def target_flags(core: Core) -> list[str]:
    """What every file and the link are told of the core and its C library."""
    specs = ["--specs=picolibc.specs"] if core.toolchain == "riscv" else []
    return [*core.flags, *specs]


def _sanitize(board: Board, sanitize: bool) -> list[str]:
    if sanitize and board.core.toolchain != "host":
        raise UserError(f"{board.name} has no sanitizers", "Use --board posix.")
    return list(SANITIZE) if sanitize else []


@functools.cache
def _version(path: str) -> str:
    return subprocess.run(
        [path, "-dumpfullversion", "-dumpversion"], capture_output=True, text=True, check=True
    ).stdout.strip()
