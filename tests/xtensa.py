"""Links C sources with gcc for Xtensa's lx106: an instruction-set check of that family, no ESP32's code.

ESP32s have LX6 and LX7 with register windows, and compilers of their own.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from offramp import boards
from offramp.build import Source, Sources, objects
from offramp.build.compilers import Compiler
from offramp.build.image import blob_source, flags

FOLDER = Path(__file__).parent / "emulator" / "xtensa"
SPECS = Path("/usr/lib/xtensa-lx106-elf/picolibc.specs")
TARGET = ("-mlongcalls", "-mtext-section-literals", f"--specs={SPECS}")


def link(folder: Path, sources: Sources, script: Path) -> Path:
    """The ELF of `sources` with model.ofr and inputs.bin of `folder`; flags are the build's own but for the core's."""
    gcc = shutil.which("xtensa-lx106-elf-gcc")
    if gcc is None or not SPECS.exists():
        pytest.skip("needs gcc-xtensa-lx106 and picolibc-xtensa-lx106-elf")
    sources += blob_source(folder / "model.ofr")
    sources += Sources((Source(FOLDER / "main.c", "application"),))
    compiler = Compiler(gcc, "xtensa-lx106-elf-gcc", "12.2.0")
    board = boards.load("posix")  # has no flags of its own
    commands = [([gcc, *flags(board, compiler, sources, file), *TARGET], file.path) for file in sources.files]
    compiled = objects.compile_all(commands, str(compiler))
    elf = folder / "xtensa.elf"
    scripts = ["-nostartfiles", "-static", "-Wl,--gc-sections", f"-T{script}", f"-Wa,-I{folder}"]
    subprocess.run(
        [gcc, *map(str, compiled), str(FOLDER / "start.S"), *TARGET, *scripts, "-o", elf], check=True
    )
    return elf
