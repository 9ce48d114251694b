"""Runtime and kernels, compiled for every core: nothing of libc but memcpy and memset, no mutable globals."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile

from offramp import boards
from offramp.build import Source, compiler_for, compilers, firmware_sources, objects
from offramp.errors import UserError

LIBC = {"memcpy", "memset"}
# Instructions that mask interrupts or write the registers that do, by toolchain.
MASKS = {
    "arm": re.compile(r"\tcps(id|ie)?\b|\tmsr\b.*(PRIMASK|BASEPRI|FAULTMASK)", re.IGNORECASE),
    "riscv": re.compile(r"\tcsr"),
}
# The compiler's own: arithmetic and switches that a core has no instruction for, position independence.
COMPILER = ("__aeabi_", "__ashldi3", "__ashrdi3", "__gnu_thumb1_case_", "_GLOBAL_OFFSET_TABLE_")


def compiled(board: boards.Board) -> dict[Path, Source]:
    sources = firmware_sources(board)
    compiler = compiler_for(board.core)
    files = [file for file in sources.files if file.category in ("runtime", "kernels")]
    options = [f"-I{folder}" for folder in sources.include_dirs]
    options += [f"-D{name}={value}" for name, value in sources.defines]
    commands = [
        ([compiler.path, *compilers.compile_flags(board, compiler, file, False), *options], file.path)
        for file in files
    ]
    return dict(zip(objects.compile_all(commands, str(compiler)), files, strict=True))


@pytest.fixture(scope="module", params=boards.runnable())
def elves(request: pytest.FixtureRequest) -> dict[str, ELFFile]:
    try:
        found = compiled(boards.load(request.param))
    except UserError as error:
        pytest.skip(error.message)
    return {str(source.path): ELFFile(path.open("rb")) for path, source in found.items()}


def symbols(elf: ELFFile) -> list[tuple[str, bool]]:
    """Global names and whether this object defines them."""
    table = elf.get_section_by_name(".symtab")
    if table is None:  # a file for another core, empty here
        return []
    return [
        (s.name, s["st_shndx"] != "SHN_UNDEF")
        for s in table.iter_symbols()
        if s.name and s["st_info"]["bind"] != "STB_LOCAL"
    ]


def test_nothing_else_is_needed(elves: dict[str, ELFFile]) -> None:
    defined = {name for elf in elves.values() for name, here in symbols(elf) if here}
    needed = {name for elf in elves.values() for name, here in symbols(elf) if not here}
    foreign = {name for name in needed - defined - LIBC if not name.startswith(COMPILER)}
    assert foreign == set()
    assert "memcpy" in needed and "ofr_load" in defined


def test_no_mutable_globals(elves: dict[str, ELFFile]) -> None:
    """Constants that hold addresses are writable until a host's loader has set them (.data.rel.ro)."""
    found = [
        (name, section.name)
        for name, elf in elves.items()
        for section in elf.iter_sections()
        if section["sh_flags"] & SH_FLAGS.SHF_WRITE
        and section["sh_size"] > 0
        and not section.name.startswith(".data.rel.ro")
    ]
    assert found == []


@pytest.mark.parametrize("name", [n for n in boards.runnable() if boards.load(n).core.toolchain in MASKS])
def test_interrupts_are_masked_nowhere(name: str) -> None:
    """The longest section of the library with interrupts masked has 0 instructions, on every core."""
    board = boards.load(name)
    try:
        found = compiled(board)
    except UserError as error:
        pytest.skip(error.message)
    objdump = re.sub("gcc$", "objdump", compiler_for(board.core).path)
    command = [objdump, "-d", "--no-show-raw-insn", *(str(path) for path in found)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert text.count("\n") > 10_000
    assert [line for line in text.splitlines() if MASKS[board.core.toolchain].search(line)] == []
